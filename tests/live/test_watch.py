"""From encoded video to an alarm: the whole loop, in one process and as a program that is killed."""

from __future__ import annotations

import json
import time
import urllib.request

import numpy as np
import pytest

import marey
from marey.errors import ConfigError, UnknownNameError
from marey.jobs.watch import make_watch, name_feeds, watch
from marey.jobs.watch_config import WatchConfig
from marey.live.scoring import WindowScorer
from marey.live.status import StatusServer
from marey.predict.load import load
from tests.live.scene import RATE, Running, model, rules, scene, told
from tests.live.test_feed import Server, until
from tests.video.encoded import encode

SCENE = scene(("still", 1.5), ("moving", 1.2), ("still", 2.2), ("moving", 1.2), ("still", 1.8))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return model(tmp_path_factory.mktemp("model"))


def config(tmp_path, weights, *feeds: str, **rest) -> WatchConfig:
    return WatchConfig(
        feeds=feeds, model=str(weights), rules=str(rest.pop("rules", None) or rules(tmp_path)),
        state=str(tmp_path / "state"), window=0.8, every=0.2, **rest,
    )  # fmt: skip


def test_a_live_window_is_judged_as_the_same_stretch_of_a_file(tmp_path, weights):
    path = encode(tmp_path / "a.mp4", frames=SCENE, rate=RATE)
    predictor = load(weights)
    scorer = WindowScorer(predictor, window=1.0, every=0.5)
    reader = marey.open_video(path)
    size = predictor.spec.resize
    checked = 0
    for t in reader.times[:60]:
        scorer.see("yard", reader.frames_at([t], size=size).frames[0], float(t))
        if scorer.due("yard"):
            start = t + 1e-6 - 1.0
            known = predictor.predict(str(path), start=float(start), end=float(t + 1e-6))
            assert np.allclose(scorer.scores(["yard"])[0], known.probabilities, atol=1e-6)
            checked += 1
    assert checked >= 4
    with pytest.raises(ConfigError, match="a moment between would not be seen"):
        WindowScorer(predictor, window=1.0, every=2.0)


def test_two_feeds_one_of_them_still(tmp_path, weights):
    """Each action alarms once, with a clip that shows it; where nothing moves the model is not asked."""
    busy = encode(tmp_path / "busy.mp4", frames=SCENE, rate=RATE, gop=10)
    calm = encode(tmp_path / "calm.mp4", frames=scene(("still", 4.0)), rate=RATE)
    said: list[tuple[str, dict]] = []
    seen: dict[str, str] = {}

    def show(made) -> None:
        for name, feed in made.feeds.items():
            seen.setdefault(f"{name} {feed.state}", "")

    done = watch(
        config(tmp_path, weights, str(busy), f"hall={calm}"),
        say=lambda what, **fields: said.append((what, fields)),
        show=show,
    )
    events = told(tmp_path)
    assert [(e["type"], e["feed"], e["reason"]) for e in events if e["type"] != "update"] == [
        ("new", "busy", ""), ("end", "busy", "below"), ("new", "busy", ""), ("end", "busy", "below"),
    ]  # fmt: skip
    assert len({e["id"] for e in events}) == len(events)
    assert len({e["alarm"] for e in events}) == 2
    assert done.counts.spared > 5
    assert {"busy live", "hall live", "hall ended"} <= seen.keys()
    assert done.couriers[0].delivered == len(events)
    assert said[-1] == ("end", {"waiting": {"log": 0}})
    for event in events:
        clip = tmp_path / "clips" / f"{event['clip']}.mp4"
        reader = marey.open_video(clip)
        frames = reader.frames_at(reader.times, size=32).frames.astype(int)
        moved = np.abs(np.diff(frames, axis=0)).max(axis=(1, 2, 3)) > 15
        assert 15 <= moved.sum() <= 60
        assert clip.with_name(f"{event['clip'].split('/')[1]}.jpg").stat().st_size > 500


