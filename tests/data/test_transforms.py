"""Augmentation: geometry is one draw a clip, flicker only by choice, labels follow the mirror."""

from __future__ import annotations

import dataclasses
import random
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2

from marey.data.augment import AugmentConfig
from marey.data.automatic import NAMES, WARPS, rand_augment, source_of, trivial_augment
from marey.data.boxes import random_box
from marey.data.directions import flip_map_from_names, flip_rule, names_direction
from marey.data.draws import ClipDraw, Operation
from marey.data.origin import DataWarning
from marey.data.randomness import seeded
from marey.data.transforms import ClipTransform
from marey.data.warp import move_clip, warp_clips
from marey.errors import ConfigError, UnknownNameError
from marey.spec import InputSpec
from marey.video.synthetic import MOTIONS

SPEC = InputSpec(size=(24, 24), resize=32)
ALL = AugmentConfig(
    scale=(0.3, 1.0),
    flip=True,
    vertical_flip=True,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.2,
    erasing=1.0,
)


def clip(frames=6, still=False, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (1 if still else frames, 3, 32, 44), dtype=np.uint8)
    return torch.from_numpy(np.repeat(pixels, frames, axis=0) if still else pixels)


def moved(transform, seed):
    """What geometry alone makes of a clip."""
    draw, _ = transform.draw(clip().shape, 0, seed=seed)
    return transform.geometry(clip(), draw)


def test_what_comes_out():
    out, target = ClipTransform(ALL, SPEC, ["a", "b"])(clip(), 1, seed=3)
    assert out.shape == (6, 3, 24, 24)
    assert out.dtype == torch.uint8
    assert type(out) is torch.Tensor
    assert target == 1


@pytest.mark.parametrize("automatic", [{"randaugment": (3, 25)}, {"trivialaugment": True}])
@pytest.mark.parametrize("seed", range(8))
def test_automatic_operations_and_noise_are_one_draw_a_clip(automatic, seed):
    config = AugmentConfig(scale=(0.3, 1.0), noise=0.1, **automatic)
    transform = ClipTransform(config, SPEC)
    out, _ = transform(clip(still=True), 0, seed=seed)
    assert (out == out[:1]).all()
    jitter = ClipTransform(dataclasses.replace(config, per_frame=True, brightness=0.2), SPEC)
    flickering, _ = jitter(clip(still=True), 0, seed=seed)
    assert len(flickering.flatten(1).unique(dim=0)) == 6, "by choice alone"
    draws = [t.draw((6, 3, 32, 44), 0, seed=seed)[0] for t in (transform, jitter)]
    assert draws[0].warps == draws[1].warps
    assert draws[0].colours == draws[1].colours, "automatic operations are never drawn by frame"


def test_automatic_operations_are_the_papers():
    rng = np.random.default_rng(0)
    drawn = [o for _ in range(400) for o in rand_augment(rng, 2, 30)]
    assert {o.name for o in drawn} == set(NAMES)
    for name, ends in {
        "turn": (-30, 30),
        "shear_x": (-0.3, 0.3),
        "brightness": (0.1, 1.9),
        "posterize": (4, 4),
    }.items():
        assert {round(o.value, 6) for o in drawn if o.name == name} == {*ends}
    assert all(len({o.name for o in rand_augment(rng, 5, 9)}) == 5 for _ in range(50))
    weak = [o for _ in range(200) for o in rand_augment(rng, 2, 0)]
    assert {o.value for o in weak if o.name in ("turn", "shear_y", "shift_x")} == {0.0}
    wide = [trivial_augment(rng)[0] for _ in range(2000)]
    assert max(abs(o.value) for o in wide if o.name == "turn") == 30
    assert {o.value for o in wide if o.name == "posterize"} == {2, 3, 4, 5, 6, 7, 8}


