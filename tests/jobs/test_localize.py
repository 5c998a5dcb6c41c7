"""From a raw video to its timeline on the command line: by a classifier that slides or a localizer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from marey.cli.main import main
from marey.data.clips import load_clip, segment_of
from marey.jobs.localize import localize, resume_localize_config
from marey.jobs.localize_config import LocalizeConfig
from marey.localize.thresholds import Thresholds
from marey.predict.load import load
from marey.predict.predictor import stacked
from marey.predict.sliding import Slider
from marey.video.reader import open_video
from tests.jobs.mover import found, near, save_mover, video

NO_FORMS = ("--forms",)
SPANS = [(2.0, 4.0), (6.5, 8.5)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_mover(tmp_path_factory.mktemp("mover") / "mover.safetensors")


def test_a_classifier_slides(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = video(tmp_path / "a.mp4", SPANS)
    assert main(["localize", str(weights), str(path), "--out", str(tmp_path), "--device", "cpu"]) == 0
    out = capsys.readouterr()
    assert "2 segments in 1 video; sliding windows of 1 s every 0.25 s" in out.out
    assert "thresholds not fitted" in out.out
    assert "the median length of what it was trained on" in out.err
    assert "score below" not in out.err
    run = tmp_path / "localize" / "localize"
    assert near(found(run), SPANS, 0.5)
    written = json.loads((run / "segments.json").read_text())["results"][str(path)]
    assert [row["label"] for row in written] == ["move", "move"]
    made = {file.name for file in (run / "timelines").iterdir()}
    assert made == {f"a.{end}" for end in ("json", "png", "html", "vtt", "srt", "eaf", "annotated.mp4")}
    assert "00:00:01.875 --> 00:00:04.125\nmove" in (run / "timelines" / "a.vtt").read_text()


def test_what_files_leave_out_is_said_once_on_the_terminal(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = video(tmp_path / "a.mp4", SPANS)
    words = ["localize", str(weights), str(path), "--out", str(tmp_path), "--device", "cpu"]
    assert main([*words, "--least", "1", "--forms", "vtt"]) == 0
    said = "a.mp4: 2 of 2 segments score below 1; they are not shown."
    assert capsys.readouterr().err.count(said) == 1
    assert (tmp_path / "localize" / "localize" / "log.txt").read_text().count(said) == 1


def test_by_the_clock_of_a_video_of_variable_rate(weights: Path, tmp_path: Path) -> None:
    """Frames of 40 ms and of 200 ms in turns, from second 5 on: segments lie where the motion lies by the file's own
    times, not where frame numbers over an average rate would have it."""
    gaps = np.concatenate([np.full(100, 0.04), np.full(30, 0.2), np.full(60, 0.04), np.full(20, 0.1)])
    times = np.round((5.0 + np.concatenate([[0.0], np.cumsum(gaps)])) * 1000) / 1000
    spans = [(6.0, 8.0), (11.0, 14.0), (15.8, 16.8)]
    path = video(tmp_path / "vfr.mkv", spans, times=times)
    with open_video(path) as reader:
        assert reader.info.variable_rate
        assert reader.times[0] == pytest.approx(5.0)
    config = LocalizeConfig(
        weights=str(weights), videos=(str(path),), out=str(tmp_path), device="cpu", forms=()
    )
    done = localize(config, quiet=True)
    assert near(found(done.run), spans, 0.5)


def test_windows_are_judged_as_samples_are_and_frames_decoded_once(weights: Path, tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", SPANS, times=np.arange(230) * 0.033)
    slider = Slider(replace(load(weights, device="cpu"), batch=3), 1.0, 0.3)
    asked: list[np.ndarray] = []
    with open_video(path) as reader:
        real = reader.frames_at

        def counted(times: np.ndarray, **rest: object) -> object:
            asked.append(np.asarray(times))
            return real(times, **rest)  # type: ignore[arg-type]

        reader.frames_at = counted  # type: ignore[method-assign,assignment]
        track = slider.track(reader, segment_of(reader, None, None))
        span = segment_of(reader, None, None)
    every = np.concatenate(asked)
    assert (np.diff(every) > 0).all()
    for (start, end), score in zip(slider.windows(span), track.scores, strict=True):
        clip = load_clip(str(path), slider.predictor.spec, start=start, end=end)
        logits = slider.predictor.runtime(*stacked([clip], slider.predictor.spec))[0]
        assert score[0] == pytest.approx(1 / (1 + np.exp(logits[0] - logits[1])), abs=1e-5)
    assert track.edges[0] == span.start
    assert track.edges[-1] == span.end
    assert ((track.edges[:-1] < track.times) & (track.times < track.edges[1:])).all()


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos with segments; the last one has none."""
    folder = tmp_path_factory.mktemp("annotated")
    rows = ["path,label,start,end,split"]
    for i in range(4):
        spans = [(1.0 + i / 2, 3.0 + i / 2), (6.0, 7.5 + i / 4)] if i < 3 else []
        video(folder / f"{i}.mp4", spans, seed=i)
        rows += [f"{i}.mp4,move,{a},{b},{'val' if i else 'test'}" for a, b in spans]
    (folder / "segments.csv").write_text("\n".join([*rows, "3.mp4,background,,,val"]) + "\n")
    return folder