def test_a_zone_masks_what_moves_outside(tmp_path, weights):
    path = encode(
        tmp_path / "a.mp4", frames=scene(("still", 1.0), ("moving", 1.5), ("still", 1.0)), rate=RATE
    )
    frames = scene(("still", 1.0), ("moving", 1.5), ("still", 1.0))
    frames[:, :, 48:] = 90  # now only the left half moves
    path = encode(tmp_path / "left.mp4", frames=frames, rate=RATE)
    tree = {
        "zones": {
            "left": [[0, 0], [0.45, 0], [0.45, 1], [0, 1]],
            "right": [[0.6, 0], [1, 0], [1, 1], [0.6, 1]],
        },
        "rules": [
            {"name": zone, "label": "a", "zone": zone, "on": 0.01, "off": 0.005} for zone in ("left", "right")
        ],
        "sinks": {"log": {"kind": "jsonl", "path": str(tmp_path / "alarms.jsonl")}},
    }
    file = tmp_path / "zones.yaml"
    file.write_text(json.dumps(tree))
    watch(config(tmp_path, weights, str(path), rules=file))
    assert {e["rule"] for e in told(tmp_path)} == {"left"}


@pytest.mark.slow
def test_killed_in_the_middle_of_an_alarm_and_started_again(tmp_path, weights):
    """A process of its own, killed without warning: the alarm goes on, and is not new a second time."""
    path = encode(tmp_path / "a.ts", frames=scene(("still", 1.5), ("moving", 12.0)), rate=RATE, gop=10)
    words = [f"yard={path}", "--model", str(weights), "--rules", str(rules(tmp_path, gap=60, every=0)),
             "--state", str(tmp_path / "state"), "--window", "0.8", "--every", "0.2", "--plain"]  # fmt: skip
    first = Running(tmp_path, *words)
    assert until(lambda: any(e["type"] == "new" for e in told(tmp_path)), 40)
    time.sleep(0.5)
    first.kill()
    second = Running(tmp_path, *words)
    log = tmp_path / "log.txt"
    assert until(lambda: log.read_text().count('"live"') >= 2, 40)
    time.sleep(3.5)
    assert second.terminate() == 0
    once = list(
        {event["id"]: event for event in told(tmp_path)}.values()
    )  # as a receiver does that heeds the ids
    # the second start shows the still beginning of the file again, which ends the alarm; then there is another
    assert [(e["type"], e["alarm"].rpartition("-")[2]) for e in once] == [
        ("new", "1"),
        ("end", "1"),
        ("new", "2"),
    ]
    assert '"what": "end"' in log.read_text()


def test_status_and_no_credentials_anywhere(tmp_path, weights):
    import cv2

    server = Server([cv2.imencode(".jpg", picture)[1].tobytes() for picture in scene(("moving", 2.0))])
    said: list[str] = []
    made = make_watch(
        config(tmp_path, weights, f"yard={server.address}"),
        say=lambda what, **fields: said.append(f"{what} {fields}"),
    )
    status = StatusServer(made, "127.0.0.1", 0)
    answers: list[str] = []

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{status.port}{path}", timeout=5) as answer:
            return answer.read().decode()

    began = time.monotonic()

    def stopped() -> bool:
        if made.counts.alarms and not answers:
            answers.extend([get("/healthz"), get("/metrics")])
        return bool(answers) or time.monotonic() - began > 20

    made.run(stopped)
    status.close()
    server.mode = "closed"
    server.http.shutdown()
    server.http.server_close()
    health, metrics = answers
    assert json.loads(health) == {"status": "ok", "feeds": {"yard": "live"}}
    assert 'marey_feed_state{feed="yard",state="live"} 1' in metrics
    assert 'marey_alarms_total{feed="yard",rule="fight"} 1' in metrics
    assert 'marey_sink_waiting{sink="log"}' in metrics
    for line in metrics.splitlines():
        assert line.startswith("# ") or float(line.rsplit(" ", 1)[1]) >= 0
    events = json.dumps(told(tmp_path))
    state = (tmp_path / "state" / "outbox.sqlite").read_bytes()
    for text in (health, metrics, events, " ".join(said), repr(state)):
        assert not any(secret in text for secret in ("geheim", "hidden", "anna"))


def test_names_of_feeds():
    named = name_feeds(("yard=rtsp://cam/1", "rtsp://anna:x@hall.example/2", "a.mp4", "0", "-"))
    assert [(name, kind) for name, (_, kind) in named.items()] == [
        ("yard", "rtsp"), ("hall.example", "rtsp"), ("a", "file"), ("camera0", "camera"), ("pipe", "pipe"),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="two feeds are called 'cam'"):
        name_feeds(("rtsp://cam/1", "rtsp://cam/2"))


def test_rules_for_a_class_that_the_model_does_not_know(tmp_path, weights):
    path = rules(tmp_path)
    path.write_text(path.read_text().replace('"label": "a"', '"label": "fight"'))
    with pytest.raises(UnknownNameError, match="'fight' is not a known class"):
        make_watch(config(tmp_path, weights, "a.mp4", rules=path))