@given(st.integers(0, 2000), st.integers(0, 30))
@settings(max_examples=100, deadline=None)
def test_no_operation_makes_another_direction_of_one(seed, strength):
    """Left stays left: no warp turns any direction by more than 30°, or mirrors."""
    rng = np.random.default_rng(seed)
    operations = [*rand_augment(rng, 4, strength), *trivial_augment(rng)]
    for warp in (o for o in operations if o.name in WARPS):
        forward = np.linalg.inv(source_of((warp,), 24, 24)[:, :2])
        assert np.linalg.det(forward) > 0
        for angle in np.linspace(0, 2 * np.pi, 9):
            before = np.array([np.cos(angle), np.sin(angle)])
            after = forward @ before
            assert before @ after / np.linalg.norm(after) >= np.cos(np.radians(30.001))


def test_warps_go_where_they_say():
    """A bright spot right of the middle: a turn takes it down (clockwise), a shift along, a shear with its height."""
    spot = torch.zeros(1, 1, 41, 41, dtype=torch.uint8)
    spot[..., 20, 32] = 255  # 12 to the right of the middle
    for warps, place in (
        ([("turn", 90.0)], (32, 20)),
        ([("shift_x", -10 / 41), ("shift_y", 3 / 41)], (23, 22)),
        ([("shear_y", 0.5)], (26, 32)),
        ([("turn", 90.0), ("shear_x", -0.5)], (32, 14)),
    ):
        draw = ClipDraw(box=(0, 0, 41, 41), warps=tuple(Operation(*w) for w in warps))
        (out,) = warp_clips([spot], [draw], [0])
        assert divmod(int(out.flatten().argmax()), 41) == place
    (out,) = warp_clips([spot], [ClipDraw(box=(0, 0, 41, 41), warps=(Operation("shift_x", 0.5),))], [77])
    assert (out[..., :20] == 77).all(), "what comes in from outside is the fill"


def test_what_a_modality_cannot_show_is_refused():
    flow = dataclasses.replace(SPEC, modalities=("flow",))
    with pytest.raises(ConfigError, match="noise: this changes colours, and the model sees flow alone"):
        ClipTransform(AugmentConfig(noise=0.1), flow)
    with pytest.raises(ConfigError, match="no motion between them that flow could show"):
        ClipTransform(
            AugmentConfig(cutmix=1, cut="time"), dataclasses.replace(SPEC, modalities=("rgb", "flow"))
        )
    ClipTransform(AugmentConfig(trivialaugment=True, cutmix=1), flow)


@pytest.mark.parametrize("seed", range(12))
def test_boxes_are_torchvisions(seed):
    rng = np.random.default_rng(seed)
    for number in range(20):
        height, width = rng.integers(1, 300, 2).tolist()
        scale = tuple(np.sort(rng.uniform(0.05, 1, 2)).tolist())
        ratio = tuple(np.sort(rng.uniform(0.4, 2, 2)).tolist())
        chance = torch.Generator().manual_seed(number)
        theirs = v2.RandomResizedCrop((8, 8), scale, ratio)
        with seeded(number):
            found = theirs.make_params([torch.empty(1, height, width, device="meta")])
        wanted = found["top"], found["left"], found["height"], found["width"]
        assert random_box(height, width, scale, ratio, chance) == wanted


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("upside_down", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_flips_are_flips(mirrored, upside_down, channels):
    box = clip()[:, :channels]
    out = move_clip(
        box, ClipDraw(box=(0, 0, 32, 44), mirrored=mirrored, upside_down=upside_down), (32, 44), (0, 0, 0)
    )
    wanted = box.flip(-1) if mirrored else box
    assert torch.equal(out, wanted.flip(-2) if upside_down else wanted)
    assert out.is_contiguous()


@pytest.mark.parametrize("seed", range(12))
def test_a_still_clip_stays_still(seed):
    """Geometry, colours and the erased rectangle are one draw for all frames."""
    out, _ = ClipTransform(ALL, SPEC, ["a"])(clip(still=True), 0, seed=seed)
    assert (out == out[:1]).all()


def test_per_frame_colours_flicker_and_nothing_else_moves():
    config = AugmentConfig(scale=(0.3, 1.0), brightness=0.4, per_frame=True)
    transform = ClipTransform(config, SPEC)
    draw, _ = transform.draw((6, 3, 32, 44), 0, seed=1)
    moved = transform.geometry(clip(still=True), draw)
    assert (moved == moved[:1]).all()
    out = transform.photometric(moved, draw)
    levels = out.float().mean(dim=(1, 2, 3))
    assert len(levels.unique()) == len(out)
    steadily = ClipTransform(AugmentConfig(brightness=0.4), SPEC)
    steady = steadily.photometric(moved, steadily.draw((6, 3, 32, 44), 0, seed=1)[0])
    assert (steady == steady[:1]).all()
    assert not torch.equal(steady, moved)


def test_the_same_seed_gives_the_same_clip_and_leaves_the_world_alone():
    transform = ClipTransform(ALL, SPEC, ["a"])
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    one, _ = transform(clip(), 0, seed=5)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])
    torch.manual_seed(2)
    two, _ = transform(clip(), 0, seed=5)
    other, _ = transform(clip(), 0, seed=6)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_one_setting_changes_no_other_draw():
    plain = moved(ClipTransform(AugmentConfig(scale=(0.3, 1.0)), SPEC), 9)
    with_colour = ClipTransform(AugmentConfig(scale=(0.3, 1.0), brightness=0.5, erasing=1.0), SPEC)
    assert torch.equal(plain, moved(with_colour, 9))
    flip = ClipTransform(AugmentConfig(scale=(0.3, 1.0), flip=True), SPEC, ["a"])
    for seed in range(9):
        crop = moved(ClipTransform(AugmentConfig(scale=(0.3, 1.0)), SPEC), seed)
        out = moved(flip, seed)
        assert torch.equal(out, crop) or torch.equal(out, crop.flip(-1))


