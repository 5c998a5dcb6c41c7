"""Frame by frame is the whole clip, after every frame, for every model that offers it; and the others say so."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from marey.errors import ConfigError
from marey.models import registry
from marey.models.stepping import STEPPING, initial_state, stepping
from tests.models.small import NAMES, random_inputs, small_model

CASES: list[tuple[str, dict[str, Any]]] = [
    ("cnn_gru", {"pool": "mean", "layers": 2}),
    ("cnn_gru", {"pool": "max"}),
    ("cnn_gru", {"pool": "last"}),
    ("frame_average", {}),
    ("frame_average", {"parts": 2, "size": 64}),
    ("frame_difference", {}),
    ("frame_difference", {"size": (29, 35), "width": 8}),
]


@pytest.mark.parametrize(("name", "keywords"), CASES)
@torch.no_grad()
def test_step_by_step_is_the_whole_clip(name: str, keywords: dict[str, Any]) -> None:
    model = small_model(name, **keywords)
    clip = random_inputs(model, 2, 11)["rgb"]
    state = None
    for t in range(11):
        logits, state = stepping(model).step(clip[:, t], state)
        wanted = model(rgb=clip[:, : t + 1])
        assert torch.allclose(logits, wanted, atol=1e-5, rtol=1e-5), (t, (logits - wanted).abs().max())
    assert state is not None
    assert {k: tuple(x.shape[1:]) for k, x in state.items()} == stepping(model).state_shapes()


@pytest.mark.parametrize("name", STEPPING)
@torch.no_grad()
def test_zeros_start_one_feed_anew_and_leave_the_others(name: str) -> None:
    model = stepping(small_model(name))
    clip = random_inputs(small_model(name), 2, 10)["rgb"]
    state = initial_state(model, clip[:, 0])
    for t in range(7):
        _, state = model.step(clip[:, t], state)
    for x in state.values():
        x[1] = 0.0
    for t in range(7, 10):
        logits, state = model.step(clip[:, t], state)
    whole = small_model(name)
    assert torch.allclose(logits[:1], whole(rgb=clip[:1]), atol=1e-5, rtol=1e-5)
    assert torch.allclose(logits[1:], whole(rgb=clip[1:, 7:]), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_bytes_are_normalised_as_in_the_clip() -> None:
    model = small_model("frame_difference")
    clip = torch.randint(0, 256, (1, 4, 3, 32, 32), dtype=torch.uint8)
    state = None
    for t in range(4):
        logits, state = stepping(model).step(clip[:, t], state)
    assert torch.allclose(logits, model(rgb=clip), atol=1e-5, rtol=1e-5)


def test_the_table_names_all_that_can() -> None:
    can = [name for name in NAMES if hasattr(registry._class_of(registry._maker(name)), "state_shapes")]
    assert sorted(can) == sorted(STEPPING)


def test_the_others_say_so() -> None:
    with pytest.raises(ConfigError, match="tsm looks at a clip as a whole"):
        stepping(small_model("tsm"))
    with pytest.raises(ConfigError, match="bidirectional"):
        stepping(small_model("cnn_gru", bidirectional=True))
