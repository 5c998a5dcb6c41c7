"""One file that rebuilds a model, and files that do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from marey.errors import CheckpointError
from marey.models import load_model, save_model, set_frozen_batch_norm
from tests.models.small import NAMES, K, random_inputs, small_model

CLASSES = [f"class {i}" for i in range(K)]


@pytest.mark.parametrize("name", NAMES)
def test_bit_equal_from_the_file_alone(name: str, tmp_path: Path) -> None:
    model = small_model(name)
    model.spec = type(model.spec).from_dict({**model.spec.to_dict(), "mean": [0.1, 0.2, 0.3]})
    path = tmp_path / "best.safetensors"
    save_model(path, model, class_names=CLASSES, multi_label=True, extra={"temperature": 1.25})
    assert [p.name for p in tmp_path.iterdir()] == ["best.safetensors"]
    back = load_model(path)
    assert back.class_names == tuple(CLASSES)
    assert back.multi_label
    assert back.extra == {"temperature": 1.25}
    assert back.spec == model.spec
    assert not back.model.training
    for key, value in model.state_dict().items():
        assert torch.equal(back.model.state_dict()[key], value), key
    frames = model.spec.frames if model.spec.fixed_frames else 4
    clip = random_inputs(model, 1, frames)
    with torch.no_grad():
        assert torch.equal(back.model(**clip), model(**clip))


def test_frozen_batch_norm_survives(tmp_path: Path) -> None:
    model = small_model("r2plus1d_tiny")
    set_frozen_batch_norm(model)
    save_model(tmp_path / "m.safetensors", model, class_names=CLASSES)
    back = load_model(tmp_path / "m.safetensors").model.train()
    clip = random_inputs(back, 2, 4)
    before = {k: v.clone() for k, v in back.state_dict().items() if "running" in k}
    back(**clip)
    assert before
    assert all(torch.equal(back.state_dict()[k], v) for k, v in before.items())


def test_files_that_are_not_ours(tmp_path: Path) -> None:
    model = small_model("r2plus1d_tiny")
    good = tmp_path / "good.safetensors"
    save_model(good, model, class_names=CLASSES)
    content = good.read_bytes()

    def bad(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    torch.save(model, tmp_path / "pickle.pt")
    save_file(model.state_dict(), tmp_path / "foreign.safetensors")
    for path, words in (
        (tmp_path / "absent.safetensors", "no such file"),
        (tmp_path, "a folder"),
        (bad("cut.safetensors", content[: len(content) // 2]), "not a whole safetensors"),
        (bad("empty.safetensors", b""), "not a whole safetensors"),
        (tmp_path / "pickle.pt", "nothing else is opened"),
        (tmp_path / "foreign.safetensors", "not saved by marey"),
    ):
        with pytest.raises(CheckpointError, match=words) as caught:
            load_model(path)
        assert str(path) in str(caught.value)


def rewritten(path: Path, to: Path, **changes: object) -> Path:
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["marey"])
        state = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    drop = changes.pop("drop", None)
    state = {k: v for k, v in state.items() if k != drop}
    save_file(state, to, metadata={"marey": json.dumps({**about, **changes})})
    return to


def test_files_that_contradict_themselves(tmp_path: Path) -> None:
    good = tmp_path / "good.safetensors"
    save_model(good, small_model("r2plus1d_tiny"), class_names=CLASSES)
    other = tmp_path / "other.safetensors"
    for changes, words in (
        ({"drop": "fc.weight"}, "1 missing"),
        ({"kwargs": {"num_classes": 7}}, "do not fit"),
        ({"name": "r2plus1d_tinny"}, "cannot be built again"),
        ({"kwargs": {"num_classes": K, "gone": 1}}, "cannot be built again"),
        ({"class_names": ["a"]}, "do not fit"),
        ({"spec": {"future": 1}}, "cannot be built again"),
    ):
        with pytest.raises(CheckpointError, match=words):
            load_model(rewritten(good, other, **changes))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "best.safetensors"
    model = small_model("r2plus1d_tiny")
    save_model(path, model, class_names=CLASSES)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("marey.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_model(path, model, class_names=CLASSES, extra={"new": True})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    model = small_model("r2plus1d_tiny")
    with pytest.raises(CheckpointError, match="2 class names for a model of 5"):
        save_model(tmp_path / "m.safetensors", model, class_names=["a", "b"])
    with pytest.raises(CheckpointError, match="JSON"):
        save_model(tmp_path / "m.safetensors", model, class_names=CLASSES, extra={"x": float("nan")})
    assert not list(tmp_path.iterdir())
