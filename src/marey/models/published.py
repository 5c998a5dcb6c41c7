"""Which public weights there are, where from, and what their makers measured under which protocol.

Accuracies are the makers' own; none was measured here. Some weights come with `pretrained=NAME` directly,
others are a file to be fetched by hand and named. An image network's weights start a video model: they
inflate, or fill its backbone.
"""

from __future__ import annotations

from dataclasses import dataclass

KINETICS, IMAGENET = "Kinetics-400", "ImageNet-1K"
TORCHVISION_RESNETS = "5 clips × 1 crop, 16 frames, 112²"
TORCHVISION_SWIN = "12 clips × 1 crop, 32 frames, 224²"
PYTORCHVIDEO = "10 clips × 3 crops"
VIEWS_3 = "1 clip × 3 crops"
FB = "facebook/timesformer"
VIDEOMAE = "5 clips × 3 crops, 16 frames, 224²"
IMAGE = "images, 1 crop, 224²"
I3D_PORTS = "the public PyTorch ports of Inception-I3D (rgb_imagenet.pt, flow_imagenet.pt)"
IG65M = "https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0/r2plus1d_34_clip32"
ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
VIT = "vit_base_patch16_224"
BACKBONE = "default"  # what `--weights default` means for a model with a timm backbone


@dataclass(frozen=True)
class Published:
    """Public weights of one model.

    Attributes:
        model: its name in the registry.
        source: a name for `pretrained=`, or where to fetch the file.
        direct: whether `pretrained=source` fetches them.
        top1, top5: per cent, by the maker; None where none is known for this very file.
        protocol: views and input that the figures hold for; "" where there are none.
        data: what they were trained and measured on.
    """

    model: str
    source: str
    direct: bool
    top1: float | None
    top5: float | None
    protocol: str
    data: str = KINETICS


def published_weights() -> list[Published]:
    """All that are known, in the registry's order of families."""
    resnets, swin = TORCHVISION_RESNETS, TORCHVISION_SWIN
    return [
        _backbone("cnn_gru"),
        _backbone("frame_average"),
        Published("i3d", I3D_PORTS, False, 71.1, 89.3, "whole video, 224²"),
        Published("i3d", "GoogLeNet_Weights.IMAGENET1K_V1", True, 69.778, 89.53, IMAGE, IMAGENET),
        Published("i3d_flow", I3D_PORTS, False, 63.4, 84.9, "whole video, 224²"),
        Published("r2plus1d_18", "R2Plus1D_18_Weights.KINETICS400_V1", True, 67.463, 86.175, resnets),
        Published(
            "r2plus1d_34", f"{IG65M}_ft_kinetics_from_ig65m-ade133f1.pth", True, None, None, "",
            "IG-65M, then Kinetics-400",
        ),
        Published("r2plus1d_34", f"{IG65M}_ig65m_from_scratch-449a7af9.pth", True, None, None, "", "IG-65M"),
        Published("r3d_18", "R3D_18_Weights.KINETICS400_V1", True, 63.2, 83.479, resnets),
        Published("mc3_18", "MC3_18_Weights.KINETICS400_V1", True, 63.96, 84.13, resnets),
        Published("slowfast_r50", f"{ZOO}/SLOWFAST_8x8_R50.pyth", True, 76.94, 92.69, f"{PYTORCHVIDEO}, 256²"),
        Published("timesformer_base", f"{FB}-base-finetuned-k400", True, 77.9, 93.2, f"{VIEWS_3}, 8 frames, 224²"),
        Published("timesformer_base", VIT, True, None, None, "", "ImageNet-21K, then ImageNet-1K"),
        Published("timesformer_hr", f"{FB}-hr-finetuned-k400", True, 79.6, 94.0, f"{VIEWS_3}, 16 frames, 448²"),
        Published(
            "timesformer_large", "fcakyon/timesformer-large-finetuned-k400", True, 80.6, 94.7,
            f"{VIEWS_3}, 96 frames, 224²",
        ),
        _backbone("tsm"),
        _backbone("tsm_mobilenet"),
        _backbone("two_stream"),
        Published("video_swin_t", "Swin3D_T_Weights.KINETICS400_V1", True, 77.715, 93.519, swin),
        Published("video_swin_t", "Swin_T_Weights.IMAGENET1K_V1", True, 81.474, 95.776, IMAGE, IMAGENET),
        Published("video_swin_s", "Swin3D_S_Weights.KINETICS400_V1", True, 79.521, 94.158, swin),
        Published("video_swin_s", "Swin_S_Weights.IMAGENET1K_V1", True, 83.196, 96.36, IMAGE, IMAGENET),
        Published("video_swin_b", "Swin3D_B_Weights.KINETICS400_V1", True, 79.427, 94.386, swin),
        Published("video_swin_b", "Swin3D_B_Weights.KINETICS400_IMAGENET22K_V1", True, 81.643, 95.574, swin),
        Published("video_swin_b", "Swin_B_Weights.IMAGENET1K_V1", True, 83.582, 96.64, IMAGE, IMAGENET),
        Published("videomae_b", "MCG-NJU/videomae-base-finetuned-kinetics", True, 80.9, 94.7, VIDEOMAE),
        Published("videomae_s", "MCG-NJU/videomae-small-finetuned-kinetics", True, 79.0, 93.8, VIDEOMAE),
        Published("x3d_xs", f"{ZOO}/X3D_XS.pyth", True, 69.12, 88.63, f"{PYTORCHVIDEO}, 4 frames, 182²"),
        Published("x3d_s", f"{ZOO}/X3D_S.pyth", True, 73.33, 91.27, f"{PYTORCHVIDEO}, 13 frames, 182²"),
        Published("x3d_m", f"{ZOO}/X3D_M.pyth", True, 75.94, 92.72, f"{PYTORCHVIDEO}, 16 frames, 256²"),
    ]  # fmt: skip


def _backbone(model: str) -> Published:
    return Published(model, BACKBONE, True, None, None, "", "whatever its timm backbone was trained on")