@pytest.mark.parametrize(
    ("axis", "flag", "pair"), [(-1, "flip", "left=right"), (-2, "vertical_flip", "up=down")]
)
def test_a_flip_takes_the_label_with_it(axis, flag, pair):
    names = ["up", "down", "walk"] if "up" in pair else ["left", "right", "walk"]
    config = AugmentConfig(
        scale=(1, 1), **{flag: True, ("vertical_" if axis == -2 else "") + "flip_map": (pair,)}
    )
    transform = ClipTransform(config, SPEC, names)
    plain = moved(ClipTransform(AugmentConfig(scale=(1, 1)), SPEC), 0)
    flips = 0
    for seed in range(40):
        for target, mirrored in ((0, 1), (1, 0), (2, 2)):
            out, got = transform(clip(), target, seed=seed)
            flipped = torch.equal(out, plain.flip(axis))
            assert flipped or torch.equal(out, plain)
            assert got == (mirrored if flipped else target)
            flips += flipped
        several = np.array([1, 0, 1], dtype=np.float32)
        out, got = transform(clip(), several, seed=seed)
        assert got.tolist() == ([0, 1, 1] if torch.equal(out, plain.flip(axis)) else [1, 0, 1])
    assert 30 < flips < 90, "about half of 120"


def test_without_a_map_named_directions_are_not_flipped_and_it_is_said():
    with pytest.warns(
        DataWarning, match=r"hold a direction: 'turn left', 'TurnRight'\. .*flip_map: left=right"
    ):
        transform = ClipTransform(
            AugmentConfig(scale=(1, 1), flip=True), SPEC, ["turn left", "TurnRight", "walk"]
        )
    plain = moved(ClipTransform(AugmentConfig(scale=(1, 1)), SPEC), 0)
    for seed in range(20):
        for target in (0, 1, np.array([1, 0, 1])):
            out, got = transform(clip(), target, seed=seed)
            assert torch.equal(out, plain)
            assert np.array_equal(got, target)
    assert any(torch.equal(transform(clip(), 2, seed=s)[0], plain.flip(-1)) for s in range(20))


def test_what_was_tried_is_not_advised():
    for names, pairs, advised in (
        (["left", "right"], (), True),
        (["left", "walk"], (), False),  # by name nothing would be found
        (["left", "right", "up left", "up right"], ("left=right",), False),
        (["left", "walk"], ("auto",), False),
    ):
        with pytest.warns(DataWarning, match="flip_map: left=right; name=name") as said:
            flip_rule(names, pairs)
        assert ("found by name (flip_map: auto)" in str(said[0].message)) == advised


