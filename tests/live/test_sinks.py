"""Sinks against real receivers that are down, slow, or answer 500; and an outbox that is killed and opened again."""

from __future__ import annotations

import base64
import http.server
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

import marey.live.outbox as outbox_module
from marey.errors import ConfigError, DataError, DeliveryError
from marey.live.outbox import Courier, Outbox
from marey.live.sinks.table import make_sinks
from marey.live.sinks.webhook import signature

KEY = b"0123456789abcdef0123"


def event(number: int, feed: str = "yard") -> dict:
    return {"id": f"{feed}-{number}", "feed": feed, "rule": "fight", "type": "new", "number": number}


def until(condition, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())


class Receiver:
    """An HTTP server that keeps what it gets; `answer` is the status, or "drop" to take it and say nothing."""

    def __init__(self, port: int = 0) -> None:
        receiver = self
        self.answer: int | str = 204
        self.got: list[tuple[str, dict]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.headers["webhook-id"], json.loads(body)))
                key = "whsec_" + base64.b64encode(KEY).decode()
                assert key not in str(self.headers)
                stamp, name = self.headers["webhook-timestamp"], self.headers["webhook-id"]
                assert self.headers["webhook-signature"] == signature(KEY, name, stamp, body)
                if receiver.answer == "drop":
                    self.connection.close()
                    return
                self.send_response(int(receiver.answer))
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def hook(port: int) -> dict:
    return {
        "kind": "webhook",
        "address": f"http://127.0.0.1:{port}/services/SECRETPATH",
        "secret": "whsec_" + base64.b64encode(KEY).decode(),
        "timeout": 1,
    }


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(outbox_module, "_FIRST", 0.02)
    monkeypatch.setattr(outbox_module, "_LONGEST", 0.2)


def test_a_receiver_that_is_down_answers_500_and_drops_loses_nothing_and_keeps_the_order(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said: list[str] = []
    outbox = Outbox(tmp_path / "outbox.sqlite")
    courier = Courier("hook", make_sinks({"hook": hook(port)})["hook"], outbox, lambda n, w: said.append(w))
    courier.start()
    for number in range(4):
        outbox.put([event(number), event(number, "hall")], ["hook"], {})
    assert until(lambda: courier.failed >= 2)
    receiver = Receiver(port)
    for answer in (500, 302, "drop"):
        receiver.answer = answer
        seen = len(receiver.got)
        assert until(lambda seen=seen: len(receiver.got) >= seen + 2)
    receiver.answer = 204
    assert until(lambda: outbox.count("hook") == 0)
    courier.stop(5)
    receiver.close()
    for feed in ("yard", "hall"):
        ids = [body["id"] for _, body in receiver.got if body["feed"] == feed]
        assert list(dict.fromkeys(ids)) == [f"{feed}-{n}" for n in range(4)]
        assert ids == sorted(ids)  # sent again, but never behind a later one
    assert all(name == body["id"] for name, body in receiver.got)
    assert courier.delivered == 8
    assert said[-1] == "takes events again"
    assert not any("SECRETPATH" in text for text in said)


def test_what_was_not_taken_survives_a_kill(tmp_path):
    path = tmp_path / "outbox.sqlite"
    code = (
        "import os, sys, json\nfrom pathlib import Path\nfrom marey.live.outbox import Outbox\n"
        "box = Outbox(Path(sys.argv[1]))\n"
        "for n in range(5):\n"
        "    box.put([{'id': str(n), 'feed': 'yard'}], ['a', 'b'], {'yard/fight': {'number': n}})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    outbox = Outbox(path)
    place = outbox.place
    assert outbox.states() == {"yard/fight": {"number": 4}}
    assert (outbox.count("a"), outbox.count("b")) == (5, 5)
    seen = []
    while found := outbox.first_of_each_feed("a"):
        seen.append(found[0].event["id"])
        outbox.taken(found[0])
    assert seen == list("01234")
    outbox.close()
    assert Outbox(path).place == place


def test_an_event_without_its_state_is_never_written(tmp_path):
    outbox = Outbox(tmp_path / "outbox.sqlite")
    with pytest.raises(TypeError):
        outbox.put([event(1)], ["a"], {"yard": object()})
    assert outbox.count("a") == 0
    with pytest.raises(sqlite3.Error):
        outbox.put([{"id": "1", "feed": ["no", "name"]}], ["a"], {"yard": {"number": 1}})
    assert outbox.states() == {}


def test_a_file_that_is_no_outbox(tmp_path):
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match="cannot be read"):
        Outbox(path)


def test_lines_of_a_file_and_a_program(tmp_path):
    lines, got = tmp_path / "logs" / "alarms.jsonl", tmp_path / "got.json"
    sinks = make_sinks(
        {
            "file": {"kind": "jsonl", "path": str(lines)},
            "program": {"kind": "command", "run": [sys.executable, "-c", _COPY, str(got)]},
            "bad": {"kind": "command", "run": [sys.executable, "-c", "raise SystemExit(3)"]},
            "none": {"kind": "command", "run": ["/no/such/program"]},
        }
    )
    for number in range(2):
        sinks["file"].deliver(event(number))
    assert [json.loads(line)["number"] for line in lines.read_text().splitlines()] == [0, 1]
    sinks["program"].deliver(event(7))
    assert json.loads(got.read_text())["number"] == 7
    with pytest.raises(DeliveryError, match="exit code 3"):
        sinks["bad"].deliver(event(1))
    with pytest.raises(DeliveryError, match="No such file"):
        sinks["none"].deliver(event(1))


_COPY = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"hook": {"kind": "webhok"}}, "sink hook: a sink has a kind; got 'webhok'. Did you mean 'webhook'"),
        ({"hook": {"kind": "webhook", "adress": "x"}}, "'adress'. Did you mean 'address'"),
        ({"hook": {"kind": "webhook", "address": "ftp://x"}}, "begins with https"),
        ({"hook": {"kind": "webhook", "address": "https://x", "secret": "${NO_SUCH_NAME}"}}, "NO_SUCH_NAME"),
        ({"hook": {"kind": "webhook", "address": "https://x", "secret": "abcd"}}, "too short"),
        ({"out": {"kind": "jsonl"}}, "'path' is missing"),
    ],
)
def test_mistakes_in_sinks(tree, words):
    with pytest.raises(ConfigError, match=words):
        make_sinks(tree)


