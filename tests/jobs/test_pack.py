"""Packing: the same frames and times as the source, found again, resumed, mended, refused without room."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from marey.cli.main import main
from marey.data.clips import load_clip
from marey.data.loader import make_loader
from marey.data.manifest import Manifest
from marey.errors import ConfigError, DataError, NoRoomError, VideoError, VideoNotFoundError
from marey.jobs.pack import PackConfig, pack
from marey.spec import InputSpec
from marey.video.packed.content import content_hash, packed_content
from marey.video.packed.held import HeldVideos
from marey.video.packed.shard import Shard
from marey.video.packed.store import found_videos
from marey.video.reader import open_video
from tests.shared import SHARED, needs_shared
from tests.video.encoded import encode

SPEC = InputSpec(sampler={"name": "uniform", "n": 6}, size=(28, 28), resize=32)
UNEVEN = [3, 7, 8, 12, 19, 20, 27, 33, 34, 41]


def quiet(text: str) -> None:
    pass


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Six videos: B-frames, an uneven clock, a start that is not 0, odd sizes, two segments of one, a twin."""
    folder = tmp_path_factory.mktemp("source")
    encode(folder / "a b.mp4", count=20, bframes=2)
    encode(folder / "uneven.mkv", count=10, pts=UNEVEN, time_base=Fraction(1, 1000), rate=25)
    encode(
        folder / "late.mp4",
        count=12,
        pts=[90_000 + 3003 * i for i in range(12)],
        time_base=Fraction(1, 90_000),
    )
    encode(folder / "odd.mkv", "ffv1", count=9, height=50, width=67, pix_fmt="bgr0")
    encode(folder / "upright.mp4", count=11, rotate=90, rate=30)
    shutil.copy(folder / "uneven.mkv", folder / "twin.mkv")
    rows = ["a b.mp4,x,,", "uneven.mkv,y,0,0.02", "uneven.mkv,x,0.02,", "late.mp4,y,1,1.2", "odd.mkv,x,,"]
    rows += ["upright.mp4,y,,", "twin.mkv,x,,"]
    (folder / "m.csv").write_text("path,label,start,end\n" + "\n".join(rows) + "\n")
    return folder


def packed(source: Path, out: Path, **how) -> Path:
    how = {"size": 32, "workers": 1, **how}
    report = pack(PackConfig(data=str(source / "m.csv"), out=str(out), **how), say=quiet)
    assert not report.failures
    return out


@pytest.fixture(scope="module")
def shards(source, tmp_path_factory) -> Path:
    return packed(source, tmp_path_factory.mktemp("pack") / "shards")


def test_what_is_written_into_frames_is_not_seen_again(shards):
    """Videos stay mapped in a process, and who draws into a clip must not change them."""
    path = Manifest.read(shards).sample(0).path
    with open_video(path) as video:
        clip = video.frames_at(video.times[:4])
        part = video.frames_at(video.times[:4], box=(0, 0, 8, 8)).frames
        before = clip.frames.copy()
        clip.frames[:], part[:] = 0, 0
        with pytest.raises(ValueError, match="read-only"):
            video.times[0] = 1.0
    with open_video(path) as video:
        assert np.array_equal(video.frames_at(video.times[:4]).frames, before)
        assert np.array_equal(video.frames_at(video.times[:4], box=(0, 0, 8, 8)).frames, before[:, :8, :8])


def test_videos_that_stay_mapped_are_bounded_and_never_another_files(source, tmp_path):
    folder = packed(source, tmp_path / "pack")
    paths = [Path(Manifest.read(folder).sample(row).path) for row in (0, 1, 3)]
    held = HeldVideos(most_videos=2)
    first = held.get(paths[0])
    assert held.get(paths[0]) is first
    for path in paths:
        held.get(path)
    assert len(held) == 2
    assert held.bytes == sum(held.get(path).frames.nbytes for path in paths[1:])
    assert held.get(paths[0]) is not first
    size = first.frames.nbytes
    assert first.frames.sum() > 0, "whoever still holds it can look at it"
    small = HeldVideos(most_bytes=size - 1)
    small.get(paths[0])
    assert (len(small), small.bytes) == (0, 0)
    os.utime(paths[0].parent)
    again = held.get(paths[0])
    assert np.array_equal(again.frames, first.frames)
    shard_file = paths[0].parent
    shutil.move(shard_file, tmp_path / "away")
    with pytest.raises(VideoNotFoundError):
        held.get(paths[0])


