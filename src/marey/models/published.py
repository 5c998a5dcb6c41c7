"""Which public weights there are, where from, and what their makers measured under which protocol.

Accuracies are the makers' own, on Kinetics-400; none was measured here. Some weights come with
`pretrained=` directly, others are a file to be fetched by hand and named.
"""

from __future__ import annotations

from dataclasses import dataclass

TORCHVISION_RESNETS = "5 clips × 1 crop, 16 frames, 112²"
TORCHVISION_SWIN = "12 clips × 1 crop, 32 frames, 224²"
PYTORCHVIDEO = "10 clips × 3 crops"
I3D_PORTS = "the public PyTorch ports of Inception-I3D"
ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"


@dataclass(frozen=True)
class Published:
    """Public weights of one model.

    Attributes:
        model: its name in the registry.
        source: a name for `pretrained=`, or where to fetch the file.
        direct: whether `pretrained=source` fetches them.
        top1, top5: per cent on Kinetics-400, by the maker; None where none is known for this very file.
        protocol: views and input that the figures hold for.
    """

    model: str
    source: str
    direct: bool
    top1: float | None
    top5: float | None
    protocol: str


def published_weights() -> list[Published]:
    """All that are known, in the registry's order of families."""
    resnets, swin = TORCHVISION_RESNETS, TORCHVISION_SWIN
    return [
        Published("i3d", I3D_PORTS, False, 71.1, 89.3, "whole video, 224²"),
        Published("i3d_flow", I3D_PORTS, False, 63.4, 84.9, "whole video, 224²"),
        Published("r2plus1d_18", "R2Plus1D_18_Weights.KINETICS400_V1", True, 67.463, 86.175, resnets),
        Published("r2plus1d_34", "https://github.com/moabitcoin/ig65m-pytorch/releases", False, None, None, ""),
        Published("r3d_18", "R3D_18_Weights.KINETICS400_V1", True, 63.2, 83.479, resnets),
        Published("mc3_18", "MC3_18_Weights.KINETICS400_V1", True, 63.96, 84.13, resnets),
        Published("slowfast_r50", f"{ZOO}/SLOWFAST_8x8_R50.pyth", False, 76.94, 92.69, f"{PYTORCHVIDEO}, 256²"),
        Published("timesformer_base", "facebook/timesformer-base-finetuned-k400", True, None, None, ""),
        Published("timesformer_hr", "facebook/timesformer-hr-finetuned-k400", True, None, None, ""),
        Published("timesformer_large", "fcakyon/timesformer-large-finetuned-k400", True, None, None, ""),
        Published("video_swin_t", "Swin3D_T_Weights.KINETICS400_V1", True, 77.715, 93.519, swin),
        Published("video_swin_s", "Swin3D_S_Weights.KINETICS400_V1", True, 79.521, 94.158, swin),
        Published("video_swin_b", "Swin3D_B_Weights.KINETICS400_V1", True, 79.427, 94.386, swin),
        Published("video_swin_b", "Swin3D_B_Weights.KINETICS400_IMAGENET22K_V1", True, 81.643, 95.574, swin),
        Published("videomae_b", "MCG-NJU/videomae-base-finetuned-kinetics", True, None, None, ""),
        Published("videomae_s", "MCG-NJU/videomae-small-finetuned-kinetics", True, None, None, ""),
        Published("x3d_xs", f"{ZOO}/X3D_XS.pyth", False, 69.12, 88.63, f"{PYTORCHVIDEO}, 4 frames, 182²"),
        Published("x3d_s", f"{ZOO}/X3D_S.pyth", False, 73.33, 91.27, f"{PYTORCHVIDEO}, 13 frames, 182²"),
        Published("x3d_m", f"{ZOO}/X3D_M.pyth", False, 75.94, 92.72, f"{PYTORCHVIDEO}, 16 frames, 256²"),
    ]  # fmt: skip
