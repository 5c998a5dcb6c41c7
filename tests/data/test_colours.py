"""Changes of colour: those of torchvision for one picture, and one change for all frames of a clip."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as F

from marey.data.colours import OPERATIONS, change_colours
from marey.data.draws import ClipDraw, Operation
from marey.data.noise import add_noise, normal_field

REFERENCE = {
    "brightness": F.adjust_brightness,
    "contrast": F.adjust_contrast,
    "saturation": F.adjust_saturation,
    "hue": F.adjust_hue,
    "sharpness": F.adjust_sharpness,
    "posterize": lambda x, bits: F.posterize(x, int(bits)),
    "solarize": F.solarize,
    "autocontrast": lambda x, _: F.autocontrast(x),
    "equalize": lambda x, _: F.equalize(x),
}
VALUES = {
    "hue": st.floats(-0.5, 0.5),
    "posterize": st.integers(2, 8),
    "solarize": st.floats(0, 255),
}


def pictures(seed, frames=1, size=16, low=0, high=256):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(low, high, (frames, 3, size, size), dtype=np.uint8))


@pytest.mark.parametrize("name", OPERATIONS)
@given(data=st.data(), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_one_picture_is_changed_as_torchvision_does(name, data, seed):
    value = data.draw(VALUES.get(name, st.floats(0, 2)))
    x = pictures(seed, low=20, high=200)
    (ours,) = change_colours([x], [[Operation(name, float(value))]])
    theirs = REFERENCE[name](x, float(np.float32(value)))
    # it cuts off where we round, and what it calls grey is cut off, too, before it is blended in
    assert (ours.int() - theirs.int()).abs().max() <= (2 if name in ("contrast", "saturation") else 1)


@pytest.mark.parametrize("name", OPERATIONS)
def test_one_change_for_all_frames_of_a_clip(name):
    """A clip that grows darker: equal levels stay equal between frames, which torchvision's measuring of each frame
    does not leave so."""
    pixels = pictures(1, size=16, low=60, high=200)
    fading = torch.cat([(pixels * share).to(torch.uint8) for share in (1.0, 0.8, 0.6, 0.4)])
    value = {"hue": 0.2, "posterize": 3.0, "solarize": 90.0}.get(name, 1.6)
    (out,) = change_colours([fading], [[Operation(name, value)]])
    if name in ("saturation", "hue", "sharpness"):  # these look at each pixel, or its neighbours, alone
        each = [change_colours([frame[None]], [[Operation(name, value)]])[0] for frame in fading]
        assert torch.equal(out, torch.cat(each))
        return
    for channel in range(3):
        table: dict[int, int] = {}
        before, after = fading[:, channel].flatten().tolist(), out[:, channel].flatten().tolist()
        assert all(table.setdefault(b, a) == a for b, a in zip(before, after, strict=True))
    assert not torch.equal(out, fading)
    if name in ("contrast", "autocontrast", "equalize"):
        assert not torch.equal(out, REFERENCE[name](fading, value)), "or this test shows nothing"


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_many_at_once_are_as_one_by_one(data):
    count = data.draw(st.integers(1, 6))
    clips = [
        pictures(data.draw(st.integers(0, 9)), data.draw(st.integers(1, 3)), size=9) for _ in range(count)
    ]
    operation = st.sampled_from(sorted(OPERATIONS)).flatmap(
        lambda name: st.builds(Operation, st.just(name), VALUES.get(name, st.floats(0, 2)).map(float))
    )
    changes = [data.draw(st.lists(operation, max_size=3)) for _ in clips]
    together = change_colours(clips, changes)
    for clip, change, out in zip(clips, changes, together, strict=True):
        assert torch.equal(out, change_colours([clip], [change])[0])


def test_noise_is_normal_and_the_same_for_all_frames_unless_grain_is_asked_for():
    field = normal_field(7, (3, 128, 128))
    assert abs(float(field.mean())) < 0.02
    assert float(field.std()) == pytest.approx(1, abs=0.02)
    assert float((field.abs() > 1.96).float().mean()) == pytest.approx(0.05, abs=0.005)
    neighbours = torch.corrcoef(torch.stack([field[..., 1:].flatten(), field[..., :-1].flatten()]))[0, 1]
    assert abs(float(neighbours)) < 0.02
    assert torch.equal(field, normal_field(7, (3, 128, 128)))
    assert (
        abs(
            float(
                torch.corrcoef(torch.stack([field.flatten(), normal_field(8, (3, 128, 128)).flatten()]))[0, 1]
            )
        )
        < 0.02
    )

    grey = torch.full((4, 3, 32, 32), 128, dtype=torch.uint8)
    (still,) = add_noise([grey], [ClipDraw(box=(0, 0, 32, 32), noise=10, noise_seed=3)])
    assert (still == still[:1]).all()
    assert float(still[0].float().std()) == pytest.approx(10, abs=0.7)
    (grain,) = add_noise([grey], [ClipDraw(box=(0, 0, 32, 32), noise=10, noise_seed=3, grain=True)])
    assert not torch.equal(grain[0], grain[1])
    assert torch.equal(grain[0], still[0])
