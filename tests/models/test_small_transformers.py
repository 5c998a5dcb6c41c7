"""What lets a small transformer learn from scratch: a convolutional stem, and batch norm before the mean."""

from __future__ import annotations

import pytest
import torch

from marey.errors import ConfigError
from marey.models import create_model
from tests.models.small import random_inputs, small_model

NAMES = ["timesformer_tiny", "video_swin_tiny"]


@pytest.mark.parametrize("name", NAMES)
def test_padding_has_no_part_in_the_statistics_of_batch_norm(name: str) -> None:
    """In training, too, and the running statistics, by which the model judges later, stay its clips' own."""
    alone, padded = small_model(name).train(), small_model(name).train()
    clip = random_inputs(alone, 2, 9)["rgb"]  # what stands after the sixth frame is garbage
    mask = (torch.arange(9) < 6).expand(2, 9)
    expected = alone(rgb=clip[:, :6])
    assert torch.allclose(padded(rgb=clip, mask=mask), expected, rtol=1e-3, atol=1e-4)
    statistics = {key: value for key, value in alone.named_buffers() if "running" in key}
    assert any(key.startswith("norm.") for key in statistics)
    for key, value in padded.named_buffers():
        if key in statistics:
            assert torch.allclose(value, statistics[key], rtol=1e-3, atol=1e-5), key


@pytest.mark.parametrize("name", NAMES)
def test_layer_norm_and_plain_patches_remain_a_choice(name: str) -> None:
    model = create_model(name, num_classes=3, size=32, stem="patch", norm="layer").eval()
    kinds = {type(module).__name__ for module in model.modules()}
    assert "LayerNorm" in kinds
    assert "BatchNorm3d" not in kinds
    assert model(**random_inputs(model, 1, 5)).shape == (1, 3)


def test_choices_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="norm 'group' is not from layer, batch"):
        create_model("video_swin_tiny", num_classes=3, norm="group")
    with pytest.raises(ConfigError, match="goes with the mean"):
        create_model("timesformer_tiny", num_classes=3, pool="token")
    with pytest.raises(ConfigError, match="power of two"):
        create_model("timesformer_tiny", num_classes=3, size=60, patch=12)
