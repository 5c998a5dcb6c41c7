"""A student learns from a teacher: the loss, the whole job on encoded videos, and what is refused."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import marey
from marey.errors import CheckpointError, ConfigError
from marey.jobs.distill import distill
from marey.jobs.train import train
from marey.jobs.unlabelled import find_unlabelled, with_unlabelled
from marey.training.config import DistillConfig, InputConfig, SystemConfig
from marey.training.log import RunLog
from marey.training.loss import clip_loss
from marey.training.teaching import Teacher, scaled, taught_loss
from tests.training.small import config


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    several=st.booleans(),
    t=st.floats(0.5, 8),
    hard=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_the_loss(seed: int, several: bool, t: float, hard: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 4, 5, generator=generator)
    target = torch.randint(0, 2, (4, 5)).float() if several else torch.randint(0, 5, (4,))
    labelled = torch.tensor([True, False, True, False])
    how = DistillConfig(teacher="x", temperature=t, hard=hard)

    def loss(said: torch.Tensor, target: torch.Tensor, labelled: torch.Tensor) -> torch.Tensor:
        return taught_loss(student, said, target, labelled, how, multi_label=several)

    # who says what the teacher says is left with the ordinary loss alone
    ordinary = clip_loss(student[labelled], target[labelled], multi_label=several)
    assert torch.allclose(loss(student, target, labelled), hard * 0.5 * ordinary, atol=1e-5)
    # what stands for a label where there is none does not matter
    other = target.clone()
    other[~labelled] = 1 - other[~labelled] if several else 4 - other[~labelled]
    assert torch.equal(loss(teacher, target, labelled), loss(teacher, other, labelled))
    # without labels: the divergence by its definition
    nobody = torch.zeros(4, dtype=torch.bool)
    if several:
        p, q = (teacher / t).sigmoid().double(), (student / t).sigmoid().double()
        apart = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean(1)
    else:
        p, q = (teacher / t).softmax(1).double(), (student / t).softmax(1).double()
        apart = (p * (p / q).log()).sum(1)
    assert torch.allclose(loss(teacher, target, nobody).double(), t**2 * apart.mean(), atol=1e-4, rtol=1e-4)


def test_pictures_are_scaled_as_whole_levels() -> None:
    x = torch.randint(0, 256, (2, 3, 3, 32, 32), dtype=torch.uint8)
    small = scaled(x, (16, 16))
    assert small.dtype == torch.uint8
    assert small.shape == (2, 3, 3, 16, 16)
    assert abs(small.float().mean() - x.float().mean()) < 1
    assert scaled(x, (32, 32)) is x


@pytest.fixture(scope="module")
def taught(motion, tmp_path_factory):
    """A teacher, a manifest with few labels, and a folder with the rest of the videos and some that judge."""
    out = tmp_path_factory.mktemp("taught")
    teacher = train(
        config(motion, out, name="teacher", input=InputConfig(frames=4, size=32, resize=36)), quiet=True
    )
    whole = marey.Manifest.read(motion)
    learn = whole.indices("train")
    few = whole.select(np.concatenate([learn[::4], whole.indices("val")]))
    folder = out / "rest"
    folder.mkdir()
    for row in learn[1::4]:
        shutil.copy(whole.sample(int(row)).path, folder)
    return out, teacher, few.write(out / "few.csv"), folder


def settings_of(taught, **changes):
    out, teacher, few, folder = taught
    lesson = DistillConfig(teacher=str(teacher.run), unlabelled=str(folder))
    return config(few, out, name="student", distill=lesson, **changes)


def test_a_student_learns_from_videos_without_labels(taught):
    _, _, few, folder = taught
    done = distill(settings_of(taught), quiet=True)
    log = (done.run / "log.txt").read_text()
    count = len(list(folder.glob("*.mp4")))
    assert f"{count} videos without labels" in log
    assert (done.run / "unlabelled.txt").read_text().count("\n") == count
    assert done.metrics["n"] == len(marey.Manifest.read(few).indices("val"))  # none of them judges
    again = train(replace(settings_of(taught), distill=DistillConfig()), quiet=True)
    mine, alone = (load_file(run.run / "weights" / "best.safetensors") for run in (done, again))
    assert any(not torch.equal(mine[key], alone[key]) for key in mine)


def test_resuming_is_bit_equal(taught, monkeypatch):
    settings = settings_of(taught, system=SystemConfig(device="cpu", cache_mb=64, save_every=1))
    whole = distill(settings, quiet=True)
    real, seen = RunLog.progress, []

    class Cut(BaseException):
        pass

    @contextmanager
    def counting(self, text, total, unit="clips"):
        with real(self, text, total, unit) as advance:

            def count(n):
                advance(n)
                seen.append(n)
                if len(seen) == 4:
                    raise Cut

            yield count

    monkeypatch.setattr(RunLog, "progress", counting)
    with pytest.raises(Cut):
        distill(settings, quiet=True)
    monkeypatch.setattr(RunLog, "progress", real)
    cut = sorted(whole.run.parent.iterdir(), key=lambda p: p.stat().st_mtime)[-1]
    assert cut != whole.run
    done = distill(settings, resume=cut, quiet=True)
    first, second = (load_file(run.run / "weights" / "best.safetensors") for run in (whole, done))
    assert all(torch.equal(first[key], second[key]) for key in first)
    (cut / "unlabelled.txt").write_text("other.mp4\n")
    with pytest.raises(CheckpointError, match="unlabelled videos have changed"):
        distill(settings, resume=cut, quiet=True)


def test_videos_of_the_data_are_left_out(motion, tmp_path):
    own = tmp_path / "set"  # other tests leave videos of their own beside those of the fixture
    there = marey.Manifest.read(motion)
    for at in range(len(there)):
        source = Path(there.sample(at).path)
        (own / source.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(source, own / source.parent.name)
    shutil.copy(motion, own)
    manifest = marey.Manifest.read(own / motion.name)
    half = manifest.select(np.arange(30))
    folder = str(own)
    paths, left_out = find_unlabelled(half, folder)
    assert (len(paths), left_out) == (30, 30)
    longer = with_unlabelled(half, paths, folder)
    assert [longer.sample(row).path for row in (29, 30)] == [half.sample(29).path, paths[0]]
    assert folder in longer.sample(30).where
    with pytest.raises(ConfigError, match="in the data already"):
        find_unlabelled(manifest, folder)


def test_what_is_refused(taught, motion):
    out, teacher, few, folder = taught
    with pytest.raises(ConfigError, match="nobody to learn from"):
        distill(config(few, out))
    with pytest.raises(ConfigError, match="need somebody to speak"):
        DistillConfig(unlabelled=str(folder))
    with pytest.raises(ConfigError, match="from 0 to 1"):
        DistillConfig(teacher="x", hard=1.5)
    saved = marey.load(teacher.run, device="cpu")
    how = DistillConfig(teacher=str(teacher.run))

    def opened(spec, names):
        return Teacher.open(how, spec, names, multi_label=False, labelled=1, device="cpu")

    with pytest.raises(ConfigError, match=r"same classes.\n.*up"):
        opened(saved.spec, (*saved.class_names, "up"))
    with pytest.raises(ConfigError, match="stretched"):
        opened(replace(saved.spec, size=(16, 24)), saved.class_names)
    with pytest.raises(ConfigError, match="no pictures"):
        opened(replace(saved.spec, modalities=("flow",)), saved.class_names)
    turned = opened(replace(saved.spec, size=(16, 16), resize=18), saved.class_names[::-1])
    assert turned.clips.size == (32, 32)
    x = torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8)
    mask = torch.ones(2, 4, dtype=torch.bool)
    said = saved.runtime({"rgb": x.numpy()}, mask.numpy())
    assert np.allclose(turned.logits({"rgb": x}, mask).numpy(), said[:, ::-1], atol=1e-5)
