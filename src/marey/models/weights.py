"""Where weights come from, and what they say of themselves.

`pretrained=` takes a local file, the address of one, a torchvision weights name or a hub name; all end as a
`Checkpoint`: a state dict and the facts that its maker left beside it. A network that is fed another normalising or
padding than it was trained with fails without a sound, so the facts are applied, never only printed.
`fit.py` loads the checkpoint into a model. Nothing here unpickles code.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from marey.errors import CheckpointError, UnknownNameError
from marey.models.fit import load_checkpoint
from marey.models.registry import ModelEntry

if TYPE_CHECKING:
    pass

__all__ = ["Checkpoint", "Facts", "keywords_for", "load_checkpoint", "read_checkpoint"]

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar", ".pyth")
WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model", "module")


@dataclass(frozen=True)
class Facts:
    """What a checkpoint says of itself; None where it says nothing.

    Attributes:
        mean, std: per channel on the 0…1 scale.
        pad_type: timm's word for the convolutions' padding: "same" is TensorFlow's.
        num_classes: of the classifier that is in it.
        folded_batch_norm: batch norm is folded into scale and shift and must never see train mode.
        architecture: its maker's name for the network.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    pad_type: str | None = None
    num_classes: int | None = None
    folded_batch_norm: bool = False
    architecture: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A state dict, its facts, and where both come from."""

    state: dict[str, Tensor] = field(repr=False)
    facts: Facts
    where: str


def read_checkpoint(
    source: bool | str | Path, *, entry: ModelEntry, kwargs: Mapping[str, Any], known: Mapping[str, Any]
) -> Checkpoint:
    """Find and read what `pretrained=` asks for.

    Args:
        source: True, a path (a file, or the folder of a run), a torchvision weights name, a hub name, or the
            address of a file.
        entry: the model that it is for; says what True stands for.
        kwargs, known: the model's keywords as given, and all with their defaults; name its backbone.

    Raises:
        CheckpointError: not there, not readable, not safe, or no network to fetch it over.
        UnknownNameError: no torchvision weights of that name.
    """
    backbone = kwargs.get("backbone", known.get("backbone"))
    if source is True:
        if isinstance(backbone, str):
            return _from_hub(_timm_repository(backbone))
        if not entry.weights:
            raise CheckpointError(
                f"no public weights are known for {entry.name}.", "name a local file with pretrained=PATH"
            )
        source = entry.weights
    text = str(source)
    if isinstance(source, str) and text.startswith(("https://", "http://")):
        return _from_address(text)
    path = Path(text).expanduser()
    of_run = path / "weights" / "best.safetensors"
    if path.is_file() or of_run.is_file():
        return _from_file(path if path.is_file() else of_run)
    if isinstance(source, Path) or path.suffix in SUFFIXES or path.is_dir():
        what = (
            "this folder is no run: it has no weights/best.safetensors."
            if path.is_dir()
            else "there is no such file."
        )
        raise CheckpointError(what, "weights are a .safetensors, .pt or .pth file", where=text)
    if re.fullmatch(r"\w+_Weights\.\w+", text):
        return _from_torchvision(text)
    if "/" in text:
        return _from_hub(text.removeprefix("hf-hub:"))
    return _from_hub(_timm_repository(text))


def keywords_for(checkpoint: Checkpoint, kwargs: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The model's keywords with what the checkpoint needs built differently: the padding of its backbone."""
    if checkpoint.facts.pad_type is None or "backbone_kwargs" not in known:
        return kwargs
    given = dict(kwargs.get("backbone_kwargs") or {})
    given.setdefault("pad_type", checkpoint.facts.pad_type)
    return {**kwargs, "backbone_kwargs": given}


# --- local files ------------------------------------------------------------------------------------------


