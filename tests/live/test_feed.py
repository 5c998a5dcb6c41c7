"""Feeds: files at their own pace, growing, broken; servers that are silent, gone, or send garbage."""

from __future__ import annotations

import http.server
import shutil
import socket
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marey.errors import ConfigError, UsageError
from marey.live.addresses import cut, from_environment, host_alone
from marey.live.clock import APART, FeedClock
from marey.live.feed import Feed, LiveFrame, Mailbox, state_now
from marey.live.source import kind_of
from marey.spec import InputSpec
from tests.video.encoded import encode

SPEC = InputSpec(size=(32, 32), resize=32)


def reading(address: str, mailbox: Mailbox, **rest) -> Feed:
    feed = Feed("yard", str(address), kind_of(str(address)), SPEC, mailbox, **rest)
    feed.start()
    return feed


def until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def noise(count: int) -> np.ndarray:
    """Pictures that make a file of some hundred kilobytes, as a second of a real camera does."""
    return np.random.default_rng(0).integers(0, 256, (count, 64, 96, 3)).astype(np.uint8)


def stopped(feed: Feed) -> None:
    feed.stop()
    assert feed.join(10)


def test_a_file_comes_at_its_own_pace_and_ends(tmp_path):
    mailbox = Mailbox()
    began = time.monotonic()
    feed = reading(encode(tmp_path / "a.mp4", count=20, rate=20), mailbox)
    seen: list[LiveFrame] = []
    while feed.state != "ended":
        seen += mailbox.take(0.1).values()
    took = time.monotonic() - began
    assert took >= 0.9
    assert feed.counts.frames == 20
    assert len(seen) + feed.counts.dropped == 20
    times = [frame.time for frame in seen]
    assert times == sorted(times)
    assert seen[0].picture.shape == (32, 48, 3)
    stopped(feed)


def test_what_nobody_fetches_is_dropped_and_counted(tmp_path):
    mailbox = Mailbox()
    feed = reading(encode(tmp_path / "a.mp4", count=12, rate=60), mailbox)
    assert until(lambda: feed.state == "ended", 10)
    assert len(mailbox.take(0)) == 1
    assert feed.counts.dropped == 11
    assert mailbox.take(0) == {}


