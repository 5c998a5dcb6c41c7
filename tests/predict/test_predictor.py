"""The one path: the same answer whatever the batch, views that are means, failures where they stand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from marey.data.manifest import Manifest, Sample
from marey.errors import CheckpointError, ConfigError, VideoError
from marey.models.registry import create_model
from marey.models.saved import save_model
from marey.predict.load import find_weights, load
from marey.predict.predictor import Predictor, Views
from marey.predict.runtime import TorchRuntime
from marey.video.synthetic import render_motion, write_video

CLASSES = ("left", "right", "clockwise")


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    model = create_model("r2plus1d_tiny", num_classes=3, widths=[4, 8], frames=6, size=24)
    model.spec = replace(
        model.spec, sampler={"name": "adaptive", "ratio": 0.3, "min": 3, "max": 8}, size=(24, 16), resize=28
    )
    return Predictor(TorchRuntime(model), model.spec, CLASSES)


@pytest.fixture(scope="module")
def samples(motion):
    manifest = Manifest.read(motion)
    return [manifest.sample(i) for i in range(12)]


def test_batch_and_workers_change_nothing(predictor, samples):
    """Clips of mixed lengths, alone or padded beside others."""
    alone = replace(predictor, batch=1, workers=1).logits(samples)
    together = replace(predictor, batch=5, workers=3).logits(samples)
    assert np.array_equal(alone.ids, together.ids)
    assert np.array_equal(alone.ids, [s.id for s in samples])
    assert np.allclose(alone.logits, together.logits, atol=1e-4)
    assert np.array_equal(alone.spans, together.spans)


def test_views_are_the_mean_of_their_clips_and_crops(predictor, samples):
    one = samples[0]
    from marey.data.clips import load_views
    from marey.predict.predictor import stacked

    several = replace(predictor, views=Views(clips=2, crops=3), batch=4).logits([one])
    clips = load_views(one, predictor.spec, clips=2, crops=("left", "center", "right"))
    each = [predictor.runtime(*stacked([clip], predictor.spec))[0] for clip in clips]
    assert len(each) == 6
    assert np.allclose(several.logits[0], np.mean(each, axis=0), atol=1e-5)
    assert not np.allclose(several.logits, predictor.logits([one]).logits, atol=1e-6)


def test_orders_disturb_time_alone(predictor, samples):
    ordered, frozen, back = (
        predictor.logits(samples, order=order).logits for order in ("ordered", "frozen", "reversed")
    )
    assert not np.allclose(ordered, frozen)
    assert not np.allclose(ordered, back)
    first, second = (predictor.logits(samples, order="shuffled", seed=s).logits for s in (1, 2))
    again = replace(predictor, batch=3).logits(samples, order="shuffled", seed=1).logits
    assert np.allclose(first, again, atol=1e-4)
    assert not np.allclose(first, second)


def test_a_failure_is_met_where_it_stands(predictor, samples, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing")
    mixed = [*samples[:3], Sample(99, str(broken), (), where="set.csv line 5"), *samples[3:5]]
    got = []
    with pytest.raises(VideoError, match=r"set\.csv line 5"):
        got.extend(prediction.path for prediction in predictor.predict_many(mixed))
    assert got == [s.path for s in samples[:3]]
    table = predictor.logits(mixed, policy="skip")
    assert table.ids.tolist() == [s.id for s in samples[:5]]
    assert [f["id"] for f in table.failures] == [99]


def test_samples_are_read_as_they_are_needed(predictor, samples):
    """A million videos must not be listed, let alone decoded, before the first answer."""
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield samples[0]

    stream = predictor.predict_many(endless())
    next(stream)
    assert len(asked) < 60
    stream.close()


def test_a_segment_is_judged_by_its_own_frames(predictor, tmp_path):
    left = render_motion("left", np.random.default_rng(0), size=32, frames=20, fps=10)
    other = render_motion("clockwise", np.random.default_rng(5), size=32, frames=20, fps=10)
    joined = write_video(tmp_path / "two.mp4", np.concatenate([left.frames, other.frames]), fps=10)
    alone = write_video(tmp_path / "one.mp4", left.frames, fps=10)
    said = predictor.predict(str(joined), start=0.0, end=2.0)
    assert (said.start, said.end) == (0.0, 2.0)
    assert np.allclose(said.probabilities, predictor.predict(str(alone)).probabilities, atol=0.02)
    assert not np.allclose(
        said.probabilities, predictor.predict(str(joined), start=2.0).probabilities, atol=1e-4
    )


def test_loading_by_file_and_by_folder(predictor, tmp_path):
    with pytest.raises(CheckpointError, match="no weights in this folder"):
        find_weights(tmp_path)
    for fold in (1, 2):
        folder = tmp_path / "run" / f"fold-{fold}" / "weights"
        folder.mkdir(parents=True)
        save_model(
            folder / "best.safetensors",
            predictor.runtime.model,
            class_names=CLASSES,
            extra={"temperature": 2.0},
        )
    with pytest.raises(CheckpointError, match="holds 2 models"):
        load(tmp_path / "run")
    again = load(tmp_path / "run" / "fold-1", device="cpu")
    assert again.temperature == 2.0
    assert again.class_names == CLASSES
    with pytest.raises(ConfigError, match="1 or 3 crops"):
        load(tmp_path / "run" / "fold-1", crops=2)
