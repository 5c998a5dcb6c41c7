"""Alarms from a real RTSP server that is killed, silent and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

import marey
from marey.jobs.watch import make_watch
from marey.jobs.watch_config import WatchConfig
from tests.live.scene import RATE, model, rules, scene, told
from tests.live.test_feed import until
from tests.video.encoded import encode

PYTHON = "/usr/bin/python3"
_HAS = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def installed() -> bool:
    if not Path(PYTHON).exists():
        return False
    return subprocess.run([PYTHON, "-c", _HAS], capture_output=True, check=False).returncode == 0


class RtspServer:
    """The server, which can be killed, stopped and started again at the same address."""

    def __init__(self, file: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.file = file
        self.address = f"rtsp://anna:geheim@127.0.0.1:{self.port}/live"
        self.start()

    def start(self) -> None:
        script = Path(__file__).with_name("rtsp_server.py")
        self.process = subprocess.Popen([PYTHON, str(script), str(self.file), str(self.port)])

    def end(self) -> None:
        self.process.kill()
        self.process.wait(5)


@pytest.mark.slow
@pytest.mark.skipif(not installed(), reason="no RTSP server here: gir1.2-gst-rtsp-server-1.0 and python3-gi")
def test_a_server_that_is_killed_falls_silent_and_comes_back(tmp_path):
    frames = scene(("still", 2.0), ("moving", 1.5), ("still", 2.5), ("moving", 1.5), ("moving", 9.0))
    frames[150:] = frames[
        150
    ]  # and then nothing moves but a dot: too little for the gate, and no frozen camera
    frames[150::2, :3, :3] = 255
    file = encode(tmp_path / "a.mp4", frames=frames, rate=RATE, gop=10, bframes=0)
    server = RtspServer(file)
    said: list[str] = []
    made = make_watch(
        WatchConfig(feeds=(f"yard={server.address}",), model=str(model(tmp_path)), rules=str(rules(tmp_path)),
                    state=str(tmp_path / "state"), window=0.8, every=0.2),
        say=lambda what, **fields: said.append(f"{what} {fields}"),
    )  # fmt: skip
    feed, done = made.feeds["yard"], threading.Event()
    loop = threading.Thread(target=made.run, args=(done.is_set,))
    loop.start()

    def ended() -> int:
        return sum(event["type"] == "end" for event in told(tmp_path))

    try:
        assert until(lambda: feed.state == "live", 12), feed.error
        assert until(lambda: ended() == 2, 20), told(tmp_path)
        server.end()
        assert until(lambda: feed.state == "down", 8)
        time.sleep(3)
        server.start()
        assert until(lambda: feed.state == "live", 12), feed.error
        assert until(lambda: ended() == 4, 20), told(tmp_path)
        server.process.send_signal(signal.SIGSTOP)
        fallen = time.monotonic()
        assert until(lambda: feed.state in ("stale", "down"), 5.5)
        assert time.monotonic() - fallen > 4
        assert until(lambda: feed.state == "down", 9)
        server.process.send_signal(signal.SIGCONT)
        assert until(lambda: feed.state == "live", 12), feed.error
        assert until(lambda: ended() == 6, 20), told(tmp_path)
    finally:
        done.set()
        loop.join(30)
        server.end()
    events = told(tmp_path)
    assert [e["type"] for e in events if e["type"] != "update"] == ["new", "end"] * 6
    assert not any("geheim" in text for text in [*said, str(events)])
    clips = sorted((tmp_path / "clips").rglob("*.mp4"))
    assert len(clips) == 6
    for clip in clips:
        reader = marey.open_video(clip)
        assert len(reader.frames_at(reader.times).frames) >= 30
