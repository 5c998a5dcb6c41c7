"""I3D against the reference implementation's outputs, and SAME padding against its definition."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from marey.models import create_model, profile
from marey.models.fit import load_checkpoint
from marey.models.i3d import Unit
from marey.models.weights import Checkpoint, Facts
from tests.models.small import assert_parity, randomise
from tests.shared import SHARED, needs_shared


def reference_state(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """The weights for which the reference outputs were made (their README says how)."""
    state = {}
    for i, key in enumerate(sorted(shapes)):
        shape, generator = shapes[key], torch.Generator().manual_seed(i)
        if key.endswith(("running_var", "bn.weight")):
            state[key] = torch.rand(shape, generator=generator) * 0.5 + 0.75
        elif key.endswith(("running_mean", "bias")):
            state[key] = torch.randn(shape, generator=generator) * 0.05
        elif key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
        else:
            weight = torch.randn(shape, generator=generator)
            state[key] = weight * (2 / weight[0].numel()) ** 0.5
    return state


@needs_shared
@pytest.mark.parametrize(("name", "frames"), [("i3d", 16), ("i3d_flow", 16), ("i3d", 32)])
@torch.no_grad()
def test_i3d_is_the_reference(name: str, frames: int) -> None:
    folder = SHARED / "reference" / "i3d"
    modality, channels = ("rgb", 3) if name == "i3d" else ("flow", 2)
    golden = load_file(folder / "golden.safetensors")
    shapes = dict(json.loads((folder / "keys.json").read_text()))
    shapes["Conv3d_1a_7x7.conv3d.weight"][1] = channels
    model = create_model(name, num_classes=400).eval()
    model.load_state_dict(reference_state(shapes))
    x = (
        torch.randn(1, channels, frames, 224, 224, generator=torch.Generator().manual_seed(100 + frames))
        * 0.5
    )
    features = model.features(**{modality: x.transpose(1, 2)})
    logits = model.temporal_logits(features)  # type: ignore[operator]
    assert_parity(features.transpose(1, 2), golden[f"{modality}.T{frames}.features"])
    assert_parity(logits.transpose(1, 2), golden[f"{modality}.T{frames}.logits"])
    clip_logits = model.classify(features, None)
    assert_parity(clip_logits, golden[f"{modality}.T{frames}.logits"].mean(dim=2))


def same(x: torch.Tensor, kernel: int, strides: tuple[int, ...]) -> torch.Tensor:
    """TensorFlow's SAME along every axis, from its definition: ceil(n / s) positions."""
    pads: list[int] = []
    for size, stride, k in reversed(list(zip(x.shape[2:], strides, (kernel,) * 3, strict=True))):
        total = max((-(-size // stride) - 1) * stride + k - size, 0)
        pads += [total // 2, total - total // 2]
    return torch.nn.functional.pad(x, pads)


def written_out(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Logits over time `(B, K, T')` of the paper's network, from nothing but its state dict."""
    F = torch.nn.functional

    def unit(name: str, x: torch.Tensor, strides: tuple[int, ...] = (1, 1, 1)) -> torch.Tensor:
        weight = state[f"{name}.conv3d.weight"]
        x = F.conv3d(same(x, weight.shape[-1], strides), weight, stride=strides)
        norm = (state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, *norm, eps=1e-3))

    def pool(x: torch.Tensor, kernel: tuple[int, ...], strides: tuple[int, ...]) -> torch.Tensor:
        for axis, (k, s) in enumerate(zip(kernel, strides, strict=True)):  # a maximum goes axis by axis
            one = [1, 1, 1]
            one[axis] = s
            size = x.shape[2 + axis]
            total = max((-(-size // s) - 1) * s + k - size, 0)
            pads = [0] * 6
            pads[4 - 2 * axis], pads[5 - 2 * axis] = total // 2, total - total // 2
            window = [1, 1, 1]
            window[axis] = k
            x = F.max_pool3d(F.pad(x, pads), window, one)
        return x

    def mixed(name: str, x: torch.Tensor) -> torch.Tensor:
        branches = [
            unit(f"{name}.b0", x),
            unit(f"{name}.b1b", unit(f"{name}.b1a", x)),
            unit(f"{name}.b2b", unit(f"{name}.b2a", x)),
            unit(f"{name}.b3b", pool(x, (3, 3, 3), (1, 1, 1))),
        ]
        return torch.cat(branches, dim=1)

    x = pool(unit("Conv3d_1a_7x7", x, (2, 2, 2)), (1, 3, 3), (1, 2, 2))
    x = pool(unit("Conv3d_2c_3x3", unit("Conv3d_2b_1x1", x)), (1, 3, 3), (1, 2, 2))
    for block in ("3b", "3c"):
        x = mixed(f"Mixed_{block}", x)
    x = pool(x, (3, 3, 3), (2, 2, 2))
    for block in ("4b", "4c", "4d", "4e", "4f"):
        x = mixed(f"Mixed_{block}", x)
    x = pool(x, (2, 2, 2), (2, 2, 2))
    for block in ("5b", "5c"):
        x = mixed(f"Mixed_{block}", x)
    x = F.avg_pool3d(x, (2, *x.shape[3:]), stride=1)
    return F.conv3d(x, state["logits.conv3d.weight"], state["logits.conv3d.bias"])[..., 0, 0]


@pytest.mark.parametrize(
    ("name", "frames", "height", "width"),
    [("i3d_flow", 32, 64, 64), ("i3d", 23, 65, 50), ("i3d_flow", 17, 49, 64), ("i3d", 10, 63, 33)],
)
@torch.no_grad()
def test_the_whole_network_at_odd_lengths_and_sizes(name: str, frames: int, height: int, width: int) -> None:
    model = randomise(create_model(name, num_classes=7), seed=5).eval()
    torch.nn.init.normal_(model.get_parameter("logits.conv3d.weight"), std=0.1)
    channels = 3 if name == "i3d" else 2
    x = torch.randn(1, channels, frames, height, width, generator=torch.Generator().manual_seed(frames))
    modality = "rgb" if channels == 3 else "flow"
    logits = model.temporal_logits(model.features(**{modality: x.transpose(1, 2)}))  # type: ignore[operator]
    assert_parity(logits.transpose(1, 2), written_out(model.state_dict(), x))


def test_the_published_size_and_cost() -> None:
    """Two-stream I3D: 25 M in the paper's Table 1; 216 GFLOPs at 64 frames of 224² in Table 2 of SlowFast
    (https://arxiv.org/abs/1812.03982), which counts multiply-adds and gives both branches the cost of RGB. Of
    RGB alone, whose 108 are half of that, every multiplication is counted by hand below."""
    with torch.device("meta"):
        both = profile(create_model("two_stream_i3d", num_classes=400))
        rgb = create_model("i3d", num_classes=400)
        cost = profile(rgb)
    assert round(both.parameters / 1e6) == 25
    assert both.gmacs == pytest.approx(216, rel=0.02)
    assert cost.gmacs == pytest.approx(108, rel=0.03)
    times, side = {"1": (32, 112), "2": (32, 56), "3": (32, 28), "4": (16, 14), "5": (8, 7)}, 1e9
    total = 0.0
    for key, parameter in rgb.named_parameters():
        if key.endswith("conv3d.weight") and not key.startswith("logits"):
            frames, size = times[key.partition("_")[2][0]]
            total += parameter.numel() * frames * size * size / side
    assert cost.gmacs == pytest.approx(total, rel=1e-3)


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 15, 16, 17, 23])
@torch.no_grad()
def test_same_padding_at_odd_lengths(frames: int) -> None:
    """ceil(n / s) positions, and the smaller half of the zeros in front; also for a padded clip."""
    torch.manual_seed(0)
    unit = Unit(2, 3, 7, (2, 2, 2)).eval()
    x = torch.randn(1, 2, frames, 15, 22)
    pads: list[int] = []
    for size in reversed(x.shape[2:]):
        total = max((-(-size // 2) - 1) * 2 + 7 - size, 0)
        pads += [total // 2, total - total // 2]
    expected = torch.relu(unit.bn(unit.conv3d(torch.nn.functional.pad(x, pads))))
    assert expected.shape[2:] == tuple(-(-size // 2) for size in x.shape[2:])
    assert torch.allclose(unit(x, None)[0], expected, atol=1e-6)
    for more in (1, 2, 5):
        padded = torch.cat([x, torch.full((1, 2, more, 15, 22), torch.nan)], dim=2)
        y, mask = unit(padded, torch.arange(frames + more)[None] < frames)
        assert int(mask.sum()) == expected.shape[2]
        assert torch.allclose(y[:, :, : expected.shape[2]], expected, atol=1e-6)


@torch.no_grad()
def test_the_public_googlenet_is_fed_as_it_was_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's network scales its preset's output to −1…1 by itself; I3D must be given that at once."""
    from torchvision.models import GoogLeNet_Weights, googlenet

    image_network = randomise(
        googlenet(weights=None, init_weights=False, transform_input=True), seed=4
    ).eval()
    state = image_network.state_dict()
    monkeypatch.setattr(GoogLeNet_Weights, "get_state_dict", lambda *_, **__: state)
    model = create_model("i3d", num_classes=3, pretrained="GoogLeNet_Weights.IMAGENET1K_V1").eval()
    still = torch.randint(0, 256, (1, 1, 3, 65, 65), dtype=torch.uint8).expand(-1, 9, -1, -1, -1)
    preset = GoogLeNet_Weights.IMAGENET1K_V1.transforms()
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (preset.mean, preset.std))
    theirs = image_network.conv1(image_network._transform_input((still[:, 0] / 255 - mean) / std))
    y, _ = model.get_submodule("Conv3d_1a_7x7")(model.normalise("rgb", still).transpose(1, 2), None)
    assert_parity(y[:, :, 2, 3:-3, 3:-3], theirs[:, :, 3:-3, 3:-3])


@torch.no_grad()
def test_an_image_inception_inflates() -> None:
    """Away from its ends, a still clip gives the first block what the image network gives the image."""
    from torchvision.models import googlenet

    image_network = randomise(googlenet(weights=None, init_weights=False, aux_logits=False), seed=4).eval()
    checkpoint = Checkpoint(state=image_network.state_dict(), facts=Facts(), where="googlenet")
    model = create_model("i3d", num_classes=3).eval()
    report = load_checkpoint(model, checkpoint)
    assert set(report.missing) == {"logits.conv3d.weight", "logits.conv3d.bias"}
    ours = model.get_submodule("Mixed_4b.b1a.conv3d").weight
    assert torch.allclose(ours[:, :, 0], image_network.inception4a.branch2[0].conv.weight)  # type: ignore[index]
    image = torch.randn(1, 3, 33, 33)
    still = image[:, :, None].expand(-1, -1, 9, -1, -1)
    y, _ = model.get_submodule("Conv3d_1a_7x7")(still, None)
    assert_parity(y[:, :, 2, 3:-3, 3:-3], image_network.conv1(image)[:, :, 3:-3, 3:-3])
    flow = create_model("i3d_flow", num_classes=3)
    assert set(load_checkpoint(flow, checkpoint).missing) == {"logits.conv3d.weight", "logits.conv3d.bias"}
    first = flow.get_submodule("Conv3d_1a_7x7.conv3d").weight
    assert torch.allclose(
        first.sum(dim=1), model.get_submodule("Conv3d_1a_7x7.conv3d").weight.sum(dim=1), atol=1e-5
    )  # type: ignore[operator]
