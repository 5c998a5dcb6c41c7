"""VideoMAE against Hugging Face's."""

from __future__ import annotations

from typing import Any

import torch

from marey.models import create_model
from marey.models.fit import load_checkpoint
from marey.models.weights import Checkpoint, Facts
from tests.models.small import assert_parity


def hugging_face(**changes: Any) -> Any:
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    torch.manual_seed(5)
    config = VideoMAEConfig(
        image_size=48, patch_size=16, num_frames=6, hidden_size=48, num_hidden_layers=3,
        num_attention_heads=4, intermediate_size=192, num_labels=11, **changes,
    )  # fmt: skip
    network = VideoMAEForVideoClassification(config).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def ours() -> Any:
    return create_model("videomae_b", num_classes=11, frames=6, size=48, width=48, depth=3, heads=4).eval()


@torch.no_grad()
def test_logits_and_names() -> None:
    network, model = hugging_face(use_mean_pooling=True), ours()
    report = load_checkpoint(model, Checkpoint(network.state_dict(), Facts(), "hugging face"))
    assert not report.missing
    assert not report.unexpected
    clip = torch.randn(2, 6, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    assert_parity(model(rgb=clip), network(clip).logits)
    # Checkpoints of before version 5 keep the two biases apart.
    older = {
        k.replace("query.bias", "q_bias").replace("value.bias", "v_bias"): v
        for k, v in network.state_dict().items()
    }
    assert any("q_bias" in k for k in older)
    again = ours()
    load_checkpoint(again, Checkpoint(older, Facts(), "hugging face"))
    assert torch.equal(again(rgb=clip), model(rgb=clip))


@torch.no_grad()
def test_the_pretrained_encoder_alone_starts_a_classifier() -> None:
    from transformers import VideoMAEConfig, VideoMAEForPreTraining

    config = VideoMAEConfig(
        image_size=48, patch_size=16, num_frames=6, hidden_size=48, num_hidden_layers=3,
        num_attention_heads=4, intermediate_size=192, decoder_num_attention_heads=2, decoder_hidden_size=24,
        decoder_num_hidden_layers=1, decoder_intermediate_size=48,
    )  # fmt: skip
    state = VideoMAEForPreTraining(config).state_dict()
    model = ours()
    report = load_checkpoint(model, Checkpoint(state, Facts(), "hugging face"))
    assert set(report.missing) <= {"head.weight", "head.bias", "fc_norm.weight", "fc_norm.bias"}
    assert not report.unexpected
    theirs = state["videomae.encoder.layer.2.output.dense.weight"]
    assert torch.equal(model.get_parameter("blocks.2.mlp.fc2.weight"), theirs)


@torch.no_grad()
def test_the_original_names_load() -> None:
    model = ours()
    original = {}
    for key, value in model.state_dict().items():
        if key.endswith("qkv.bias"):
            original[key.replace("qkv.bias", "q_bias")] = torch.randn(48)
            original[key.replace("qkv.bias", "v_bias")] = torch.randn(48)
        else:
            original[key] = torch.randn_like(value)
    report = load_checkpoint(model, Checkpoint(original, Facts(), "original"))
    assert not report.missing
    assert not report.unexpected


def test_the_published_sizes() -> None:
    """ViT-B and ViT-S at 400 classes: 87 M and 22 M."""
    for name, millions in (("videomae_b", 87), ("videomae_s", 22)):
        with torch.device("meta"):
            model = create_model(name, num_classes=400)
        assert round(sum(p.numel() for p in model.parameters()) / 1e6) == millions
