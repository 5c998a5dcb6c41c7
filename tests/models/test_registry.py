"""Names, keywords and the listing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from marey.errors import ConfigError, UnknownNameError
from marey.models import create_model, list_models, profile, register_model, registry
from marey.models.r2plus1d import FactorisedNet
from marey.models.registry import find_model, model_keywords
from tests.models.small import NAMES, small_model


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys; from marey.models import list_models; assert len(list_models()) >= 8; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_listing_says_what_each_is_for() -> None:
    entries = list_models()
    assert len({e.name for e in entries}) == len(entries)
    for entry in entries:
        assert entry.about
        assert entry.input
        assert entry.paper.startswith("https://"), entry.name


@pytest.mark.parametrize("name", NAMES)
def test_the_listed_input_is_the_models_own(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name, num_classes=400)
    spec = model.spec
    frames = str(spec.frames)
    if spec.sampler["name"] == "snippets":  # runs of neighbouring frames: how many, and how long
        runs = spec.sampler["n"]
        frames = f"{runs} × {spec.frames // runs}"
    assert find_model(name).input == f"{'+'.join(spec.modalities)} {frames} × {spec.size[0]}²"


@pytest.mark.parametrize("name", NAMES)
def test_rebuilt_from_name_and_keywords(name: str) -> None:
    model = small_model(name)
    again = create_model(model.name, **model.kwargs)
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }
    assert again.spec == model.spec
    assert list(model.head_parameters())
    assert list(model.backbone_parameters())
    names = {id(p) for p in model.parameters()}
    split = [id(p) for p in (*model.head_parameters(), *model.backbone_parameters())]
    assert sorted(split) == sorted(names)
    cost = profile(model)
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    assert cost.gmacs > 0


def test_wrong_names_get_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'r2plus1d_18'"):
        create_model("r2plus1_18", num_classes=2)
    with pytest.raises(ConfigError, match=r"no setting 'hiden'\. Did you mean 'hidden'"):
        create_model("cnn_gru", num_classes=2, hiden=3)
    with pytest.raises(UnknownNameError, match=r"timm backbone\. Did you mean 'mobilenetv2_100'"):
        create_model("cnn_gru", num_classes=2, backbone="mobilenet_v2_100")
    with pytest.raises(ConfigError, match="does not take"):
        create_model("cnn_gru", num_classes=2, backbone="resnet18", backbone_kwargs={"paddding": 1})


def test_a_users_own_model_joins() -> None:
    @register_model(about="mine", input="rgb 4 × 16²")
    def my_own(**keywords: object) -> FactorisedNet:
        return FactorisedNet(**{"frames": 4, "size": 16, **keywords})  # type: ignore[arg-type]

    try:
        assert "my_own" in [e.name for e in list_models()]
        assert create_model("my_own", num_classes=2, widths=(4,)).kwargs == {"num_classes": 2, "widths": [4]}
        assert "widths" in model_keywords("my_own")
    finally:
        del registry._made["my_own"]
