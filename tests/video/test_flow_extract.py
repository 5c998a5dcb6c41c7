"""From video files to folders of flow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from marey.errors import ConfigError, DataError, NoRoomError, UnknownNameError
from marey.video.flow import StoredFlow, compute_flow, error_bound, extract_flow, read_index
from marey.video.reader import open_video
from marey.video.synthetic import write_video
from marey.work import each
from tests.shared import SHARED, needs_shared
from tests.video.moving import endpoint_error, translation

# 60 pixels a second to the right, 30 up, seen at uneven times
TIMES = np.array([0, 1, 2, 4, 5, 8, 9, 10, 12, 13]) / 25


class Row(NamedTuple):
    """What a manifest's sample offers."""

    path: str
    start: float | None = None
    end: float | None = None


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    frames = translation([(60 * t, -30 * t) for t in TIMES])
    write_video(folder / "uneven.mp4", frames, times=TIMES)
    for seed in (1, 2):
        still = translation([(0, 0)] * 5, height=64, width=64, seed=seed)
        write_video(folder / f"still {seed}.mp4", still, fps=25)
    (folder / "broken.mp4").write_bytes((folder / "uneven.mp4").read_bytes()[:700])
    return folder


def quiet(text: str) -> None:
    pass


def test_true_motion_of_an_encoded_video_with_uneven_times(videos: Path, tmp_path: Path) -> None:
    report = extract_flow([videos / "uneven.mp4"], tmp_path, size=None, workers=1, say=quiet)
    assert (report.written, report.found, report.fields, report.exit_code) == (1, 0, 9, 0)
    stored = StoredFlow(tmp_path / read_index(tmp_path)[0]["folder"])
    assert np.allclose(stored.intervals, np.diff(TIMES), atol=1e-4)
    flow = stored.read()
    for field, seconds in zip(flow.fields, np.diff(TIMES), strict=True):
        assert endpoint_error(field, (60 * seconds, -30 * seconds)) < 0.35
    pace = np.median(flow.velocity[:, 0, 20:-20, 20:-20], axis=(1, 2))
    assert np.allclose(pace, 60, atol=5)  # of which one step of 8 bits in 1/25 s is 4


@pytest.mark.parametrize("size", [None, 64])
def test_the_stored_flow_is_that_computed_on_the_fly(videos: Path, tmp_path: Path, size: int | None) -> None:
    extract_flow([videos / "uneven.mp4"], tmp_path, size=size, method="dis-fast", workers=1, say=quiet)
    stored = StoredFlow(tmp_path / read_index(tmp_path)[0]["folder"]).read()
    with open_video(videos / "uneven.mp4") as video:
        clip = video.frames_at(video.times, size=size)
    computed = compute_flow(clip.frames, clip.times, "dis-fast")
    assert np.array_equal(stored.intervals, computed.intervals)
    assert np.abs(stored.fields - computed.fields).max() <= error_bound() + 1e-5


def test_many_processes_list_what_fails_and_resume(videos: Path, tmp_path: Path) -> None:
    names = ["uneven.mp4", "broken.mp4", "still 1.mp4", "nowhere.mp4", "still 2.mp4"]
    said: list[str] = []
    report = extract_flow([videos / n for n in names], tmp_path, size=64, workers=2, say=said.append)
    assert (report.written, report.found, report.fields) == (3, 0, 17)
    assert report.exit_code == 1
    assert [Path(video).name for video, _ in report.failures] == ["broken.mp4", "nowhere.mp4"]
    assert "no such file" in dict(report.failures)[str(videos / "nowhere.mp4")]
    assert "about" in said[0]
    assert "free" in said[0]
    assert "17/17 fields" in said[-1]
    rows = read_index(tmp_path)
    assert [row["status"] for row in rows] == ["whole", "failed", "whole", "failed", "whole"]
    assert report.bytes == sum(
        p.stat().st_size for row in rows if row["folder"] for p in (tmp_path / row["folder"]).iterdir()
    )

    shutil.rmtree(tmp_path / rows[2]["folder"])
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/flow.json")}
    again = extract_flow([videos / n for n in names if "still" in n], tmp_path, size=64, workers=2, say=quiet)
    assert (again.written, again.found, again.exit_code) == (1, 1, 0)
    assert all(p.stat().st_mtime_ns == when for p, when in before.items())
    assert len(read_index(tmp_path)) == 5


