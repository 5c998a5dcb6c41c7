"""The flow of a clip is one thing: computed, remembered or stored; and it moves as the pixels do."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.data.augment import AugmentConfig, TimeJitter
from marey.data.clips import load_clip, load_views
from marey.data.draws import ClipDraw, Operation
from marey.data.flow_folder import FlowFolder
from marey.data.loader import make_loader
from marey.data.manifest import Manifest, Sample
from marey.data.modalities import clip_inputs, flow_input
from marey.data.motion import STILL, FlowMemory, wanted_pairs
from marey.data.transforms import ClipTransform
from marey.errors import ConfigError, DataError
from marey.spec import InputSpec
from marey.types import Clip
from marey.video.flow import extract_flow
from marey.video.reader import open_video
from marey.video.sampling import Snippets
from marey.video.synthetic import write_video
from tests.video.moving import translation

SPEC = InputSpec(
    modalities=("flow",),
    sampler=Snippets(2, 3).to_dict(),
    frames=8,
    size=(40, 48),
    resize=48,
    flow_method="dis-fast",
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three videos of 96×64 whose picture moves right, down, and not at all; 14, 20 and 6 frames."""
    folder = tmp_path_factory.mktemp("moving")
    for name, frames, (dx, dy) in (("right", 14, (1.5, 0)), ("down", 20, (0, 1.0)), ("still", 6, (0, 0))):
        shifts = [(dx * t, dy * t) for t in range(frames)]
        write_video(folder / f"{name}.mp4", translation(shifts, 64, 96), fps=12.5)
    lines = ["path,label,start,end", "right.mp4,a,,", "down.mp4,b,,", "down.mp4,a,0.4,1.2", "still.mp4,b,,"]
    (folder / "manifest.csv").write_text("\n".join(lines))
    return Manifest.read(folder)


@pytest.fixture(scope="module")
def stored(clips, tmp_path_factory):
    """Their flow on disk, for neighbours and for every second frame."""
    out = tmp_path_factory.mktemp("flow")
    paths = sorted({s.path for s in samples_of(clips)})
    for stride in (1, 2):
        done = extract_flow(
            paths, out, method="dis-fast", size=48, stride=stride, workers=1, say=lambda text: None
        )
        assert not done.failures
    return out


def samples_of(clips):
    return [clips.sample(row) for row in range(len(clips))]


@pytest.mark.parametrize("stride", [1, 2])
def test_stored_and_computed_flow_are_the_same_bit_for_bit(clips, stored, stride):
    spec = replace(SPEC, sampler=Snippets(2, 3, stride).to_dict())
    folder = FlowFolder(stored, samples_of(clips), spec)
    memory = FlowMemory(10**7)
    for sample in samples_of(clips):
        for seed in (None, 0, 1, 0):
            rng = [None if seed is None else np.random.default_rng(seed) for _ in range(3)]
            fresh, read, kept = (
                load_clip(sample, spec, rng=r, flow=source)
                for r, source in zip(rng, (None, folder, memory), strict=True)
            )
            assert np.array_equal(fresh.times, read.times)
            assert np.array_equal(fresh.flow, read.flow)
            assert np.array_equal(fresh.flow, kept.flow)
    assert len(memory) > 0
    moving = load_clip(clips.sample(0), spec, flow=folder)
    u = flow_input(moving.flow)[:3, 0].mean() * 20
    assert u == pytest.approx(1.5 * stride * 48 / 64, abs=0.15)
    assert "flow" in repr(folder).lower()


def test_flow_alone_decodes_nothing_that_is_known(clips, stored):
    folder = FlowFolder(stored, samples_of(clips), SPEC)
    assert not load_clip(clips.sample(0), SPEC, flow=folder).frames.any()
    both = replace(SPEC, modalities=("rgb", "flow"))
    clip = load_clip(clips.sample(0), both, flow=folder)
    assert clip.frames.any()
    assert np.array_equal(clip.flow, load_clip(clips.sample(0), SPEC).flow)