def test_a_file_that_grows(tmp_path):
    whole = encode(tmp_path / "whole.ts", frames=noise(60), rate=60, gop=5).read_bytes()
    path = tmp_path / "growing.ts"
    path.write_bytes(whole[: len(whole) // 2])
    mailbox = Mailbox()
    feed = reading(path, mailbox, follow=True)
    assert until(lambda: feed.counts.frames >= 10, 10)
    half = feed.counts.frames
    assert half < 60
    with path.open("ab") as file:
        file.write(whole[len(whole) // 2 :])
    assert until(lambda: feed.counts.frames > half + 10, 10)
    assert feed.state == "live"
    stopped(feed)


def test_a_picture_that_changes_its_size_is_another_scene(tmp_path):
    small = encode(tmp_path / "small.ts", count=15, rate=60, options={"tune": "zerolatency"})
    large = encode(
        tmp_path / "large.ts", count=15, rate=60, height=96, width=128, options={"tune": "zerolatency"}
    )
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    mailbox, seen = Mailbox(), []
    feed = reading(path, mailbox)
    while feed.state != "ended":
        seen += mailbox.take(0.1).values()
    assert feed.size == (96, 128)
    assert seen[-1].scene == seen[0].scene + 1
    assert [frame.time for frame in seen] == sorted(frame.time for frame in seen)


def test_identical_frames_are_frozen_and_none_is_stale(tmp_path, monkeypatch):
    monkeypatch.setattr("marey.live.feed.FROZEN", 0.5)
    still = np.repeat(np.full((1, 64, 96, 3), 90, np.uint8), 60, axis=0)
    mailbox = Mailbox()
    feed = reading(encode(tmp_path / "still.mp4", frames=still, rate=30), mailbox)
    assert until(lambda: feed.state == "frozen", 5)
    stopped(feed)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({"open_": False, "last_frame": None, "last_change": None, "tried": False}, "connecting"),
        ({"open_": True, "last_frame": None, "last_change": None, "tried": False}, "connecting"),
        ({"open_": False, "last_frame": 99.0, "last_change": 99.0, "tried": True}, "down"),
        ({"open_": True, "last_frame": None, "last_change": None, "tried": True}, "down"),
        ({"open_": True, "last_frame": 99.0, "last_change": 99.0, "tried": False}, "live"),
        ({"open_": True, "last_frame": 95.0, "last_change": 95.0, "tried": False}, "stale"),
        ({"open_": True, "last_frame": 99.0, "last_change": 95.0, "tried": False}, "frozen"),
    ],
)
def test_states(facts, state):
    assert state_now(100.0, ended=False, **facts) == state


class Server:
    """An HTTP server of MJPEG whose faults are said by `mode`: good, silent, garbage."""

    def __init__(self, jpeg: list[bytes]) -> None:
        server = self
        self.mode = "good"

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
                self.end_headers()
                number = 0
                try:
                    while server.mode != "closed":
                        if server.mode == "good":
                            body = jpeg[number % len(jpeg)]
                            self.wfile.write(
                                b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                                % len(body)
                            )
                            self.wfile.write(body + b"\r\n")
                            number += 1
                        elif server.mode == "garbage":
                            self.wfile.write(np.random.default_rng(0).bytes(4096))
                        time.sleep(0.03)
                except OSError:
                    pass

            def log_message(self, *words: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://anna:geheim@127.0.0.1:{self.http.server_address[1]}/video?token=hidden"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server():
    import cv2

    from tests.video.encoded import pictures

    made = Server([cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures(20)])
    yield made
    made.mode = "closed"
    made.http.shutdown()
    made.http.server_close()


@pytest.mark.parametrize("fault", ["silent", "garbage", "closed"])
def test_a_server_that_fails_is_seen_and_found_again(server, monkeypatch, fault):
    monkeypatch.setattr("marey.live.feed.STALE", 0.5)
    monkeypatch.setattr("marey.live.feed.SILENT_SECONDS", 1.0)
    monkeypatch.setattr("marey.live.source.SILENT_SECONDS", 1.0)
    monkeypatch.setattr("marey.live.source.OPEN_SECONDS", 1.0)
    mailbox = Mailbox()
    feed = reading(server.address, mailbox)
    assert until(lambda: feed.state == "live", 10), feed.error
    server.mode = fault
    assert until(lambda: feed.state == "stale" or feed.state == "down", 3)
    assert until(lambda: feed.state == "down", 6)
    assert feed.error
    server.mode = "good"
    assert until(lambda: feed.state == "live", 12), feed.error
    assert feed.counts.connections >= 2
    for text in (feed.error, feed.shown_address):
        assert not any(secret in text for secret in ("anna", "geheim", "hidden"))
    stopped(feed)


def test_nobody_at_that_address_is_down_and_does_not_hang():
    with socket.socket() as mute:  # takes the connection and never says a word
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        feed = reading(f"rtsp://u:geheim@127.0.0.1:{mute.getsockname()[1]}/x", Mailbox())
        assert until(lambda: feed.state == "down", 9)
        assert "geheim" not in feed.error
        feed.stop()
        assert feed.join(7)


@given(st.lists(st.tuples(st.one_of(st.none(), st.floats(-1e5, 1e5)), st.floats(0, 5)), max_size=40))
def test_times_of_frames_only_go_forward_and_stay_near_their_arrival(rows):
    clock, arrival, last = FeedClock(), 1000.0, 0.0
    for stamp, later in rows:
        arrival += later
        time_ = clock.at(stamp, arrival)
        assert time_ > last
        assert time_ - arrival <= APART + 0.01
        last = time_


def test_a_wrap_of_the_stamps_is_one_jump_and_even_times_stay_even():
    clock = FeedClock()
    stamps = [*np.arange(95443.0, 95443.7, 0.04), *np.arange(0.02, 0.6, 0.04)]
    bursts = [10 + 0.2 * (number // 5) for number in range(len(stamps))]
    times = [clock.at(float(stamp), arrival) for stamp, arrival in zip(stamps, bursts, strict=True)]
    assert clock.jumps == 1
    assert np.allclose(np.diff(times)[:15], 0.04)
    assert np.allclose(np.diff(times)[-10:], 0.04)


def test_addresses_are_shown_without_secrets():
    secret = "rtsp://anna:p@ss/w@cam.example:554/live?key=abc refused"
    assert cut(secret) == "rtsp://cam.example:554/live?… refused"
    assert cut("tcp failed for 'rtsp://anna:x@cam/live'") == "tcp failed for 'rtsp://cam/live'"
    assert host_alone("https://hooks.example/T0/secret") == "https://hooks.example"
    assert from_environment("rtsp://${U}:${P}@cam/", {"U": "a", "P": "b"}) == "rtsp://a:b@cam/"
    with pytest.raises(ConfigError, match="no P, which 'rtsp://cam/'"):
        from_environment("rtsp://a:${P}@cam/", {})


def test_what_is_no_source():
    with pytest.raises(UsageError, match="--playlists"):
        kind_of("https://cam/live.m3u8?token=x")
    assert kind_of("https://cam/live.m3u8", playlists=True) == "hls"
    with pytest.raises(UsageError, match="ftp:// is no live source"):
        kind_of("ftp://anna:geheim@cam/x")
    assert [kind_of(a) for a in ("0", "-", "a.mp4", "rtsps://x", "http://x/v")] == [
        "camera", "pipe", "file", "rtsp", "http",
    ]  # fmt: skip


def test_a_file_that_is_replaced_is_read_anew(tmp_path):
    path = encode(tmp_path / "a.ts", frames=noise(40), rate=60, gop=5)
    other = encode(tmp_path / "b.ts", frames=noise(40), rate=60, gop=5)
    feed = reading(path, Mailbox(), follow=True)
    assert until(lambda: feed.counts.frames >= 10, 10)
    shutil.move(other, path)
    assert until(lambda: feed.counts.connections == 2 and feed.counts.frames >= 20, 10), feed.error
    stopped(feed)
