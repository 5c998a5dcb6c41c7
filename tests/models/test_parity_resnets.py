"""Other people's state dicts load by name, and give the same logits."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import video as theirs

from marey.models import create_model, profile
from marey.models.frame_average import FrameAverage
from tests.models.small import assert_parity, randomise


@pytest.mark.parametrize("name", ["r2plus1d_18", "r3d_18", "mc3_18"])
@torch.no_grad()
def test_video_resnets_are_torchvisions(name: str) -> None:
    reference = randomise(getattr(theirs, name)(weights=None), seed=1).eval()
    ours = create_model(name, num_classes=400).eval()
    ours.load_state_dict(reference.state_dict())
    for frames, size in ((8, 56), (5, 48)):
        clip = torch.randn(2, frames, 3, size, size, generator=torch.Generator().manual_seed(frames))
        assert_parity(ours(rgb=clip), reference(clip.transpose(1, 2)))


@torch.no_grad()
def test_r2plus1d_34_is_the_network_of_the_public_weights() -> None:
    """IG-65M's: torchvision's class with 3, 4, 6 and 3 blocks and Caffe2's middle widths and eps."""
    from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet

    reference = VideoResNet(BasicBlock, [Conv2Plus1D] * 4, [3, 4, 6, 3], R2Plus1dStem)
    for stage, width, middle in (
        (reference.layer2, 128, 288),
        (reference.layer3, 256, 576),
        (reference.layer4, 512, 1152),
    ):
        stage[0].conv2[0] = Conv2Plus1D(width, width, middle)
    for module in reference.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.eps = 1e-3
    randomise(reference, seed=2).eval()
    ours = create_model("r2plus1d_34", num_classes=400).eval()
    ours.load_state_dict(reference.state_dict())
    clip = torch.randn(1, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert_parity(ours(rgb=clip), reference(clip.transpose(1, 2)))
    assert round(sum(p.numel() for p in ours.parameters()) / 1e6, 1) == 63.7


def test_the_published_cost_of_r2plus1d_18() -> None:
    cost = profile(create_model("r2plus1d_18", num_classes=400))
    assert cost.input == "rgb 16 × 112²"
    assert round(cost.parameters / 1e6, 1) == 31.5
    assert cost.gmacs == pytest.approx(40.5, rel=0.02)


def test_recurrent_layers_are_counted() -> None:
    base = profile(create_model("frame_average", num_classes=2, size=64))
    gru = profile(create_model("cnn_gru", num_classes=2, size=64, hidden=512))
    assert gru.gmacs - base.gmacs == pytest.approx(16 * (1024 * 512 + 6 * 512 * 512) / 1e9, rel=0.01)


@torch.no_grad()
def test_frame_average_is_the_mean_of_timms_logits() -> None:
    import timm

    reference = randomise(timm.create_model("mobilenetv3_small_100", num_classes=7), seed=3).eval()
    ours = create_model("frame_average", num_classes=7, size=64).eval()
    assert isinstance(ours, FrameAverage)
    ours.load_state_dict(ours.convert_state_dict(reference.state_dict()))
    clip = torch.randn(2, 3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([reference(clip[:, t]) for t in range(3)]).mean(dim=0)
    assert_parity(ours(rgb=clip), expected)