def test_videos_of_a_shard_are_known_by_their_content(source, shards, tmp_path):
    """The same in another shard, and another for each video; twins are one."""
    rows = Manifest.read(shards)
    places = [rows.sample(row).path for row in range(len(rows))]
    known = {place: content_hash(place) for place in places}
    assert len(set(known.values())) == len(set(places)) == 5
    assert all(len(packed_content(place)) < 100 for place in places)
    alone = Manifest.read(packed(source, tmp_path / "alone", workers=2))
    assert [content_hash(alone.sample(row).path) for row in range(len(alone))] == [
        known[place] for place in places
    ]


def test_a_shard_that_was_written_over_is_read_anew_or_refused(source, tmp_path):
    """Shards never change; who copies another pack over one must not be given its old table with new bytes."""
    one, two = (packed(source, tmp_path / name, size=size) for name, size in (("one", 32), ("two", 24)))
    path = Path(Manifest.read(one).sample(0).path)
    (other,) = (two / "shards").iterdir()
    data = path.parent.read_bytes()
    with open_video(path) as video:
        before = video.frames_at(video.times).frames.copy()
    with open_video(path) as video:
        path.parent.write_bytes(data[:-1] + data[-1:])  # the same bytes, and yet nobody knows that
        os.utime(path.parent, ns=(1, 1))  # whatever the clock's ticks
        with pytest.raises(VideoError, match="written over while it was open"):
            video.frames_at(video.times)
    path.parent.write_bytes(other.read_bytes())
    with open_video(path) as video, open_video(two / "shards" / other.name / path.name) as wanted:
        assert video.info.height == 24
        assert np.array_equal(video.frames_at(video.times).frames, wanted.frames_at(wanted.times).frames)
    path.parent.write_bytes(data)
    with open_video(path) as video:
        assert np.array_equal(video.frames_at(video.times).frames, before)


def test_a_part_of_the_picture(shards):
    """At the packed size, at another, in gray, of frames that lie evenly and that do not."""
    rows = Manifest.read(shards)
    with open_video(rows.sample(0).path) as video:
        for numbers in ([0, 2, 4, 6], [5, 1, 1, 2]):
            times = video.times[numbers]
            for how in ({}, {"size": 24}, {"decode": "gray"}):
                whole = video.frames_at(times, **how).frames
                part = video.frames_at(times, **how, box=(2, 3, 17, 20)).frames
                assert np.array_equal(part, whole[:, 2:19, 3:23])


def test_frames_are_those_of_the_source(source, shards):
    """Bit for bit, at any instants, with times, key frames and ends."""
    was, now = Manifest.read(source / "m.csv"), Manifest.read(shards)
    assert len(now) == len(was) == 7
    assert now.table["packed_from"].to_pylist() == was.table["path"].to_pylist()
    rng = np.random.default_rng(0)
    for row in range(len(was)):
        with open_video(was.sample(row).path) as one, open_video(now.sample(row).path) as two:
            assert np.array_equal(one.times, two.times)
            assert np.array_equal(one.keyframes, two.keyframes)
            assert (one.info.end, one.info.variable_rate) == (two.info.end, two.info.variable_rate)
            size = (two.info.height, two.info.width)
            assert min(size) == 32
            for times in (one.times, one.times[::3], rng.choice(one.times, 5), one.times[[2, 2, 5]] + 1e-4):
                wanted, got = one.frames_at(times, size=size), two.frames_at(times)
                assert np.array_equal(wanted.frames, got.frames)
                assert np.array_equal(wanted.times, got.times)
        assert now.sample(row).start == was.sample(row).start
    twins = [now.sample(row).path for row in (1, 2, 6)]
    assert len(set(twins)) == 1, "the same content is packed once"


def test_training_batches_are_those_of_the_source(source, shards):
    def batches(folder):
        m = Manifest.read(folder)
        return list(make_loader(m, m.indices(), SPEC, class_names=m.class_names, train=True, batch=3))

    for one, two in zip(batches(source / "m.csv"), batches(shards), strict=True):
        assert one.ids == two.ids
        assert torch.equal(one.inputs["rgb"], two.inputs["rgb"])
        assert torch.equal(one.mask, two.mask)


