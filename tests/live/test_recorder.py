"""Clips of packets as they came, that open in any player; and old ones that go before new ones are refused."""

from __future__ import annotations

import errno
import os
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import marey
import marey.live.recorder as recorder_module
from marey.live.recorder import ClipsConfig, Packet, Recorder, Tape, even_times, write_picture
from marey.live.room import make_room
from tests.video.encoded import decode_all, encode


def played(tape: Tape, path: Path, *, begin: bool = True, at: float = 0.0) -> float:
    """A file onto a tape, as a feed does it; gives the time after it."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if begin:
            tape.begin(stream)
        first = None
        for packet in container.demux(stream):
            if packet.size:
                own = float(packet.dts * packet.time_base)
                first = own if first is None else first
                tape.add(packet, at + own - first)
        return at + own - first


@pytest.mark.parametrize(
    ("codec", "suffix", "given"), [("libx264", ".mp4", ".mp4"), ("libx264", ".ts", ".mp4"), ("mjpeg", ".mkv", ".mkv")]
)  # fmt: skip
def test_a_clip_holds_the_very_packets_from_a_keyframe_on(tmp_path, codec, suffix, given):
    path = encode(
        tmp_path / f"a{suffix}", codec, count=60, rate=20, gop=10, bframes=2 if codec == "libx264" else None,
        pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
    )  # fmt: skip
    recorder = Recorder(ClipsConfig(before=1.0), tmp_path / "clips")
    recorder.start()
    tape = recorder.tape()
    now = played(tape, path)
    assert tape.start("alarm", tmp_path / "clips" / "day" / "alarm", now)
    tape.end("alarm", now + 0.2)
    later = played(tape, path, begin=False, at=now + 0.05)  # the camera's clock jumps back here
    assert later > now
    recorder.stop(10)
    assert (recorder.written, recorder.failed) == (1, 0)
    made = tmp_path / "clips" / "day" / f"alarm{given}"
    reader = marey.open_video(made)
    assert reader.info.codec == ("h264" if codec == "libx264" else "mjpeg")
    assert (np.diff(reader.times) > 0).all()
    assert 1.0 <= reader.times[-1] - reader.times[0] < 2.2
    _, source = decode_all(path)
    _, clip = decode_all(made)
    start = next(n for n in range(30, 50) if np.array_equal(source[n], clip[0]))
    assert start % 10 == 0 or codec == "mjpeg"
    assert np.array_equal(clip[: 60 - start], source[start:])
    assert not list((tmp_path / "clips").rglob(".partial*"))


def test_the_tape_keeps_what_it_is_told_to_and_begins_with_a_keyframe(tmp_path):
    path = encode(tmp_path / "a.mp4", count=100, rate=20, gop=10, bframes=0)
    tape = Tape(1.0, 60.0, lambda recording: None)
    played(tape, path)
    kept = list(tape._packets)
    assert kept[0].key
    assert 1.0 <= kept[-1].time - kept[0].time <= 1.5


def test_a_recording_is_never_longer_than_it_may_be_and_ends_with_its_connection(tmp_path):
    path = encode(tmp_path / "a.mp4", count=60, rate=20, gop=10)
    whole = []
    tape = Tape(1.0, 2.0, whole.append)
    now = played(tape, path)
    tape.start("long", tmp_path / "long", now)
    played(tape, path, begin=False, at=now + 0.05)
    assert len(whole) == 1
    tape.start("broken", tmp_path / "broken", now + 3)
    played(tape, path, at=now + 4)
    assert [recording.path.name for recording in whole] == ["long", "broken"]


def test_times_of_packets_rise_whatever_a_camera_says():
    tick = Fraction(1, 90000)

    def packet(stamp: int | None, time_: float) -> Packet:
        return Packet(b"", stamp, stamp, tick, True, time_)

    stamps = [8589934000, 8589937600, 5, 3605, None, 3605, 90000 * 3600]
    times = even_times([packet(stamp, 0.04 * n) for n, stamp in enumerate(stamps)])
    steps = np.diff([dts for _, dts in times])
    assert times[0] == (0, 0)
    assert steps[[0, 2]].tolist() == [3600, 3600]
    assert (steps > 0).all()
    assert steps.max() * tick < 0.1


def test_old_clips_go_before_new_ones_are_refused(tmp_path):
    for number in range(5):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(bytes(1000))
        age = (5 - number) * 86400
        os.utime(path, (time.time() - age, time.time() - age))
    (tmp_path / "notes.txt").write_text("mine")
    assert make_room(tmp_path, days=3.5, most=10**9, spare=0) == 2
    assert make_room(tmp_path, days=30, most=2000, spare=0) == 1
    assert make_room(tmp_path, days=30, most=2000, spare=0) == 0
    assert make_room(tmp_path, days=30, most=2000, spare=0, one_more=True) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["4.mp4", "notes.txt"]


def test_a_full_disk_costs_an_old_clip_and_not_the_new_one(tmp_path, monkeypatch):
    """The disk says that it is full once, as it does when another program was faster."""
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "old.mp4").write_bytes(bytes(10))
    real, tries = write_picture, []

    def full(path, raw):
        tries.append(path)
        if len(tries) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, raw)

    monkeypatch.setattr(recorder_module, "write_picture", full)
    said: list[str] = []
    recorder = Recorder(ClipsConfig(spare=0), folder, said.append)
    recorder.start()
    recorder.picture(folder / "new.jpg", np.full((8, 8, 3), 200, np.uint8))
    recorder.stop(5)
    assert [path.name for path in folder.iterdir()] == ["new.jpg"]
    assert said == ["No space left on device: the oldest clips were deleted"]