def test_between_snippets_and_in_padding_there_is_no_motion(clips):
    clip = load_clip(clips.sample(0), SPEC)
    moves = (clip.flow != STILL).any(axis=(1, 2, 3))
    assert moves.tolist() == [True, True, True, False, True, True, True]
    short = load_clip(
        Sample(0, clips.sample(0).path, (), 0.0, 0.2), replace(SPEC, sampler=Snippets(1, 7).to_dict())
    )
    assert short.mask.sum() == 3
    assert (short.flow != STILL).any(axis=(1, 2, 3)).tolist() == [True] * 2 + [False] * 5
    assert not flow_input(short.flow)[2:].any()


@given(st.lists(st.integers(0, 5), min_size=2, max_size=20), st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_pairs_that_are_wanted(index, snippet):
    index = np.array(index)
    wanted = wanted_pairs(index, snippet)
    for place, want in enumerate(wanted):
        crosses = (place + 1) % snippet == 0
        assert want == (index[place] != index[place + 1] and not crosses)


def test_a_disturbed_clip_has_the_flow_of_what_is_seen(clips, stored):
    folder = FlowFolder(stored, samples_of(clips), SPEC)

    def backwards(number, clip):
        return replace(clip, frames=clip.frames[::-1])

    (ordered,) = load_views(clips.sample(0), SPEC, flow=folder)
    (reversed_,) = load_views(clips.sample(0), SPEC, flow=folder, disturb=backwards)
    assert flow_input(ordered.flow)[:3, 0].mean() > 0.03
    assert flow_input(reversed_.flow)[:3, 0].mean() < -0.03


def test_a_mirror_turns_motion_round_and_a_zoom_stretches_it():
    transform = ClipTransform(AugmentConfig(), SPEC, ("a", "b"))

    def motion(flow, box, **draw):
        return transform.motion(flow, ClipDraw(box=box, **draw))

    flow = torch.zeros(3, 2, 64, 96)
    flow[:, 0], flow[:, 1] = 0.2, -0.1
    whole = motion(flow, (0, 0, 64, 96))
    assert whole.shape == (3, 2, 40, 48)
    assert torch.allclose(whole[0, :, 0, 0], torch.tensor([0.2 * 48 / 96, -0.1 * 40 / 64]))
    part = motion(flow, (5, 7, 20, 12), mirrored=True)
    assert torch.allclose(part[0, :, 3, 3], torch.tensor([-0.2 * 48 / 12, -0.1 * 40 / 20]))
    part = motion(2 * flow, (5, 7, 20, 12), upside_down=True)
    assert torch.allclose(part[0, :, 3, 3], torch.tensor([1.0, 0.2 * 40 / 20])), "the bound stays"
    quarter = motion(flow, (0, 0, 40, 48), warps=(Operation("turn", 90.0),))
    assert torch.allclose(quarter[0, :, 20, 24], torch.tensor([0.1, 0.2]), atol=1e-5), "right becomes down"
    flow[:, 0, :, :48] = 0
    seen = motion(flow, (0, 0, 64, 96), mirrored=True)
    assert not seen[..., 0, :, 30:].any(), "pixels and vectors are mirrored together"
    assert seen[:, 0, :, :20].mean() < -0.05


def test_augmented_flow_is_the_flow_of_the_augmented_frames(clips):
    """Over many draws of crops and mirrors: what the loader gives against flow computed of its own frames."""
    spec = replace(SPEC, modalities=("rgb", "flow"))
    augment = AugmentConfig(scale=(0.5, 1.0), flip=True, vertical_flip=True, trivialaugment=True)
    signs = set()
    for seed in range(6):
        loader = make_loader(
            clips, [0, 1], spec, class_names=("a", "b"), train=True, batch=2, augment=augment, seed=seed
        )
        (batch,) = list(loader)
        for moved, frames, real in zip(batch.inputs["flow"], batch.inputs["rgb"], batch.lengths, strict=True):
            pixels = frames.permute(0, 2, 3, 1).numpy()
            clip = Clip(pixels, np.arange(len(pixels)) / 12.5, np.arange(len(pixels)) < int(real))
            found = clip_inputs(clip, ("flow",), flow_method="dis-fast")["flow"]
            for place in (0, 1, 2, 4, 5, 6):
                assert 20 * abs(moved[place].mean((1, 2)).numpy() - found[place].mean((1, 2))).max() < 0.5
            signs.add(tuple(np.sign(np.round(moved[0].mean((1, 2)).numpy() * 20)).tolist()))
    assert len(signs) >= 3


def test_remembered_flow_changes_no_batch(clips):
    def batches(cache):
        spec = replace(SPEC, modalities=("rgb", "flow"))
        loader = make_loader(
            clips, range(4), spec, class_names=("a", "b"), train=True, batch=4, augment=AugmentConfig(flip=True),
            cache_bytes=cache,
        )  # fmt: skip
        for epoch in range(3):
            loader.set_epoch(epoch)
            yield from loader

    for plain, kept in zip(batches(0), batches(10**7), strict=True):
        assert torch.equal(plain.inputs["flow"], kept.inputs["flow"])
        assert torch.equal(plain.inputs["rgb"], kept.inputs["rgb"])
    full = FlowMemory(3 * 2 * 48 * 72)
    with open_video(clips.sample(0).path) as reader:
        index = np.arange(5)
        full.keep(reader, index, index + 1, np.zeros((5, 2, 48, 72), dtype=np.uint8))
    assert len(full) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flow_method": "dis-medium"}, "made by the method dis-fast, and the model takes dis-medium"),
        ({"resize": 56}, "made at a short side of 48, and the model takes 56"),
        ({"sampler": Snippets(2, 3, 3).to_dict()}, "made over a stride of 1, and the model takes 3"),
    ],
)
def test_flow_of_another_kind_is_refused_before_it_is_used(clips, stored, change, words):
    with pytest.raises(DataError, match=words) as caught:
        FlowFolder(stored, samples_of(clips), replace(SPEC, **change))
    spec = replace(SPEC, **change)
    assert f"--method {spec.flow_method} --size {spec.resize}" in str(caught.value)
    assert "4 of 4 samples lack their flow" in str(caught.value)


