"""TSM: the shift against its definition, and the checkpoints that load."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from marey.errors import ConfigError
from marey.models import create_model
from marey.models.fit import load_checkpoint
from marey.models.tsm import Neighbours, Shifted
from marey.models.weights import Checkpoint, Facts
from tests.models.small import randomise


def test_the_shift_by_hand() -> None:
    """Two clips of 4 and 2 frames in one row; frame t of clip b is the number 10 b + t."""
    neighbours = Neighbours()
    neighbours.set(torch.tensor([4, 4, 4, 4, 2, 2]), torch.tensor([0, 1, 2, 3, 0, 1]))
    row = torch.tensor([10.0, 11, 12, 13, 20, 21])
    y = Shifted(nn.Identity(), neighbours, share=4)(row[:, None, None, None].expand(-1, 4, 1, 1))
    assert y[:, 0, 0, 0].tolist() == [11, 12, 13, 0, 21, 0]
    assert y[:, 1, 0, 0].tolist() == [0, 10, 11, 12, 0, 20]
    assert torch.equal(y[:, 2:, 0, 0], row[:, None].expand(-1, 2))


@torch.no_grad()
def test_image_weights_and_the_authors_load() -> None:
    import timm

    image = randomise(timm.create_model("resnet18", num_classes=5))
    model = create_model("tsm", num_classes=5, backbone="resnet18", size=64).eval()
    report = load_checkpoint(model, Checkpoint(image.state_dict(), Facts(), "resnet18"))
    assert not report.missing
    assert not report.unexpected
    assert torch.equal(
        model.get_parameter("backbone.layer1.0.conv1.net.weight"), image.layer1[0].conv1.weight
    )
    theirs = {
        k.replace("backbone.", "base_model.").replace("head.", "new_fc."): torch.randn_like(
            v, dtype=torch.float32
        )
        for k, v in model.state_dict().items()
        if "num_batches" not in k
    }
    assert "base_model.layer1.0.conv1.net.weight" in theirs  # as in their files
    report = load_checkpoint(model, Checkpoint(theirs, Facts(), "authors"))
    assert not report.missing
    assert not report.unexpected


def test_a_backbone_without_residual_blocks_is_refused() -> None:
    with pytest.raises(ConfigError, match="no residual blocks"):
        create_model("tsm", num_classes=2, backbone="vgg11", size=64)
