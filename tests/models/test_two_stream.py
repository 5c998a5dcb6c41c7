"""Two streams: stacks of flow, fusion, branches by themselves, image weights in both."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from marey.errors import ConfigError, UsageError
from marey.models import create_model
from marey.models.fit import load_checkpoint
from marey.models.two_stream import FlowStacks, TwoStream, fuse
from marey.models.weights import Checkpoint, Facts
from tests.models.small import assert_parity, random_inputs, randomise, small_model


@torch.no_grad()
def test_stacks_hold_consecutive_fields() -> None:
    model = FlowStacks(num_classes=2, stack=4, stride=3, size=32)
    assert [model.stacks(n) for n in (0, 1, 4, 5, 7, 8, 10)] == [1, 1, 1, 2, 2, 3, 3]
    seen: list[torch.Tensor] = []
    model.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    flow = torch.arange(1.0, 9.0)[None, :, None, None, None] + torch.tensor([0.0, 100.0])[:, None, None]
    model.eval()(flow=flow.expand(1, 8, 2, 32, 32), mask=torch.arange(8)[None] < 6)
    channels = seen[0][:, :, 0, 0].tolist()
    assert channels == [[1, 101, 2, 102, 3, 103, 4, 104], [4, 104, 5, 105, 6, 106, 0, 0]]


@torch.no_grad()
def test_fusions() -> None:
    clip = None
    for fusion in ("average", "weighted", "concat"):
        model = small_model("two_stream", fusion=fusion)
        assert isinstance(model, TwoStream)
        clip = random_inputs(model, 2, 7)
        own = model.branch_logits(**clip)
        mean = (own["rgb"] + own["flow"]) / 2
        assert_parity(model(**clip), mean)
        if fusion == "weighted":
            assert model.fusion is not None
            model.fusion.weight[:] = torch.tensor([20.0, -20.0])
            assert_parity(model(**clip), own["rgb"])
    with pytest.raises(ConfigError, match="fusion 'mean'"):
        create_model("two_stream", num_classes=2, fusion="mean")


@pytest.mark.parametrize("name", ["two_stream", "two_stream_tiny"])
@torch.no_grad()
def test_branches_trained_alone_fuse(name: str) -> None:
    keywords = {"fusion": "average"}
    rgb = small_model(name, seed=1, branch="rgb", **keywords)
    flow = small_model(name, seed=2, branch="flow", **keywords)
    assert rgb.spec.modalities == ("rgb",)
    assert flow.spec.modalities == ("flow",)
    for fusion in ("average", "weighted", "concat"):
        both = fuse(rgb, flow, fusion=fusion).eval()
        clip = random_inputs(both, 2, 9)
        expected = (rgb(rgb=clip["rgb"]) + flow(flow=clip["flow"])) / 2
        assert_parity(both(**clip), expected)
        own = both.branch_logits(**clip)  # type: ignore[operator]
        assert_parity((own["rgb"] + own["flow"]) / 2, expected)
        if fusion != "concat":
            assert_parity(own["flow"], flow(flow=clip["flow"]))
    with pytest.raises(ConfigError, match="is no rgb branch"):
        fuse(flow, rgb)


@torch.no_grad()
def test_flow_alone_takes_the_frames_mask() -> None:
    flow = small_model("two_stream", branch="flow")
    fields = random_inputs(flow, 2, 8)["flow"]
    frames = torch.arange(9)[None] < torch.tensor([9, 5])[:, None]
    assert_parity(flow(flow=fields, mask=frames), flow(flow=fields, mask=frames[:, 1:]))


@torch.no_grad()
def test_an_image_network_starts_both_branches() -> None:
    import timm

    torch.manual_seed(0)
    image = randomise(timm.create_model("resnet18", num_classes=7))
    model = create_model("two_stream", num_classes=3, backbone="resnet18", size=64)
    assert isinstance(model, TwoStream)
    report = load_checkpoint(model, Checkpoint(image.state_dict(), Facts(), "resnet18"))
    assert set(report.missing) == {
        "spatial.head.weight",
        "spatial.head.bias",
        "temporal.head.weight",
        "temporal.head.bias",
    }
    assert torch.equal(model.get_parameter("spatial.backbone.conv1.weight"), image.conv1.weight)
    first = model.get_parameter("temporal.backbone.conv1.weight")
    assert first.shape[1] == 20
    assert torch.allclose(first[:, 0], first[:, 19])
    assert torch.allclose(first.sum(dim=1), image.conv1.weight.sum(dim=1), atol=1e-5)
    assert torch.equal(
        model.get_parameter("temporal.backbone.layer4.1.conv2.weight"), image.layer4[1].conv2.weight
    )


def test_what_does_not_belong_together() -> None:
    model = small_model("two_stream")
    clip = random_inputs(model, 1, 6)
    with pytest.raises(UsageError, match="5 fields of flow between them, got 4"):
        model(rgb=clip["rgb"], flow=clip["flow"][:, :4])
    with pytest.raises(UsageError, match="takes rgb and flow, got rgb"):
        model(rgb=clip["rgb"])


@torch.no_grad()
def test_with_snippets_a_stack_is_a_snippet_and_padding_changes_nothing() -> None:
    model = small_model("two_stream", frames=None, snippets=3)
    assert isinstance(model, TwoStream)
    assert model.spec.sampler == {"name": "snippets", "n": 3, "fields": 4, "stride": 1}
    assert model.spec.frames == 15
    assert isinstance(model.temporal, FlowStacks)
    assert [model.temporal.stacks(fields) for fields in (0, 4, 5, 6, 14, 19)] == [1, 1, 1, 2, 3, 4]
    seen: dict[str, torch.Tensor] = {}
    for name in ("spatial", "temporal"):
        backbone = model.get_submodule(f"{name}.backbone")
        backbone.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
    clip = random_inputs(model, 1, 15)
    whole = model(**clip)
    assert torch.equal(seen["spatial"], model.normalise("rgb", clip["rgb"])[0, ::5])
    flow = model.normalise("flow", clip["flow"])[0]
    assert torch.equal(seen["temporal"][1], flow[5:9].flatten(0, 1)), "the field between snippets is not seen"
    assert_parity(model(**clip, mask=torch.ones(1, 15, dtype=torch.bool)), whole)
    for real in (1, 3, 5, 6, 7, 11, 14):
        alone = {"rgb": clip["rgb"][:, :real], "flow": clip["flow"][:, : real - 1]}
        assert_parity(model(**clip, mask=torch.arange(15)[None] < real), model(**alone))
    for parts in (model.all_logits(**clip), model.branch_logits(**clip)):
        assert_parity((parts["rgb"] + parts["flow"]) / 2, whole)
    with pytest.raises(ConfigError, match="snippets of 9 fields, and this network takes stacks of 4"):
        model.spec = replace(model.spec, sampler={"name": "snippets", "n": 2, "fields": 9, "stride": 1})
