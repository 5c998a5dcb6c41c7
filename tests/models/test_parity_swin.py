"""Video Swin against torchvision's, and the image weights that inflate into it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision.models import swin_t
from torchvision.models.video import swin3d_b, swin3d_s, swin3d_t

from marey.models import create_model, profile
from marey.models.fit import load_checkpoint
from marey.models.weights import Checkpoint, Facts
from tests.models.small import assert_parity


def scattered(network: Any, seed: int) -> Any:
    """Weights at which attention is far from uniform, so that a wrong window would be seen."""
    torch.manual_seed(seed)
    for name, parameter in network.named_parameters():
        if name.endswith("relative_position_bias_table"):
            torch.nn.init.normal_(parameter, std=1.0)
        elif parameter.ndim == 1:
            torch.nn.init.normal_(parameter, 1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.2)
        elif parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "make", "frames"),
    [("video_swin_t", swin3d_t, 4), ("video_swin_s", swin3d_s, 3), ("video_swin_b", swin3d_b, 2)],
)
@torch.no_grad()
def test_torchvisions_state_dict_loads_and_agrees(name: str, make: Any, frames: int) -> None:
    reference = scattered(make(weights=None), seed=1)
    model = create_model(name, num_classes=400).eval()
    model.load_state_dict(reference.state_dict())
    clip = torch.randn(1, frames, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    assert_parity(model(rgb=clip), reference(clip.transpose(1, 2)))
    report = load_checkpoint(
        create_model(name, num_classes=400), Checkpoint(reference.state_dict(), Facts(), "torchvision")
    )
    assert not report.missing
    assert not report.unexpected


@torch.no_grad()
def test_windows_that_shift_in_time_and_space() -> None:
    """32 frames are 16 tokens in time, two windows: shifted along all three axes."""
    from torchvision.models.video.swin_transformer import SwinTransformer3d

    network = SwinTransformer3d(
        patch_size=[2, 4, 4],
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=[8, 7, 7],
        num_classes=9,
    )
    scattered(network, seed=7)
    model = create_model("video_swin_t", num_classes=9, width=16, depths=(2, 2), heads=(2, 4), size=56).eval()
    model.load_state_dict(network.state_dict())
    for frames, size in ((32, 56), (16, 56), (5, 56), (48, 112)):
        clip = torch.randn(1, frames, 3, size, size, generator=torch.Generator().manual_seed(frames))
        assert_parity(model(rgb=clip), network(clip.transpose(1, 2)))


@pytest.mark.parametrize(
    ("name", "millions"), [("video_swin_t", 28.2), ("video_swin_s", 49.8), ("video_swin_b", 88.0)]
)
def test_the_published_sizes(name: str, millions: float) -> None:
    with torch.device("meta"):
        model = create_model(name, num_classes=400)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == millions


def test_the_published_cost_of_swin_t() -> None:
    with torch.device("meta"):
        cost = profile(create_model("video_swin_t", num_classes=400))
    assert cost.gmacs == pytest.approx(88, rel=0.02)


@torch.no_grad()
def test_image_weights_inflate() -> None:
    """One place-wise path through all of it: a still clip of two frames is one token in time, as the image."""
    import timm

    frame = torch.randn(1, 1, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    still = frame.expand(-1, 2, -1, -1, -1)
    for image_network, source in (
        (scattered(swin_t(weights=None, num_classes=6), seed=3), "torchvision"),
        (scattered(timm.create_model("swin_tiny_patch4_window7_224", num_classes=6), seed=4), "timm"),
    ):
        model = create_model("video_swin_t", num_classes=6).eval()
        report = load_checkpoint(model, Checkpoint(image_network.state_dict(), Facts(), source))
        assert not report.missing, source
        assert not report.unexpected, source
        assert_parity(model(rgb=still), image_network(frame[:, 0]))


def test_the_authors_names_load() -> None:
    """Their mmaction checkpoints: `backbone.layers.S.blocks.B`, merging kept with the stage before it."""
    small: dict[str, Any] = {"width": 8, "depths": (1, 1), "heads": (1, 2), "size": 32}
    model = create_model("video_swin_t", num_classes=3, **small)
    theirs = {}
    for key, value in model.state_dict().items():
        new = key.replace("mlp.0", "mlp.fc1").replace("mlp.3", "mlp.fc2").replace("head.", "cls_head.fc_cls.")
        new = new.replace("layers.0.0", "layers.0.blocks.0").replace("layers.2.0", "layers.1.blocks.0")
        new = new.replace("layers.1.reduction", "layers.0.downsample.reduction")
        new = new.replace("layers.1.norm.", "layers.0.downsample.norm.")
        prefix = "" if "cls_head" in new else "backbone."
        theirs[prefix + new] = torch.randn_like(value)
    theirs["backbone.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(4, 4)
    report = load_checkpoint(model, Checkpoint(theirs, Facts(), "authors"))
    assert not report.missing
    assert not report.unexpected