def test_thresholds_are_fitted_kept_and_used(
    annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = save_mover(tmp_path / "mover.safetensors", multi_label=True)
    data = str(annotated / "segments.csv")
    words = ["localize", str(weights), "--out", str(tmp_path), "--device", "cpu", *NO_FORMS]
    assert main([*words, "--fit", data]) == 0
    assert "thresholds fitted on 3 videos (val) of segments.csv: mean F1" in capsys.readouterr().err
    kept = json.loads((tmp_path / "thresholds.json").read_text())
    assert kept["fitted"]["value"] > 0.8
    assert main([*words[:2], data, *words[2:]]) == 0
    out = capsys.readouterr().out
    assert "thresholds fitted on 3 videos" in out
    assert "average mAP" in out
    metrics = json.loads((tmp_path / "localize" / "localize" / "metrics.json").read_text())
    assert metrics["map"] > 0.8
    assert metrics["protocol"]["split"] == "test"
    assert "What happens when" in (tmp_path / "localize" / "localize" / "report.html").read_text()
    # flags go before what was fitted; other windows are not what was fitted
    assert main([*words[:2], data, *words[2:], "--on", "0.9"]) == 0
    assert "but on 0.9" in capsys.readouterr().out
    assert main([*words[:2], data, *words[2:], "--window", "2"]) == 0
    assert "thresholds not fitted for these windows" in capsys.readouterr().out
    # of another classifier they are refused
    (tmp_path / "other").mkdir()
    other = save_mover(tmp_path / "other" / "mover.safetensors")
    (tmp_path / "other" / "thresholds.json").write_text((tmp_path / "thresholds.json").read_text())
    assert main(["localize", str(other), data, "--out", str(tmp_path)]) == 1
    assert "fitted on another classifier" in capsys.readouterr().err
    (tmp_path / "thresholds.json").write_text('{"format": 1}')
    assert main([*words[:2], data, *words[2:]]) == 1
    assert "these thresholds cannot be read" in capsys.readouterr().err


def test_a_broken_video_is_named_and_a_run_goes_on(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    video(folder / "a.mp4", SPANS, seconds=5)
    (folder / "b.mp4").write_bytes((folder / "a.mp4").read_bytes()[:700])
    words = ["localize", str(weights), str(folder), "--out", str(tmp_path), "--device", "cpu", *NO_FORMS]
    assert main(words) == 1
    assert "b.mp4" in capsys.readouterr().err
    run = tmp_path / "localize" / "localize"
    assert {row["path"] for row in found(run)} == {str(folder / "a.mp4")}
    assert main([*words, "--on-error", "error"]) == 1
    assert not (tmp_path / "localize" / "localize-2" / "timelines" / "a.json").exists()
    # mended, it is the only one that is done
    video(folder / "b.mp4", SPANS[:1], seconds=5)
    before = (run / "timelines" / "a.json").stat().st_mtime_ns
    capsys.readouterr()
    assert main(["localize", "--resume", str(run)]) == 0
    assert "1 of 2 videos are done already" in capsys.readouterr().err
    assert (run / "timelines" / "a.json").stat().st_mtime_ns == before
    assert {row["path"] for row in found(run)} == {str(folder / n) for n in ("a.mp4", "b.mp4")}
    assert resume_localize_config(run).weights == str(weights)


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        ([], 2, "no videos were named"),
        (["nowhere.mp4"], 1, "no such file or folder"),
        (["VIDEO", "--backbone", "x"], 2, "--backbone is for a localizer"),
        (["VIDEO", "--features", "x"], 2, "--features is for a localizer"),
        (["VIDEO", "--window", "1", "--stride", "2"], 2, "a moment between would not be seen"),
        (["VIDEO", "--window", "0"], 2, "--window is a number of seconds above 0"),
        (["VIDEO", "--on", "0.2", "--off", "0.4"], 2, "off ≤ on"),
        (["VIDEO", "--split", "val"], 2, "--split chooses rows of a manifest"),
        (["VIDEO", "TABLE"], 2, "was named together with others"),
        (["TABLE", "--split", "train"], 2, "no row has split 'train'"),
        (["VIDEO", "--fit", "TABLE", "--fit-split", "train"], 2, "no row has split 'train'"),
        (["VIDEO", "--fit", "nowhere.csv"], 1, "no such file or folder"),
    ],
)  # fmt: skip
def test_what_is_refused(
    weights: Path, annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    flags: list[str], code: int, words: str,
) -> None:  # fmt: skip
    names = {"VIDEO": str(annotated / "0.mp4"), "TABLE": str(annotated / "segments.csv")}
    given = [names.get(flag, flag) for flag in flags]
    assert (
        main(["localize", str(weights), *given, "--out", str(tmp_path), "--device", "cpu", *NO_FORMS]) == code
    )
    assert words in capsys.readouterr().err


def test_rows_that_cannot_be(
    weights: Path, annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a manifest: reversed, of no length, an unknown label, outside the video. No traceback."""
    for row, words in (
        ("0.mp4,move,4,2", "is reversed"),
        ("0.mp4,move,2,2", "is empty"),
        ("0.mp4,jump,1,2", "'jump' is not a known class"),
        ("0.mp4,move,8,20", "lies outside the video"),
    ):
        table = annotated / "bad.csv"
        table.write_text(f"path,label,start,end\n1.mp4,move,1.5,3.5\n{row}\n")
        base = ["localize", str(weights), "--out", str(tmp_path), "--device", "cpu", *NO_FORMS]
        assert main([*base[:2], str(table), *base[2:]]) == 1
        err = capsys.readouterr().err
        assert words in err
        assert "bad.csv line 3" in err
        assert main([*base, "--fit", str(table)]) == 1
        assert words in capsys.readouterr().err
    assert not (weights.parent / "thresholds.json").exists()


def test_thresholds_come_back(tmp_path: Path) -> None:
    from marey.localize.smoothing import HysteresisConfig

    kept = Thresholds({"a": HysteresisConfig(on=0.7, off=0.2, smooth=0.1)}, 1.0, 0.25, "x", {"videos": 3})
    kept.write(tmp_path / "t.json")
    assert Thresholds.read(tmp_path / "t.json", weights="x") == kept