MOSQUITTO = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")


@pytest.mark.skipif(MOSQUITTO is None, reason="the broker mosquitto is not installed")
def test_a_real_broker_that_goes_and_comes_back(tmp_path):
    import paho.mqtt.client as paho

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")

    def broker() -> subprocess.Popen:
        return subprocess.Popen([MOSQUITTO, "-c", str(tmp_path / "conf")], stderr=subprocess.DEVNULL)

    def listener() -> tuple[paho.Client, list[tuple[str, str, bool]]]:
        got: list[tuple[str, str, bool]] = []
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.on_message = lambda c, d, m: got.append((m.topic, m.payload.decode(), m.retain))
        client.on_connect = lambda c, *_: c.subscribe("home/#", qos=1)
        client.connect("127.0.0.1", port)
        client.loop_start()
        return client, got

    outbox = Outbox(tmp_path / "outbox.sqlite")
    tree = {"mqtt": {"kind": "mqtt", "host": "127.0.0.1", "port": port, "topic": "home", "timeout": 2}}
    courier = Courier("mqtt", make_sinks(tree)["mqtt"], outbox)
    courier.start()
    outbox.put([event(0)], ["mqtt"], {})
    assert until(lambda: courier.failed >= 1)  # there is no broker yet: nothing is lost
    running = broker()
    try:
        time.sleep(0.3)
        client, got = listener()
        outbox.put([event(1)], ["mqtt"], {})
        assert until(lambda: sum(topic == "home/events/yard/fight" for topic, *_ in got) >= 2), got
        assert [json.loads(p)["number"] for t, p, _ in got if "events" in t] == [0, 1]
        assert ("home/availability", "online") in [(t, p) for t, p, _ in got]
        courier.stop(5)
        assert until(lambda: ("home/availability", "offline") in [(t, p) for t, p, _ in got])
        late, seen = listener()
        assert until(lambda: ("home/availability", "offline", True) in seen)
        for one in (client, late):
            one.disconnect()
            one.loop_stop()
    finally:
        running.terminate()
        running.wait(5)