def _from_file(path: Path) -> Checkpoint:
    if path.suffix == ".safetensors":
        state, metadata = _read_safetensors(path)
    else:
        state, metadata = _read_torch(path), {}
    facts = facts_from_metadata(metadata)
    beside = path.with_suffix(".json")
    if beside.is_file():
        try:
            facts = _merge(facts, facts_from_config(json.loads(beside.read_text(encoding="utf-8"))))
        except ValueError as error:
            raise CheckpointError(
                f"the facts beside the weights are damaged: {error}.", where=str(beside)
            ) from error
    return Checkpoint(state=state, facts=facts, where=str(path))


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"this is not a whole safetensors file: {error}.", where=str(path)) from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    import pickle

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            "this file holds more than tensors, and opening the rest could run code; it was not opened.",
            "if you trust its source, save the state dict alone: torch.save(model.state_dict(), 'weights.pt')",
            where=str(path),
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise CheckpointError(f"this is not a whole torch file: {error}.", where=str(path)) from error
    state = _unwrapped(loaded)
    if state is None:
        raise CheckpointError(
            f"there is no state dict in it (found {type(loaded).__name__}).", where=str(path)
        )
    return state


def _unwrapped(loaded: object) -> dict[str, Tensor] | None:
    """The state dict in what a training script wrote: under one of the usual names, without DDP's prefix."""
    while isinstance(loaded, Mapping):
        inner = next((loaded[k] for k in WRAPPERS if isinstance(loaded.get(k), Mapping)), None)
        if inner is None:
            break
        loaded = inner
    if not isinstance(loaded, Mapping):
        return None
    state = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
    if not state:
        return None
    if all(k.startswith("module.") for k in state):
        state = {k.removeprefix("module."): v for k, v in state.items()}
    return state


# --- facts ------------------------------------------------------------------------------------------------


