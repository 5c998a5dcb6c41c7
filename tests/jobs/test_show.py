"""What is shown is what is fed: the pictures on the page are the inputs of training, padding is told apart."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from marey.cli.main import main
from marey.data.augment import AugmentConfig
from marey.data.dataset import ClipDataset
from marey.data.manifest import Manifest
from marey.errors import ConfigError
from marey.jobs import show as job
from marey.jobs.show import ShowConfig, show
from marey.report import fed
from marey.report.fed import fed_strip
from marey.training.config import InputConfig

SMALL = {"model": "r2plus1d_tiny", "model_args": ("widths=[4,8]",)}


@pytest.fixture
def strips(monkeypatch):
    """Every clip that was drawn, as it was given to the picture."""
    given = []

    def spy(frames, times, mask, **others):
        given.append((frames, times, mask, others))
        return fed_strip(frames, times, mask, **others)

    monkeypatch.setattr(fed, "fed_strip", spy)
    return given


def test_what_is_shown_is_what_training_is_fed(motion, tmp_path, strips):
    augment = AugmentConfig(
        randaugment=(2, 20),
        noise=0.1,
        frame_drop=0.3,
        cutmix=1.0,
        cut="both",
        flip=True,
        flip_map=("left=right", "clockwise=clockwise"),
    )
    config = ShowConfig(
        data=str(motion), to=str(tmp_path / "clips.html"), sample=(4, 7),
        input=InputConfig(frames=6, size=24, resize=28), augment=augment, seed=3, flow=True, **SMALL,
    )  # fmt: skip
    page = show(config)
    assert page.samples == 2
    assert not page.failures
    manifest = Manifest.read(motion)
    spec = job._spec(job._training(config), manifest)
    fed_to_training = ClipDataset(manifest, spec, train=True, augment=augment, seed=3)
    fed_to_judging = ClipDataset(manifest, spec)
    assert len(strips) == 6
    for (frames, times, mask, others), key in zip(
        strips, [4, (0, 4), (1, 4), 7, (0, 7), (1, 7)], strict=True
    ):
        item = (fed_to_judging if isinstance(key, int) else fed_to_training)[key]
        real = int(item.mask.sum())
        assert mask.sum() == real
        assert np.array_equal(frames[:real], item.inputs["rgb"][:real].permute(0, 2, 3, 1).numpy())
        assert np.array_equal(times[:real], item.times[:real])
        assert others["flow"].shape == (len(frames) - 1, 2, 24, 24)
    text = (tmp_path / "clips.html").read_text()
    assert text.count("<img") == 1 + 6
    assert "sample 4: " in text
    assert "http" not in text.replace("http-equiv", ""), "nothing is fetched"
    with pytest.raises(ConfigError, match="there already"):
        show(config)


def test_padding_is_told_apart_from_black():
    frames = np.zeros((20, 24, 24, 3), dtype=np.uint8)
    mask = np.arange(20) < 18
    flow = np.zeros((19, 2, 24, 24), dtype=np.float32)
    strip = np.asarray(fed_strip(frames, np.arange(20) / 10, mask, flow=flow, height=24))
    assert strip.shape[0] == 2 * (24 + 2 + 18 + 24 + 2) + 2, "two rows of sixteen"
    below = strip[strip.shape[0] // 2 :]
    black, padding = below[2:24, 2:24], below[2:24, 2 + 3 * 26 : 24 + 3 * 26]
    assert not black.any()
    assert padding.min() > 30
    still = below[24 + 18 + 4 : 24 + 18 + 20, 2 + 13 + 2 : 2 + 13 + 20]
    assert (still == 255).all(), "no motion is white"


def test_the_command(motion, tmp_path, capsys):
    broken = tmp_path / "broken.csv"
    source = Manifest.read(motion)
    (tmp_path / "no.mp4").write_bytes(b"not a video")
    broken.write_text(
        f"path,label\n{source.sample(0).path},a\n{tmp_path}/no.mp4,b\n{source.sample(1).path},b\n"
    )
    args = [
        "data",
        "show",
        str(broken),
        str(tmp_path / "clips.png"),
        "--samples",
        "3",
        "--frames",
        "4",
        "--size",
        "24",
    ]
    code = main([*args, "--model", "r2plus1d_tiny", "--epochs", "1", "--most", "2"])
    out = capsys.readouterr()
    assert "clips.png: 2 samples" in out.out
    picture = Image.open(tmp_path / "clips.png")
    assert picture.width > 400
    assert code == ("no.mp4" in out.err), "what cannot be read is named, and is exit code 1"
    code = main([*args[:3], str(tmp_path / "all.png"), "--sample", "1", "--model", "r2plus1d_tiny"])
    assert code == 1
    assert "sample 1: no.mp4" in capsys.readouterr().err


def test_wrong_calls(motion, tmp_path):
    for how, message in (
        ({"to": "x.pdf"}, "an .html or a .png"),
        ({"to": str(tmp_path / "x.png"), "sample": (99,)}, "there is no sample 99: rows are 0 to 59"),
        ({"to": str(tmp_path / "x.png"), "split": "test"}, "no sample"),
        ({"to": "x.png", "run": "runs/train/a", "model": "tsm"}, "brings its own model"),
    ):
        with pytest.raises(ConfigError, match=message):
            show(ShowConfig(data=str(motion), **how))
