"""From videos to features on disk: the grid, the values, resuming, failures; and as a user runs it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from marey.cli.main import main
from marey.data.clips import load_clip
from marey.data.features import FeatureFolder, FeatureGrid, FeatureWriter
from marey.data.manifest import Manifest
from marey.errors import ConfigError, DataError, SegmentError
from marey.jobs.extract import ExtractConfig, extract
from marey.models import create_model, save_model
from marey.predict.extract import Extractor
from marey.training.config import InputConfig
from marey.video.reader import open_video
from marey.video.sampling import Rate
from marey.video.synthetic import render_motion, write_video
from tests.models.small import randomise


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two moving clips, one of them at uneven times on a clock that begins late, and a list of them."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    write_video(folder / "a.mp4", render_motion("left", rng, size=48, frames=20, fps=10).frames, fps=10)
    gaps = np.random.default_rng(1).choice([0.04, 0.12, 0.3], 23)
    times = 2.0 + np.concatenate([[0], np.cumsum(gaps)])
    write_video(folder / "b.mkv", render_motion("right", rng, size=48, frames=24, fps=10).frames, times=times)
    rows = [("path", "label", "start", "end"), ("a.mp4", "left", 0.4, 1.5), ("b.mkv", "right", "", "")]
    with (folder / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([*rows, ("none.mp4", "right", "", "")])
    return folder


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image network and one of time, saved."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    image = randomise(create_model("frame_average", num_classes=2, backbone="test_resnet", size=32))
    time = randomise(create_model("r2plus1d_tiny", num_classes=2, widths=[4, 8], size=24, frames=6))
    for name, model in (("image", image), ("time", time)):
        save_model(folder / f"{name}.safetensors", model, class_names=("left", "right"))
    return folder


def config(data: Path, network: Path, out: Path, /, **changes: object) -> ExtractConfig:
    settings = {"data": str(data), "weights": str(network), "out": str(out), "device": "cpu"}
    return ExtractConfig(**{**settings, **changes})  # type: ignore[arg-type]


def quiet(text: str) -> None:
    pass


def test_features_of_an_image_network_are_those_of_the_frames_shown(
    videos: Path, networks: Path, tmp_path: Path
) -> None:
    done = extract(config(videos / "b.mkv", networks / "image.safetensors", tmp_path, batch=4), say=quiet)
    assert (done.written, done.exit_code) == (1, 0)
    folder = FeatureFolder.open(tmp_path)
    stored = folder.of_video(str(videos / "b.mkv"))
    assert stored.array.dtype == np.float32
    with open_video(videos / "b.mkv") as reader:
        start, end = reader.info.start, reader.info.end
        assert reader.info.variable_rate
        assert stored.times is not None
        assert np.allclose(stored.times, start + (np.arange(len(stored)) + 0.5) / 8)
        assert end - 1 / 8 < stored.times[-1] < end
        # the same frames through the path of every prediction, all at once
        model = create_model("frame_average", num_classes=2, backbone="test_resnet", size=32)
        model.load_state_dict(_state(networks / "image.safetensors"))
        clip = load_clip(str(videos / "b.mkv"), model.spec, sampler=Rate(8.0, max=None))
    with torch.no_grad():
        expected = model.eval().features(rgb=torch.from_numpy(clip.frames.transpose(0, 3, 1, 2).copy())[None])
    assert np.allclose(stored.array, expected[0].numpy(), atol=1e-5)


def _state(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_windows_are_the_same_in_any_number_of_parts(
    videos: Path, networks: Path, batch: int, tmp_path: Path
) -> None:
    """Each window alone through the network, against the stream; the last one is filled up."""
    extract(
        config(
            videos / "a.mp4", networks / "time.safetensors", tmp_path, fps=10, window=6, stride=3, batch=batch
        ),
        say=quiet,
    )
    stored = FeatureFolder.open(tmp_path).of_video(str(videos / "a.mp4"))
    assert len(stored) == 6  # 20 frames: windows at 0, 3, 6, 9, 12, and 15 with five real frames
    model = create_model("r2plus1d_tiny", num_classes=2, widths=[4, 8], size=24, frames=6)
    model.load_state_dict(_state(networks / "time.safetensors"))
    clip = load_clip(str(videos / "a.mp4"), model.spec, sampler=Rate(10.0, max=None))
    frames = torch.from_numpy(clip.frames.transpose(0, 3, 1, 2).copy())[None]
    with torch.no_grad():
        alone = [model.eval().features(rgb=frames[:, s : s + 6]).mean(1)[0].numpy() for s in range(0, 18, 3)]
    assert np.allclose(stored.array, np.stack(alone), atol=1e-5)
    assert stored.times is not None
    assert np.allclose(stored.times, 0.3 + 0.3 * np.arange(6))


def test_a_list_with_a_missing_file_and_again(
    videos: Path, networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = [
        *("extract", str(videos / "rows.csv"), "--weights", str(networks / "image.safetensors")),
        *("--out", str(out), "--device", "cpu"),
    ]
    assert main(words) == 1
    seen = capsys.readouterr().err
    assert "2 videos computed" in seen
    assert "none.mp4: there is no such file" in seen
    folder = FeatureFolder.open(out)
    before = {file.name: file.stat().st_mtime_ns for file in out.glob("*.npy")}
    assert main(words) == 1
    assert "0 videos computed (0 positions), 2 found, 1 failed" in capsys.readouterr().err
    assert before == {file.name: file.stat().st_mtime_ns for file in out.glob("*.npy")}
    assert Manifest.read(out, files=False).sample(0).path == str(videos / "a.mp4")
    with pytest.raises(DataError, match="no features of this video: there is no such file"):
        folder.of_video(str(videos / "none.mp4"))
    about = json.loads((out / "features.json").read_text())
    assert (about["fps"], about["num_frames"], about["feat_stride"], about["feature_dim"]) == (8, 1, 1, 96)
    # a copy under another name is found by its content; other settings do not go into the same folder
    shutil.copy(videos / "a.mp4", tmp_path / "copy.mp4")
    again = extract(config(tmp_path / "copy.mp4", networks / "image.safetensors", out), say=quiet)
    assert (again.written, again.found) == (0, 1)
    for changes in (
        {"fps": 4.0},
        {"input": InputConfig(size=48)},
        {"weights": str(networks / "time.safetensors")},
    ):
        with pytest.raises(ConfigError, match="holds other features"):
            extract(config(videos / "a.mp4", networks / "image.safetensors", out, **changes), say=quiet)


def test_segments_of_their_own_and_parts_of_the_whole(videos: Path, networks: Path, tmp_path: Path) -> None:
    weights = networks / "image.safetensors"
    extract(config(videos / "rows.csv", weights, tmp_path / "own", segments=True), say=quiet)
    extract(config(videos / "rows.csv", weights, tmp_path / "whole"), say=quiet)
    own, whole = FeatureFolder.open(tmp_path / "own"), FeatureFolder.open(tmp_path / "whole")
    path = str(videos / "a.mp4")
    assert len(own.read(path, 0.4, 1.5)) == 9  # the middles of the cells of 1/8 s from 0.4 s on
    assert len(whole.read(path)) == 16
    part = whole.read(path, 0.4, 1.5)
    assert np.array_equal(part, whole.read(path)[3:12])  # 0.4375 … 1.4375 s
    assert np.array_equal(whole.read(path, 0.5, 0.51), whole.read(path)[4:5])  # none inside: the nearest
    with pytest.raises(DataError, match="no features of this video"):
        own.read(path, 0.0, 0.3)
    with pytest.raises(SegmentError, match="reversed"):
        whole.read(path, 1.0, 0.5)


def test_what_fails_on_the_way_leaves_nothing(
    videos: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Extractor.of_clip

    def breaks(self: Extractor, clip: object) -> object:
        found = real(self, clip)  # type: ignore[arg-type]
        return found * np.nan if len(found) == 4 else found

    monkeypatch.setattr(Extractor, "of_clip", breaks)
    done = extract(config(videos / "a.mp4", networks / "image.safetensors", tmp_path, batch=12), say=quiet)
    assert "NaN or infinity from position 12" in done.failures[0][1]
    assert not list(tmp_path.glob("*.npy"))
    assert not list(tmp_path.glob(".partial-*"))
    monkeypatch.undo()
    assert extract(config(videos / "a.mp4", networks / "image.safetensors", tmp_path), say=quiet).written == 1


def test_features_from_elsewhere(tmp_path: Path) -> None:
    np.save(tmp_path / "video_1.npy", np.zeros((10, 4), np.float64))
    folder = FeatureFolder.open(tmp_path)
    assert folder.read("/somewhere/video_1.mp4").shape == (10, 4)
    with pytest.raises(SegmentError, match="needs their grid"):
        folder.read("video_1.mp4", 0.0, 1.0)
    (tmp_path / "features.json").write_text('{"fps": 30, "num_frames": 16, "feat_stride": 4}')
    folder = FeatureFolder.open(tmp_path)
    times = folder.of_video("video_1.mp4").times
    assert times is not None
    # ActionFormer's rule: (i · feat_stride + num_frames / 2) / fps
    assert np.allclose(times, (np.arange(10) * 4 + 8) / 30)
    assert len(folder.read("video_1.mp4", 0.0, 0.5)) == 2
    np.save(tmp_path / "flat.npy", np.zeros(10))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "video_1.npy").read_bytes()[:150])
    folder = FeatureFolder.open(tmp_path)
    for name, words in (("flat", "shape"), ("cut", "cannot be read"), ("other", "no features of this video")):
        with pytest.raises(DataError, match=words):
            folder.read(f"{name}.mp4")
    with pytest.raises(DataError, match="no features here"):
        FeatureFolder.open(tmp_path / "nowhere")


def test_the_writer_takes_what_a_reader_maps(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    with FeatureWriter(tmp_path, "x", shape=(7, 3), info={"positions": 7}) as writer:
        writer.write(array[:5])
        writer.write(array[5:])
    assert np.array_equal(np.load(tmp_path / "x.npy"), array)
    with pytest.raises(ConfigError, match="1 ≤ feat_stride ≤ num_frames"):
        FeatureGrid(8, 4, 5)


def test_wrong_words(videos: Path, networks: Path, tmp_path: Path) -> None:
    video, image = videos / "a.mp4", networks / "image.safetensors"
    for changes, words in (
        ({"weights": None, "model": "frame_average"}, "random weights"),
        ({"backbone": "resnet18"}, "needs --model"),
        ({"window": 4, "stride": 5}, "would not be seen"),
        ({"segments": True}, "those of a manifest"),
    ):
        with pytest.raises(ConfigError, match=words):
            extract(config(video, image, tmp_path / "none", **changes), say=quiet)
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="grid of their own"):
        config(video, image, tmp_path, input=InputConfig(frames=8))
