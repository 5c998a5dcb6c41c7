"""Anchors: as wide as they say, asked for what they overlap, blind to padding."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from marey.errors import UsageError
from marey.localize.anchors import AnchorLocalizer, anchor_segments, assign_anchors
from marey.localize.losses import tiou
from marey.localize.proposing import propose_scales

SCALES = (2.0, 6.0, 18.0)


def small(**changes: object) -> AnchorLocalizer:
    torch.manual_seed(1)
    settings = {"num_classes": 3, "features": 10, "channels": 16, "scales": SCALES, **changes}
    return AnchorLocalizer(**settings).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scale", "context", "field"), [(6, False, 7), (6, True, 15), (18, False, 21), (36, True, 85)]
)
def test_how_far_a_tower_sees(scale, context, field):
    """Two convolutions of kernel 3 with dilations r and 2r see 6r + 1 positions, and the pool before them as much
    more as it is wide less 1; r is s/6, or s/3 with context."""
    assert small(scales=(float(scale),), context=context, channels=4).towers[0].field == field


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("scale", [1, 2, 5.5, 6, 7, 8, 8.9, 14, 15, 20.9, 27, 33, 39])
def test_a_tower_sees_all_of_its_anchor(scale, context):
    """By gradient: from one output every position within half an anchor, or a whole one with context, is reached, and
    none beyond the field. Of many inputs together, since a max pool passes the gradient of one position only."""
    tower = small(scales=(float(scale),), context=context, channels=4).towers[0]
    at = tower.field
    x = torch.randn(96, 4, 2 * at + 1, requires_grad=True)
    y = tower(x, None)
    hot = torch.zeros_like(y)
    hot[:, :, at] = 1
    y.backward(hot)
    seen = torch.nonzero(x.grad.abs().sum(dim=(0, 1))).flatten() - at
    assert seen.tolist() == list(range(-(tower.field // 2), tower.field // 2 + 1))
    assert int(seen.max() - seen.min()) >= scale * (2 if context else 1)


def test_a_segment_has_an_anchor_that_overlaps_it_well():
    """Of the lengths proposed, and lying anyhow between the positions: what the thresholds rest on."""
    scales = propose_scales(np.random.default_rng(0).uniform(3, 40, 500))
    points = small(scales=scales).points(60)
    for length in np.geomspace(scales[0], scales[-1], 50):
        for shift in (0.0, 0.25, 0.5):
            segment = torch.tensor([[30 + shift - length / 2, 30 + shift + length / 2]])
            assert float(tiou(anchor_segments(points), segment).max()) > 0.7


@torch.no_grad()
def test_padding_changes_nothing():
    model = small()
    for real in (1, 2, 7, 21):
        padded = torch.randn(2, 24, 10) * 5
        mask = torch.arange(24)[None] < torch.tensor([[real], [24]])
        logits, offsets, kept = model(padded, mask)
        alone_logits, alone_offsets, _ = model(padded[:1, :real])
        assert int(kept[0].sum()) == len(model.points(real)) == alone_logits.shape[1] == 3 * real
        assert torch.allclose(logits[0][kept[0]], alone_logits[0], atol=1e-4)
        assert torch.allclose(offsets[0][kept[0]], alone_offsets[0], atol=1e-4)


def test_what_an_anchor_is_asked():
    """By hand: anchors of 2, 6 and 18 at each of 20 positions; a segment of class 1 from 7 to 13 (the anchor of 6 at
    10 itself), one of class 2 from 2 to 3.2, which only anchors of 2 overlap by half."""
    points = small().points(20)
    segments, labels = torch.tensor([[7.0, 13.0], [2.0, 3.2]]), torch.tensor([1, 2])
    classes, asked, ends = assign_anchors(points, segments, labels, 3)
    assert not classes[:, 0].any()
    of = {float(s): classes[points.stride == s] for s in SCALES}
    # shifted by d, an anchor of 6 overlaps its equal by (6 − d) ÷ (6 + d): 0.5 at d = 2
    assert torch.nonzero(of[6.0][:, 1]).flatten().tolist() == [8, 9, 10, 11, 12]
    assert not of[2.0][:, 1].any()
    assert not of[18.0][:, 1].any()
    # (1.2 of 2) at 3 is [2, 4]: 1.2 ÷ 2 = 0.6; at 2 it is [1, 3]: 1 ÷ 2.2 = 0.4545, not asked; at 4: 0.2 ÷ 3
    assert torch.nonzero(of[2.0][:, 2]).flatten().tolist() == [3]
    asked_2 = asked[points.stride == 2.0]
    assert torch.nonzero(~asked_2[:, 2]).flatten().tolist() == [2]
    assert asked[:, 0].all()
    found = classes.any(dim=1)
    assert torch.equal(ends[found & (points.stride == 6.0)], torch.tensor([[7.0, 13.0]]).expand(5, 2))
    assert torch.equal(ends[found & (points.stride == 2.0)][0], segments[1])
    assert not ends[~found].any()
    # one that no anchor overlaps by half has the anchor that overlaps it most
    classes, _, _ = assign_anchors(points, torch.tensor([[5.3, 5.6]]), torch.tensor([0]), 3)
    assert torch.nonzero(classes[:, 0]).flatten().tolist() == [5, 6]  # both hold it whole: equals
    nothing = assign_anchors(points, torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), 3)
    assert not nothing[0].any()
    assert nothing[1].all()


@torch.no_grad()
def test_an_untrained_anchor_is_itself():
    model = small()
    for last in model.regress:
        torch.nn.init.zeros_(last.conv.weight)
    _, offsets, _ = model(torch.randn(1, 9, 10))
    points = model.points(9)
    start, end = (
        points.position - offsets[0, :, 0] * points.stride,
        points.position + offsets[0, :, 1] * points.stride,
    )
    assert torch.allclose(torch.stack([start, end], dim=1), anchor_segments(points), atol=1e-5)


def test_lengths_are_those_of_the_data():
    rng = np.random.default_rng(0)
    scales = propose_scales(rng.uniform(4, 40, 500))
    assert 4 <= scales[0] < 7
    assert 37 < scales[-1] <= 40
    assert max(b / a for a, b in itertools.pairwise(scales)) <= 1.5 + 1e-9
    assert propose_scales(np.full(3, 5.0)) == (5.0,)
    for wrong in ((), (0.0, 3.0), (float("nan"),)):
        with pytest.raises(UsageError, match="anchors need lengths"):
            small(scales=wrong)