def test_evenly_spaced_frames_are_not_copied(shards):
    with open_video(Manifest.read(shards).sample(0).path) as video:
        for times in (video.times[2:9], video.times[::4], video.times[5:6]):
            frames = video.frames_at(times).frames
            assert np.shares_memory(frames, video._frames)
        frames[:] = 0  # of this process alone
    with open_video(Manifest.read(shards).sample(0).path) as video:
        assert video.frames_at(video.times[5:6]).frames.any()


def test_other_sizes_are_scaled_from_the_pack(source, shards):
    with open_video(source / "a b.mp4") as one, open_video(Manifest.read(shards).sample(0).path) as two:
        for size in (16, 48):
            wanted = one.frames_at(one.times[:4], size=size).frames.astype(int)
            got = two.frames_at(one.times[[0, 1, 2, 3]], size=size).frames
            assert got.shape == wanted.shape
            assert np.abs(got - wanted).mean() < 12
        gray = two.frames_at(one.times[[3, 1, 3]], decode="gray").frames
        assert gray.shape == (3, 32, 48, 1)
        assert np.array_equal(gray[0], gray[2])


@pytest.mark.parametrize("form", ["mp4", "tar"])
def test_movies_keep_every_time(source, tmp_path, form):
    out = packed(source, tmp_path / "pack", form=form)
    was, now = Manifest.read(source / "m.csv"), Manifest.read(out)
    for row in range(len(was)):
        with open_video(was.sample(row).path) as one, open_video(now.sample(row).path) as two:
            assert np.array_equal(one.times, two.times)
            assert two.info.path == now.sample(row).path
            assert abs(one.info.end - two.info.end) < 0.002
            assert np.diff(np.flatnonzero(np.isin(two.times, two.keyframes))).max(initial=0) <= 8
            size = (two.info.height, two.info.width)
            wanted = one.frames_at(one.times, size=size, decode="gray").frames.astype(int)
            assert np.abs(two.frames_at(two.times, decode="gray").frames - wanted).mean() < 8
        clip = load_clip(now.sample(row), SPEC)
        assert clip.mask.sum() == load_clip(was.sample(row), SPEC).mask.sum()
    assert (
        pack(PackConfig(data=str(source / "m.csv"), out=str(out), size=32, form=form), say=quiet).written == 0
    )


def test_tars_are_webdataset(source, tmp_path):
    """Any tar tool reads them: two members a sample, told apart by what follows the first dot."""
    out = packed(source, tmp_path / "pack", form="tar")
    (path,) = (out / "shards").glob("*.tar")
    with tarfile.open(path) as tar:
        names = tar.getnames()
        about = {n.split(".")[0]: json.load(tar.extractfile(n)) for n in names if n.endswith(".json")}
        movies = {n.split(".")[0]: tar.extractfile(n).read() for n in names if n.endswith(".mp4")}
    assert about.keys() == movies.keys()
    assert len(movies) == 5
    rows = next(v["rows"] for k, v in about.items() if k.startswith("uneven"))
    assert [(r["label"], r.get("end")) for r in rows] == [("y", 0.02), ("x", None)]
    (tmp_path / "one.mp4").write_bytes(next(iter(movies.values())))
    with open_video(tmp_path / "one.mp4") as video:
        assert len(video.times)


def test_a_rate_keeps_frames_with_their_own_times(source, tmp_path):
    out = packed(source, tmp_path / "pack", rate=10.0)
    with open_video(Manifest.read(out).sample(0).path) as two, open_video(source / "a b.mp4") as one:
        assert two.times.tolist() == pytest.approx([0.0, 0.08, 0.2, 0.28, 0.4, 0.48, 0.6, 0.68])
        assert set(two.times) <= set(one.times)
        wanted = one.frames_at(two.times, size=(two.info.height, two.info.width)).frames
        assert np.array_equal(two.frames_at(two.times).frames, wanted)
        assert two.info.end == one.info.end


