"""Every recipe is a configuration that can be trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from marey.config import read_yaml
from marey.models.base import example_inputs
from marey.training.build import build_model
from marey.training.config import TrainConfig
from marey.video.synthetic import MOTIONS

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 6


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
@torch.no_grad()
def test_a_recipe_makes_its_model_and_says_how_it_is_run(path: Path) -> None:
    config = read_yaml(TrainConfig, path)
    model = build_model(config, len(MOTIONS)).eval()
    assert model(**example_inputs(model.spec)).shape == (1, len(MOTIONS))
    assert model.spec.sampler == {"name": "uniform", "n": config.input.frames}
    assert f"--config recipes/{path.name} --data" in path.read_text()
