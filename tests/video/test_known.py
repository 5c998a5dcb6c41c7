"""Frame tables kept on disk: the same frames without going through the packets, and never those of another file."""

from __future__ import annotations

import os

import numpy as np
import pytest

from marey.video import known, packets
from marey.video.known import cache_folder, open_known
from marey.video.pyav import PyAVReader
from marey.video.reader import open_video
from tests.video.encoded import encode, pictures


@pytest.fixture
def scans(monkeypatch, tmp_path):
    """Every video is worth keeping, none is held in memory; counts the readings of all packets."""
    monkeypatch.setenv("MAREY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(known, "WORTH", 1)
    monkeypatch.setattr(known, "_SETTLED_NS", -1)
    monkeypatch.setattr(packets, "HELD_TRUSTED", 0)
    counted: list[str] = []
    real = PyAVReader._read_index
    monkeypatch.setattr(
        PyAVReader, "_read_index", lambda self, **how: (counted.append(str(self.path)), real(self, **how))[1]
    )
    return counted


def entries():
    return sorted(cache_folder().rglob("*.safetensors"))


def test_a_second_opening_reads_no_packets_and_gives_the_same(scans, tmp_path):
    path = str(encode(tmp_path / "a.mp4", count=60, bframes=2, gop=12))
    with open_video(path) as plain:
        times, frames = plain.times, plain.frames_at(plain.times[::7]).frames
        index = plain.index
    scans.clear()
    for opening in range(3):
        with open_known(path) as reader:
            assert np.array_equal(reader.times, times)
            assert np.array_equal(reader.frames_at(times[::7]).frames, frames)
            assert np.array_equal(reader.frames_at(times[[50, 3, 20]]).frames[1], plain_frame(path, 3))
            for name in ("pts", "entry", "packet", "droppable"):
                assert np.array_equal(getattr(reader.index, name), getattr(index, name))
        assert len(scans) == 1, opening
    assert len(entries()) == 1


def plain_frame(path, number):
    from tests.video.encoded import decode_all

    return decode_all(path)[1][number]


def test_a_file_that_changed_is_read_anew(scans, tmp_path):
    """Same path, same size, same date: the system still knows."""
    path = encode(tmp_path / "a.mp4", count=30)
    with open_known(str(path)):
        pass
    before = path.stat()
    other = encode(tmp_path / "b.mp4", count=24, frames=pictures(24, seed=3))
    data = other.read_bytes()
    path.write_bytes(data + bytes(max(0, before.st_size - len(data))))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    scans.clear()
    with open_known(str(path)) as reader:
        assert len(reader.times) == 24
    assert len(scans) == 1


def test_a_damaged_entry_is_not_believed(scans, tmp_path):
    path = str(encode(tmp_path / "a.mp4", count=30))
    with open_known(path) as reader:
        times = reader.times
    (entry,) = entries()
    for at in (-1, -400, 3):
        data = bytearray(entry.read_bytes())
        data[at] ^= 4
        entry.write_bytes(data)
        scans.clear()
        with open_known(path) as reader:
            assert np.array_equal(reader.times, times)
        assert len(scans) == 1


def test_what_is_not_entered(scans, tmp_path, monkeypatch):
    path = str(encode(tmp_path / "a.mp4", count=30))
    monkeypatch.setattr(known, "_SETTLED_NS", 3600 * 10**9)  # it has only just been written
    with open_known(path):
        pass
    monkeypatch.setattr(known, "_SETTLED_NS", -1)
    monkeypatch.setattr(known, "WORTH", 1000)  # too short to be worth it
    with open_known(path):
        pass
    assert not entries()
    monkeypatch.setattr(known, "WORTH", 1)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MAREY_CACHE", str(tmp_path / "file"))  # nothing can be written there
    with open_known(path) as reader:
        assert len(reader.times) == 30
