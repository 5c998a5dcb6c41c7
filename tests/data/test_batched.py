"""A batch augmented at once is, level for level, what its clips are when augmented one by one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.data.augment import AugmentConfig
from marey.data.batched import augment_batch
from marey.data.draws import ClipDraw
from marey.data.loader import make_loader
from marey.data.manifest import Manifest
from marey.data.warp import move_batch, move_clip
from marey.spec import InputSpec
from marey.video.synthetic import render_motion, write_video

SPEC = InputSpec(sampler={"name": "adaptive", "ratio": 0.5, "min": 2, "max": 16}, size=(24, 20), resize=32)
SETTINGS = {
    "nothing": AugmentConfig(scale=(1, 1)),
    "usual": AugmentConfig(
        flip=True, flip_map=("left=right", "clockwise=clockwise"), brightness=0.3, contrast=0.3, erasing=0.5
    ),
    "colours": AugmentConfig(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2, noise=0.1),
    "flicker": AugmentConfig(brightness=0.4, contrast=0.4, hue=0.1, noise=0.1, per_frame=True),
    "randaugment": AugmentConfig(
        randaugment=(4, 20), vertical_flip=True, vertical_flip_map=("clockwise=clockwise",)
    ),
    "trivialaugment": AugmentConfig(trivialaugment=True, frame_drop=0.3),
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Videos of different sizes, shapes and lengths."""
    folder = tmp_path_factory.mktemp("mixed")
    rng = np.random.default_rng(3)
    lines = ["path,label"]
    for i, (top, left) in enumerate([(0, 0), (6, 0), (0, 14), (10, 4), (20, 0), (3, 3), (0, 8), (0, 0)]):
        label = ("left", "right", "clockwise")[i % 3]
        frames = render_motion(label, rng, size=48, frames=7 + 3 * i, fps=12.0).frames
        write_video(
            folder / f"{i}.mp4",
            frames[:, top:, left:][:, : (48 - top) // 2 * 2, : (48 - left) // 2 * 2],
            fps=12.0,
        )
        lines.append(f"{i}.mp4,{label}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return Manifest.read(folder)


@pytest.mark.parametrize("name", SETTINGS)
def test_at_once_is_one_by_one(mixed, name):
    for modalities in (("rgb",), ("rgb", "diff")):
        spec = dataclasses.replace(SPEC, modalities=modalities)
        how = {
            "class_names": mixed.class_names,
            "train": True,
            "batch": 4,
            "augment": SETTINGS[name],
            "seed": 5,
        }
        here = make_loader(mixed, mixed.indices(), spec, **how)
        there = make_loader(mixed, mixed.indices(), spec, **how, deferred=True)
        for epoch in range(2 if modalities == ("rgb",) else 1):
            here.set_epoch(epoch)
            there.set_epoch(epoch)
            for one, crops in zip(here, there, strict=True):
                assert len(crops.draws) == len(crops)
                batch = augment_batch(crops, spec)
                assert batch.ids == one.ids
                assert batch.number == one.number
                assert not batch.draws
                assert torch.equal(batch.mask, one.mask)
                assert torch.equal(batch.target, one.target)
                for modality in modalities:
                    a, b = batch.inputs[modality], one.inputs[modality]
                    assert a.dtype == b.dtype
                    assert a.shape == b.shape
                    levels = 255 if modality == "diff" else 1
                    assert ((a.float() - b.float()).abs() * levels).max() <= 1
                    assert not a[:, 1:][~one.mask[:, 1:]].any() if modality == "rgb" else True


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    boxes=st.lists(
        st.tuples(st.integers(1, 60), st.integers(1, 60), st.booleans(), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_scaling_by_products_is_the_kernels(size, boxes, seed):
    rng = np.random.default_rng(seed)
    draws = [ClipDraw(box=(0, 0, h, w), mirrored=m, upside_down=u) for h, w, m, u in boxes]
    batch = torch.from_numpy(rng.integers(0, 256, (len(boxes), 2, 3, 60, 60), dtype=np.uint8))
    out = move_batch(batch, draws, size, (0, 0, 0))
    for place, draw, got in zip(batch, draws, out, strict=True):
        _, _, h, w = draw.box
        alone = move_clip(place[..., :h, :w], draw, size, (0, 0, 0))
        off = (alone.int() - got.int()).abs().max()
        # torch's own integer kernel is that of processors with AVX2; it shrinks by four and less without rounding
        exact = h <= 4 * size[0] and w <= 4 * size[1] and "AVX2" in torch.backends.cpu.get_cpu_capability()
        assert off <= (0 if exact else 1)


@pytest.mark.slow
def test_workers_send_draws_too(mixed):
    how = {
        "class_names": mixed.class_names,
        "train": True,
        "batch": 4,
        "augment": SETTINGS["usual"],
        "seed": 5,
    }
    here = list(make_loader(mixed, mixed.indices(), SPEC, **how))
    with make_loader(mixed, mixed.indices(), SPEC, **how, deferred=True, workers=1) as there:
        for one, crops in zip(here, there, strict=True):
            assert torch.equal(augment_batch(crops, SPEC).inputs["rgb"], one.inputs["rgb"])