def test_flow_that_is_not_there_is_named(clips, stored, tmp_path):
    with pytest.raises(ConfigError, match="'uniform' chooses frames that are none"):
        FlowFolder(stored, samples_of(clips), replace(SPEC, sampler={"name": "uniform", "n": 8}))
    with pytest.raises(DataError, match=r"there is no flow\.csv here"):
        FlowFolder(tmp_path, samples_of(clips), SPEC)
    changed = tmp_path / "right.mp4"
    shutil.copy(clips.sample(1).path, changed)
    known = FlowFolder(stored, [Sample(0, str(changed), ())], SPEC)
    assert np.array_equal(
        load_clip(str(changed), SPEC, flow=known).flow, load_clip(clips.sample(1), SPEC).flow
    ), "a copy is known by what it holds"
    write_video(changed, translation([(t, 0) for t in range(9)], 64, 96), fps=10.0)
    with pytest.raises(DataError, match=r"there is no flow of right\.mp4"):
        FlowFolder(stored, [Sample(0, str(changed), ())], SPEC)
    with pytest.raises(DataError, match=r"lacks the flow between"):
        load_clip(str(changed), SPEC, flow=known)
    part = tmp_path / "part"
    extract_flow([clips.sample(2)], part, method="dis-fast", size=48, workers=1, say=lambda text: None)
    inside = FlowFolder(part, [clips.sample(2)], SPEC)
    assert np.array_equal(
        load_clip(clips.sample(2), SPEC, flow=inside).flow, load_clip(clips.sample(2), SPEC).flow
    )
    for samples, context in (([clips.sample(1)], False), ([clips.sample(2)], True)):
        with pytest.raises(DataError, match="of another stretch"):
            FlowFolder(part, samples, SPEC, jitter=TimeJitter(context=float(context)))
    with pytest.raises(ConfigError, match="leave --speed"):
        FlowFolder(stored, samples_of(clips), SPEC, jitter=TimeJitter(speed=0.2))
