"""SlowFast and X3D: the public checkpoints' names and shapes, the published costs, and, where the package is
installed, PyTorchVideo's logits."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import torch

from marey.models import create_model, profile
from tests.models.small import assert_parity, randomise

# SHA-256 over "name shape" lines, sorted by name, of PyTorchVideo 0.1.5's networks at 400 classes.
LAYOUTS = {
    "slowfast_r50": "b64258d537dd0d36112ed878c11546389102ac459f198d1924d33a3dbf2ebe30",
    "x3d_xs": "92cf6db9a1a738225146f7437e37d7696dcce71a7dd76afdd119768769bb9421",
    "x3d_s": "92cf6db9a1a738225146f7437e37d7696dcce71a7dd76afdd119768769bb9421",
    "x3d_m": "92cf6db9a1a738225146f7437e37d7696dcce71a7dd76afdd119768769bb9421",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layout_of_the_public_checkpoints(name: str) -> None:
    with torch.device("meta"):
        state = create_model(name, num_classes=400).state_dict()
    lines = "\n".join(f"{key} {tuple(value.shape)}" for key, value in sorted(state.items()))
    assert hashlib.sha256(lines.encode()).hexdigest() == LAYOUTS[name]


@pytest.mark.parametrize(
    ("name", "millions", "gmacs"),
    [("slowfast_r50", 34.6, 50.3), ("x3d_xs", 3.8, 0.6), ("x3d_s", 3.8, 1.96), ("x3d_m", 3.8, 4.73)],
)
def test_the_published_costs(name: str, millions: float, gmacs: float) -> None:
    """X3D's paper: 0.60, 1.96 and 4.73 for a view at its size; SlowFast: 65.7 at 256², so 50.3 at 224²."""
    with torch.device("meta"):
        cost = profile(create_model(name, num_classes=400))
    assert round(cost.parameters / 1e6, 1) == millions
    assert cost.gmacs == pytest.approx(gmacs, rel=0.02)


@pytest.mark.parametrize(("name", "frames", "size"), [("slowfast_r50", 8, 64), ("x3d_s", 5, 64)])
@torch.no_grad()
def test_logits_where_the_package_is(name: str, frames: int, size: int) -> None:
    pytest.importorskip("pytorchvideo", reason="PyTorchVideo is not installed")
    from pytorchvideo.models.slowfast import create_slowfast
    from pytorchvideo.models.x3d import create_x3d

    x = torch.randn(2, 3, frames, size, size, generator=torch.Generator().manual_seed(0))
    inputs: Any = x
    if name == "slowfast_r50":
        reference = create_slowfast(head_pool_kernel_sizes=((frames // 4, 2, 2), (frames, 2, 2)))
        inputs = [x[:, :, torch.linspace(0, frames - 1, frames // 4).long()], x]
    else:
        reference = create_x3d(
            input_clip_length=frames, input_crop_size=size, depth_factor=2.2, head_activation=None
        )
    randomise(reference, seed=1).eval()
    model = create_model(name, num_classes=400).eval()
    model.load_state_dict(reference.state_dict())
    assert_parity(model(rgb=x.transpose(1, 2)), reference(inputs))
