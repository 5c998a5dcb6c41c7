"""TimeSformer against Hugging Face's, for three kinds of attention, and the checkpoints that load."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from marey.errors import UsageError
from marey.models import create_model, profile
from marey.models.fit import load_checkpoint
from marey.models.weights import Checkpoint, Facts
from tests.models.small import assert_parity


def hugging_face(kind: str, frames: int) -> Any:
    from transformers import TimesformerConfig, TimesformerForVideoClassification

    torch.manual_seed(5)
    config = TimesformerConfig(
        image_size=48, patch_size=16, num_frames=frames, hidden_size=48, num_hidden_layers=3,
        num_attention_heads=4, intermediate_size=192, attention_type=kind, num_labels=11,
    )  # fmt: skip
    network = TimesformerForVideoClassification(config).eval()
    for parameter in network.parameters():  # their zeros would hide a lost bias or time embedding
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def ours_like(network: Any, kind: str, frames: int) -> Any:
    model = create_model(
        "timesformer_base", num_classes=11, attention=kind, frames=frames, size=48, width=48, depth=3, heads=4
    ).eval()
    report = load_checkpoint(model, Checkpoint(network.state_dict(), Facts(), "hugging face"))
    assert not report.missing
    assert not report.unexpected
    return model


def random_clip(batch: int, frames: int, size: int = 48) -> torch.Tensor:
    return torch.randn(batch, frames, 3, size, size, generator=torch.Generator().manual_seed(frames))


@pytest.mark.parametrize(
    ("kind", "theirs"), [("divided", "divided_space_time"), ("joint", "joint_space_time")]
)
@torch.no_grad()
def test_attention_over_space_and_time(kind: str, theirs: str) -> None:
    network, clip = hugging_face(theirs, 4), random_clip(2, 4)
    assert_parity(ours_like(network, kind, 4)(rgb=clip), network(clip).logits)


@torch.no_grad()
def test_space_only_frame_by_frame() -> None:
    """Theirs stops at the frames' tokens; the original averages them before the last norm."""
    network, clip = hugging_face("space_only", 4), random_clip(2, 4)
    model = ours_like(network, "space", 4)
    assert_parity(model(rgb=clip[:, :1]), network(clip[:, :1]).logits)
    tokens = network.timesformer.encoder(network.timesformer.embeddings(clip))[0][:, 0]
    mean = tokens.reshape(2, 4, -1).mean(dim=1)
    assert_parity(model(rgb=clip), network.classifier(network.timesformer.layernorm(mean)))


@torch.no_grad()
def test_time_embeddings_interpolate_as_theirs() -> None:
    network = hugging_face("joint_space_time", 4)
    model = ours_like(network, "joint", 4)
    for frames in (3, 6, 8):
        assert_parity(model(rgb=random_clip(1, frames)), network(random_clip(1, frames)).logits)


@torch.no_grad()
def test_a_checkpoint_of_another_length_and_picture() -> None:
    network = hugging_face("divided_space_time", 4)
    model = create_model("timesformer_base", num_classes=3, frames=8, size=64, width=48, depth=3, heads=4)
    report = load_checkpoint(model, Checkpoint(network.state_dict(), Facts(), "hugging face"))
    assert set(report.dropped) == {"head.weight", "head.bias"}
    theirs = network.timesformer.embeddings.time_embeddings[0]
    assert torch.equal(model.time_embed[0], theirs.repeat_interleave(2, dim=0))  # type: ignore[index]
    with pytest.raises(UsageError, match="64×64"):
        model(rgb=random_clip(1, 2, size=48))


@torch.no_grad()
def test_the_original_checkpoints_names_load() -> None:
    model = create_model("timesformer_base", num_classes=3, size=32, depth=1, width=48)
    original = {f"model.{k}": torch.randn(v.shape) for k, v in model.state_dict().items()}
    load_checkpoint(model, Checkpoint(original, Facts(), "original"))
    for key, value in model.state_dict().items():
        assert torch.equal(value, original[f"model.{key}"]), key
    # The original's own names, written out: cls_token, time_embed, blocks.N.temporal_attn and the rest.
    assert {k.replace("blocks.0.", "") for k in model.state_dict()} == {
        "cls_token", "pos_embed", "time_embed", "patch_embed.proj.weight", "patch_embed.proj.bias",
        "norm.weight", "norm.bias", "head.weight", "head.bias",
        "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias",
        "attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias",
        "temporal_norm1.weight", "temporal_norm1.bias", "temporal_fc.weight", "temporal_fc.bias",
        "temporal_attn.qkv.weight", "temporal_attn.qkv.bias",
        "temporal_attn.proj.weight", "temporal_attn.proj.bias",
        "mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias",
    }  # fmt: skip


@pytest.mark.parametrize("attention", ["divided", "joint", "space"])
@torch.no_grad()
def test_a_vit_starts_a_model_that_sees_each_frame_as_it_did(attention: str) -> None:
    import timm

    torch.manual_seed(6)
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=7, img_size=48, depth=2).eval()
    for parameter in vit.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    frame = random_clip(1, 1)
    model = create_model(
        "timesformer_base", num_classes=7, size=48, depth=2, width=192, heads=3, attention=attention
    ).eval()
    load_checkpoint(model, Checkpoint(vit.state_dict(), Facts(), "timm"))
    assert_parity(model(rgb=frame), vit(frame[:, 0]))
    if attention != "joint":
        assert_parity(model(rgb=frame.expand(-1, 5, -1, -1, -1)), vit(frame[:, 0]))


def test_the_published_size_and_cost() -> None:
    with torch.device("meta"):
        cost = profile(create_model("timesformer_base", num_classes=400))
    assert 121e6 <= cost.parameters <= 122e6
    assert cost.gmacs == pytest.approx(196, rel=0.02)