def facts_from_metadata(metadata: Mapping[str, str]) -> Facts:
    """Facts from a safetensors header: our own, a JSON configuration, or plain sentences."""
    if "marey" in metadata:
        try:
            about = json.loads(metadata["marey"])
            return Facts(
                mean=_triple(about["spec"]["mean"]),
                std=_triple(about["spec"]["std"]),
                pad_type=(about["kwargs"].get("backbone_kwargs") or {}).get("pad_type"),
                num_classes=len(about["class_names"]),
                folded_batch_norm=bool(about.get("frozen_batch_norm")),
                architecture=about["name"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"the metadata is damaged: {error!r}.") from error
    sentence = metadata.get("normalisation") or metadata.get("normalization") or ""
    classes = metadata.get("num_classes", "")
    return Facts(
        mean=_triple(metadata.get("mean")) or _in_sentence("mean", sentence),
        std=_triple(metadata.get("std")) or _in_sentence("std", sentence),
        pad_type=metadata.get("pad_type"),
        num_classes=int(classes) if classes.isdigit() else None,
        folded_batch_norm="folded" in (metadata.get("batchnorm") or metadata.get("batch_norm") or ""),
        architecture=metadata.get("architecture"),
    )


def facts_from_config(config: Mapping[str, Any]) -> Facts:
    """Facts from the configuration files that timm and transformers put beside weights."""
    inner = {**config, **(config.get("pretrained_cfg") or {})}
    classes = inner.get("num_classes")
    return Facts(
        mean=_triple(inner.get("mean") or inner.get("image_mean")),
        std=_triple(inner.get("std") or inner.get("image_std")),
        pad_type=(config.get("model_args") or {}).get("pad_type"),
        num_classes=classes if isinstance(classes, int) else None,
        architecture=config.get("architecture"),
    )


def _merge(first: Facts, second: Facts) -> Facts:
    return replace(second, **{k: v for k, v in vars(first).items() if v})


def _triple(value: object) -> tuple[float, ...] | None:
    if isinstance(value, str):
        value = [float(n) for n in re.findall(r"[-+0-9.eE]+", value)]
    return tuple(float(v) for v in value) if isinstance(value, list | tuple) and value else None


def _in_sentence(word: str, sentence: str) -> tuple[float, ...] | None:
    found = re.search(rf"{word}\s*=\s*[(\[]([^)\]]*)[)\]]", sentence)
    return _triple(found.group(1)) if found else None


# --- the network ------------------------------------------------------------------------------------------


def _from_torchvision(name: str) -> Checkpoint:
    from urllib.error import URLError

    from torchvision.models import get_model_weights, get_weight, list_models

    try:
        weights = get_weight(name)
    except (ValueError, KeyError) as error:
        known = [str(w) for model in list_models() for w in get_model_weights(model)]
        raise UnknownNameError("torchvision weights name", name, known) from error
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not file.is_file():
        _say(f"downloading {name} from {weights.url} to {file}")
    try:
        state = weights.get_state_dict(progress=sys.stderr.isatty(), check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise _unreachable(name, weights.url, error) from error
    preset = weights.transforms()
    # torchvision's Inception networks scale what the preset gives back to −1…1 themselves (`transform_input`)
    rescaled = name.startswith(("GoogLeNet_", "Inception_"))
    return Checkpoint(
        state=dict(state),
        facts=Facts(
            mean=(0.5,) * 3 if rescaled else _triple(list(preset.mean)),
            std=(0.5,) * 3 if rescaled else _triple(list(preset.std)),
            num_classes=len(weights.meta["categories"]),
            architecture=f"torchvision {name}",
        ),
        where=name,
    )


def _from_address(address: str) -> Checkpoint:
    """A file at an address, kept where torch keeps its checkpoints; a hash in its name (`-ade133f1.pth`) is checked."""
    from http.client import HTTPException
    from urllib.parse import unquote, urlparse

    name = Path(unquote(urlparse(address).path)).name
    if Path(name).suffix not in SUFFIXES:
        raise CheckpointError(
            "this is not the address of a weights file.",
            f"it must end in {', '.join(SUFFIXES)}",
            where=address,
        )
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not file.is_file():
        _say(f"downloading {address} to {file}")
        file.parent.mkdir(parents=True, exist_ok=True)
        known = re.search(r"-([a-f0-9]{8,})\.", name)
        try:
            torch.hub.download_url_to_file(
                address, str(file), known.group(1) if known else None, progress=sys.stderr.isatty()
            )
        except (OSError, RuntimeError, HTTPException) as error:  # an HTTP error is an OSError
            raise _unreachable(name, address, error) from error
    found = _from_file(file)
    return replace(found, where=address)


def _timm_repository(name: str) -> str:
    """The hub repository of timm's weights for a network name, with or without a tag."""
    import timm

    if not timm.is_model(name):
        raise UnknownNameError(
            "weights name",
            name,
            timm.list_models(pretrained=True),
            "weights are a local file, a torchvision name (R2Plus1D_18_Weights.KINETICS400_V1), "
            "a hub name (org/name) or a timm name",
        )
    config = timm.get_pretrained_cfg(name)
    repository = getattr(config, "hf_hub_id", None)
    if not repository:
        raise CheckpointError(f"timm has no public weights for {name}.", "name a local file instead")
    return str(repository)


def _from_hub(repository: str) -> Checkpoint:
    """`org/name` on the Hugging Face hub: safetensors where there are, else a torch file of plain tensors."""
    configs = (_hub_file(repository, name) for name in ("config.json", "preprocessor_config.json"))
    facts = Facts()
    for config in configs:
        if config is not None:
            facts = _merge(facts, facts_from_config(json.loads(config.read_text(encoding="utf-8"))))
    for name in ("model.safetensors", "pytorch_model.bin"):
        file = _hub_file(repository, name)
        if file is not None:
            state = _read_safetensors(file)[0] if name.endswith(".safetensors") else _read_torch(file)
            return Checkpoint(state=state, facts=facts, where=repository)
    raise CheckpointError(
        "neither model.safetensors nor pytorch_model.bin is in that repository.", where=repository
    )


def _hub_file(repository: str, name: str) -> Path | None:
    """A file of a hub repository, from the local cache or over the network; None where it has none."""
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    try:
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
        if not name.endswith(".json"):
            where = f"https://huggingface.co/{repository} to {constants.HF_HUB_CACHE}"
            _say(f"downloading {name} from {where}")
        return Path(hf_hub_download(repository, name))
    except LocalEntryNotFoundError as error:
        raise _unreachable(repository, "the hub", error) from error
    except EntryNotFoundError:
        return None
    except HFValidationError as error:
        raise CheckpointError(f"this is no name on the hub: {error}.", where=repository) from error
    except (OSError, RuntimeError) as error:  # HTTP errors of every kind are OSError; a lost client is not
        raise _unreachable(repository, "the hub", error) from error


def _unreachable(name: str, place: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"these weights could not be fetched from {place}: {type(error).__name__}: "
        f"{(str(error).splitlines() or [''])[0]}",
        "check the name and the network, or download them elsewhere and give the file: pretrained=PATH",
        where=name,
    )


def _say(sentence: str) -> None:
    print(f"marey: {sentence}", file=sys.stderr, flush=True)