def test_folders_are_keyed_by_content_and_settings(videos: Path, tmp_path: Path) -> None:
    first = videos / "still 1.mp4"
    out = tmp_path / "out"
    extract_flow([first], out, method="diff", size=32, workers=1, say=quiet)
    renamed = tmp_path / "another name.mp4"
    shutil.copy(first, renamed)
    twins = extract_flow([first, renamed], out, method="diff", size=32, workers=1, say=quiet)
    assert (twins.written, twins.found) == (0, 2)
    shutil.copy(videos / "still 2.mp4", renamed)
    assert extract_flow([renamed], out, method="diff", size=32, workers=1, say=quiet).written == 1
    for other in ({"size": 48}, {"bound": 8.0}, {"method": "dis-ultrafast"}):
        settings = {"method": "diff", "size": 32} | other
        assert extract_flow([first], out, workers=1, say=quiet, **settings).written == 1


def test_one_content_under_two_names_is_computed_once(videos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    shutil.copy(videos / "still 1.mp4", copy)
    report = extract_flow(
        [videos / "still 1.mp4", copy], tmp_path / "out", method="diff", workers=1, say=quiet
    )
    assert (report.written, report.found, report.exit_code) == (1, 1, 0)
    assert len({row["folder"] for row in read_index(tmp_path / "out")}) == 1


def test_a_segment_gets_the_flow_of_its_own_frames(videos: Path, tmp_path: Path) -> None:
    path = str(videos / "uneven.mp4")
    rows = [Row(path, 0.1, 0.33), Row(path), Row(path, 5.0, 6.0), Row(path, 0.0, 0.02)]
    report = extract_flow(rows, tmp_path, size=None, method="dis-fast", workers=1, say=quiet)
    assert report.written == 2
    assert [error.split(";")[0] for _, error in report.failures] == [
        "no frame is shown in 5–6 s",
        "there is one frame here",
    ]
    part, whole = (StoredFlow(tmp_path / row["folder"]) for row in read_index(tmp_path)[:2])
    # the frame of 0.08 s is still on screen at 0.1 s
    assert np.allclose(part.times, [0.08, 0.16, 0.2, 0.32], atol=1e-4)
    assert np.array_equal(part.read().fields, whole.read().fields[2:5])


def test_what_killed_processes_left_is_removed(videos: Path, tmp_path: Path) -> None:
    import platform

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f".partial-{platform.node()}-{ended.pid}-some"
    alive = tmp_path / f".partial-{platform.node()}-{os.getppid()}-some"
    elsewhere = tmp_path / f".partial-elsewhere-{ended.pid}-some"
    for folder in (left, alive, elsewhere):
        folder.mkdir()
    extract_flow([videos / "still 1.mp4"], tmp_path, method="diff", size=32, workers=1, say=quiet)
    assert not left.exists()
    assert alive.exists()
    assert elsewhere.exists()


def test_killed_in_the_middle_and_gone_on_with(videos: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from marey.video.flow import extract_flow\n"
        "extract_flow(sys.argv[1:-1], sys.argv[-1], method='tvl1', size=None, workers=1)\n"
    )
    names = [str(videos / "still 1.mp4"), str(videos / "uneven.mp4")]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *names, str(tmp_path)], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".partial-*uneven*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert len(list(tmp_path.glob("*/flow.json"))) == 1
    report = extract_flow(names, tmp_path, method="tvl1", size=None, workers=1, say=quiet)
    assert (report.written, report.found, report.exit_code) == (1, 1, 0)
    assert not list(tmp_path.glob(".partial-*"))


def test_a_full_disk_is_refused_before_the_work(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(NoRoomError, match="make room"):
        extract_flow([videos / "uneven.mp4"], tmp_path, workers=1, say=quiet)
    assert list(tmp_path.iterdir()) == []


def test_wrong_settings(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="farneback"):
        extract_flow([], tmp_path, method="farnback")
    with pytest.raises(ConfigError, match="bound"):
        extract_flow([], tmp_path, bound=0)
    with pytest.raises(ConfigError, match="weights"):
        extract_flow([], tmp_path, weights="x.pth")
    assert extract_flow([], tmp_path, say=quiet).exit_code == 0


def die_on_three(number: int, factor: int) -> int:
    if number == 3:
        os._exit(9)
    if number == 4:
        raise DataError("four is not there.")
    return number * factor


def test_a_process_that_dies_takes_only_its_own_item_with_it() -> None:
    outcome = dict(each(list(range(6)), die_on_three, (10,), 2))
    assert {k: v for k, v in outcome.items() if k not in (3, 4)} == {0: 0, 1: 10, 2: 20, 5: 50}
    assert "killed" in str(outcome[3])
    assert outcome[4] == "four is not there."


@needs_shared
def test_real_surveillance_clips(tmp_path: Path) -> None:
    clips = sorted((SHARED / "data" / "fight" / "clips").glob("*.mp4"))[::34]
    report = extract_flow(clips, tmp_path, size=128, method="dis-fast", workers=1, say=quiet)
    assert report.exit_code == 0
    assert report.share_beyond_bound < 0.01
    assert report.bytes < 0.15 * report.fields * 2 * 128 * 228  # a raw byte a component would be 1