def test_maps_are_found_by_name():
    names = [
        "left", "right", "Pushing something from left to right", "Pushing something from right to left",
        "swipe_left", "SwipeRight", "turn counter-clockwise", "turn clockwise", "bright light", "cw light", "cw", "ccw",
    ]  # fmt: skip
    found = flip_map_from_names(names)
    for a, b in ((0, 1), (2, 3), (6, 7), (10, 11)):
        assert found[names[a]] == names[b]
        assert found[names[b]] == names[a]
    assert "bright light" not in found
    assert "swipe_left" in found
    assert found["swipe_left"] == "SwipeRight"
    assert names_direction("Turn Left")
    assert names_direction("anti_clockwise")
    assert not names_direction("upright copyright lefty")
    assert names_direction("stand up", "vertical")
    assert not names_direction("stand up")
    assert flip_map_from_names(["turn-left", "turn_left", "turn right"]) == {}, "two spellings of one name"


def test_motion_classes_in_a_mirror():
    found = flip_map_from_names(MOTIONS)
    assert found == {
        "left": "right",
        "right": "left",
        "clockwise": "anticlockwise",
        "anticlockwise": "clockwise",
    }
    with pytest.warns(DataWarning, match="'up-then-right', 'right-then-up'") as said:
        rule = flip_rule(MOTIONS, ("auto",))
    assert "in place of auto" in str(said[0].message)
    assert "flip_map: auto" not in str(said[0].message)
    allowed = {name for name, may in zip(MOTIONS, rule.allowed, strict=True) if may}
    assert allowed == set(MOTIONS) - {"up-then-right", "right-then-up"}


@given(
    st.lists(
        st.sampled_from(["left", "right", "turn left", "turn right", "cw", "ccw", "walk", "east"]),
        unique=True,
    )
)
@settings(max_examples=60)
def test_flipping_twice_is_nothing(names):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        rule = flip_rule(names, ("auto",))
    assert np.array_equal(rule.becomes[rule.becomes], np.arange(len(names)))
    for i, name in enumerate(names):
        assert (rule.becomes[i] != i) <= names_direction(name)


def test_wrong_maps_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'left'"):
        flip_rule(["left", "right"], ("letf=right",))
    with pytest.raises(ConfigError, match="written a=b"):
        flip_rule(["left", "right"], ("left:right",))
    with pytest.raises(ConfigError, match="stands in two pairs"):
        flip_rule(["left", "right", "up"], ("left=right", "left=up"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rule = flip_rule(["left", "right"], ("left=left", "right=right"))
    assert rule.allowed.all()
    assert rule.becomes.tolist() == [0, 1]


@pytest.mark.parametrize(
    "bad",
    [
        {"scale": (0.0, 1.0)}, {"scale": (0.5, 1.5)}, {"ratio": (2.0, 1.0)}, {"hue": 0.6}, {"erasing": 1.5},
        {"brightness": -0.1}, {"mixup": -1.0}, {"speed": 1.0}, {"context": -1.0}, {"flip_map": ("a=b",)},
        {"noise": 2.0}, {"randaugment": (2, 31)}, {"randaugment": (-1, 9)},
        {"randaugment": (1, 9), "trivialaugment": True},
        {"cut": "time"}, {"frame_drop": 1.0}, {"frame_hold": -0.1}, {"frame_rate": 1.0},
    ],
)  # fmt: skip
def test_settings_out_of_range(bad):
    with pytest.raises(ConfigError):
        AugmentConfig(**bad)


def test_scale_one_is_the_middle_even_of_small_pictures():
    transform = ClipTransform(AugmentConfig(scale=(1, 1)), SPEC)
    out, _ = transform(clip(), 0, seed=0)
    assert torch.equal(out, clip()[..., 4:28, 10:34])
    tall = ClipTransform(AugmentConfig(scale=(0.5, 1)), InputSpec(size=(48, 16), resize=32))
    assert tall(clip(), 0, seed=0)[0].shape == (6, 3, 48, 16)
