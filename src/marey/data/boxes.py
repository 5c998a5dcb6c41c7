"""Random crops: which part of the picture a training clip shows."""

from __future__ import annotations

import math

import torch

from marey.video.picture import Box

_TRIALS = 10


def random_box(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    chance: torch.Generator,
) -> Box:
    """A crop of a random area and shape, anywhere in the picture: the rule of Inception's training (Szegedy et al.
    2014, arXiv 1409.4842 §6). Where ten draws do not fit into the picture: as much of its middle as the shapes allow.

    The boxes are those that `torchvision.transforms.v2.RandomResizedCrop` draws from the same generator, without what
    it does besides.

    Args:
        height, width: of the picture.
        scale: least and most area, as a share of the picture's.
        ratio: least and most width over height.
    """
    number = torch.empty(1)
    logs = torch.log(torch.tensor(ratio)).tolist()
    for _ in range(_TRIALS):
        area = height * width * number.uniform_(*scale, generator=chance).item()
        shape = number.uniform_(*logs, generator=chance).exp_().item()
        wide, tall = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < wide <= width and 0 < tall <= height:
            top = torch.randint(height - tall + 1, (1,), generator=chance).item()
            left = torch.randint(width - wide + 1, (1,), generator=chance).item()
            return int(top), int(left), tall, wide
    shape = min(max(width / height, min(ratio)), max(ratio))
    tall = height if shape < width / height else round(width / shape)
    wide = round(height * shape) if shape < width / height else width
    return (height - tall) // 2, (width - wide) // 2, tall, wide