def test_only_what_changed_is_packed_again(source, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(source, data)
    out = packed(data, tmp_path / "pack")
    (data / "late.mp4").rename(data / "moved.mp4")
    encode(data / "odd.mkv", "ffv1", count=7, pix_fmt="bgr0")
    (data / "m.csv").write_text((data / "m.csv").read_text().replace("late.mp4", "moved.mp4"))
    again = pack(PackConfig(data=str(data / "m.csv"), out=str(out), size=32, workers=1), say=quiet)
    assert (again.written, again.found, again.frames, again.unused) == (1, 4, 7, 1)
    with open_video(Manifest.read(out).sample(4).path) as video:
        assert video.info.frames == 7
    with pytest.raises(ConfigError, match="a pack with size 32; asked for 48"):
        pack(PackConfig(data=str(data / "m.csv"), out=str(out), size=48), say=quiet)
    with pytest.raises(ConfigError, match="holds something else"):
        pack(PackConfig(data=str(data / "m.csv"), out=str(data), size=32), say=quiet)


def test_what_cannot_be_packed_is_listed_and_the_rest_goes_on(source, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(source, data)
    (data / "odd.mkv").write_bytes(b"not a video")
    (data / "late.mp4").unlink()
    assert main(["data", "pack", str(data / "m.csv"), "--out", str(tmp_path / "p"), "--size", "32"]) == 1
    told = capsys.readouterr().err
    assert "packing 3 videos, 41 frames, at 32 pixels: about" in told
    assert "3 videos packed (41 frames), 0 found, 2 failed" in told
    assert "late.mp4: there is no such file" in told
    assert len(Manifest.read(tmp_path / "p")) == 5
    assert "odd.mkv" in (tmp_path / "p" / "failed.csv").read_text()
    (tmp_path / "none.csv").write_text("path,label\nnowhere.mp4,x\n")
    with pytest.raises(DataError, match="none of the 1 videos"):
        pack(PackConfig(data=str(tmp_path / "none.csv"), out=str(tmp_path / "n")), say=quiet)


def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 16
    path.write_bytes(data)


def test_a_flipped_byte_in_the_frames_is_found_named_and_mended(source, shards, tmp_path):
    out = tmp_path / "pack"
    shutil.copytree(shards, out)
    (path,) = (out / "shards").glob("*.frames")
    entry = Shard(path).entries[1]
    flipped(path, int(entry["at"]) + 3 * int(entry["height"]) * int(entry["width"]) * 3 + 77)
    said: list[str] = []
    config = PackConfig(data=str(source / "m.csv"), out=str(out), size=32, workers=1, verify=True)
    report = pack(config, say=said.append)
    assert said[0].startswith(f"damaged: {path}/1: frame 3 (0.012 s) of ")
    assert said[0].endswith("uneven.mkv is damaged.")
    assert (report.damaged, report.written, report.found) == (1, 1, 4)
    test_frames_are_those_of_the_source(source, out)
    said.clear()
    assert pack(config, say=said.append).damaged == 0
    assert not said


def test_flipped_bytes_elsewhere_are_found_on_opening(shards, tmp_path):
    out = tmp_path / "pack"
    shutil.copytree(shards, out)
    (path,) = (out / "shards").glob("*.frames")
    sample = Manifest.read(out).sample(0)
    flipped(path, int(Shard(path).entries[0]["about"]) + 3)
    with pytest.raises(DataError, match=r"frames/0: its table of times is damaged") as error:
        open_video(sample.path)
    assert "--verify" in str(error.value)
    shutil.copy(path, out / "shards" / "other.frames")
    flipped(out / "shards" / "other.frames", -60)
    with pytest.raises(DataError, match="table is damaged"):
        open_video(out / "shards" / "other.frames" / "0-a_b")
    with pytest.raises(VideoNotFoundError, match="holds 0 to 4"):
        open_video(path / "9-nothing")


@pytest.mark.parametrize("form", ["mp4", "tar"])
def test_a_damaged_movie_is_found_and_mended(source, tmp_path, form):
    out = packed(source, tmp_path / "pack", form=form)
    place = sorted(found_videos(out, form).values())[0]
    if form == "tar":
        from marey.video.packed.tar import members

        flipped((out / place).parent, members((out / place).parent)[Path(place).name][0] + 900)
    else:
        flipped(out / place, 900)
    said: list[str] = []
    config = PackConfig(data=str(source / "m.csv"), out=str(out), size=32, workers=1, form=form, verify=True)
    report = pack(config, say=said.append)
    assert (report.damaged, report.written, report.found) == (1, 1, 4)
    assert Path(place).name in said[0]
    assert pack(config, say=quiet).damaged == 0


@pytest.mark.parametrize("form", ["shards", "tar", "mp4"])
def test_a_full_disk_keeps_what_was_good(source, tmp_path, monkeypatch, form):
    """The third video finds no room, half-way through its bytes."""
    real, left = os.write, {"shards": 230_000, "tar": 30_000, "mp4": 15_000}[form]

    def write(descriptor, data):
        nonlocal left
        if left <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real(descriptor, data[: max(1, left)])
        left -= count
        return count

    config = PackConfig(data=str(source / "m.csv"), out=str(tmp_path / "pack"), size=32, workers=1, form=form)
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "ftruncate", lambda fd, size, real=os.ftruncate: (real(fd, size), free()))

    def free():
        nonlocal left
        left = 40_000

    with pytest.raises(NoRoomError, match="the disk is full") as error:
        pack(config, say=quiet)
    assert "make room and call again" in str(error.value)
    monkeypatch.undo()
    kept = found_videos(tmp_path / "pack", form)
    assert 0 < len(kept) < 5
    assert not list((tmp_path / "pack").rglob(".partial*"))
    report = pack(config, say=quiet)
    assert (report.found, report.written) == (len(kept), 5 - len(kept))
    assert len(Manifest.read(tmp_path / "pack")) == 7


def test_no_room_is_said_before_the_work(source, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(NoRoomError, match=r"the pack needs about 2\d\d\.\d kB, and 1\.0 kB are free"):
        packed(source, tmp_path / "pack")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_and_resumed(source, tmp_path, monkeypatch):
    """A process that is killed leaves whole shards and a leftover that is swept; the rest is packed after it."""
    data = tmp_path / "data"
    shutil.copytree(source, data)
    for number in range(6):
        encode(data / f"more{number}.mp4", count=150, height=96, width=160, options={"crf": f"{20 + number}"})
    with (data / "m.csv").open("a") as file:
        file.writelines(f"more{number}.mp4,x,,\n" for number in range(6))
    code = (
        "import sys, marey.jobs.pack as p\np._SHARD_BYTES = p._LEAST_BYTES = 500_000\n"
        "p.pack(p.PackConfig(data=sys.argv[1], out=sys.argv[2], size=32, workers=1))"
    )
    out = tmp_path / "pack"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(data / "m.csv"), str(out)], stderr=subprocess.DEVNULL
    ) as packing:
        deadline = time.monotonic() + 120
        while not list(out.glob("shards/*.frames")) and time.monotonic() < deadline:
            time.sleep(0.01)
        packing.send_signal(signal.SIGKILL)
    kept = len(found_videos(out, "shards"))
    assert 0 < kept < 11
    report = pack(PackConfig(data=str(data / "m.csv"), out=str(out), size=32, workers=1), say=quiet)
    assert (report.found, report.written) == (kept, 11 - kept)
    assert not list(out.rglob(".partial*"))
    assert len(Manifest.read(out)) == 13


@needs_shared
@pytest.mark.slow
def test_real_videos_pack_exactly(tmp_path):
    """Every kind of file that the reader reads comes out of a pack of frames as it went in."""
    kinds = {".mp4", ".mkv", ".avi", ".webm", ".gif", ".mov"}
    files = sorted(p for p in (SHARED / "videos").rglob("*") if p.suffix in kinds)
    (tmp_path / "m.csv").write_text("path,label\n" + "".join(f'"{p}",x\n' for p in files))
    report = pack(PackConfig(data=str(tmp_path / "m.csv"), out=str(tmp_path / "p"), size=64), say=quiet)
    assert report.written > 20
    now = Manifest.read(tmp_path / "p")
    for row in range(len(now)):
        with (
            open_video(now.table["packed_from"][row].as_py()) as one,
            open_video(now.sample(row).path) as two,
        ):
            assert np.array_equal(one.times, two.times)
            some = one.times[:: max(1, len(one.times) // 8)]
            assert np.array_equal(
                one.frames_at(some, size=(two.info.height, two.info.width)).frames, two.frames_at(some).frames
            )
