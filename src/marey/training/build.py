"""From a configuration to a model with its specification."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from marey.errors import ConfigError
from marey.spec import InputSpec
from marey.training.config import InputConfig, TrainConfig
from marey.video.flow.methods import flow_method
from marey.video.sampling import parse_sampler, sampler_from_dict

if TYPE_CHECKING:
    from marey.models.base import VideoModel


def build_model(config: TrainConfig, num_classes: int) -> VideoModel:
    """The model that a configuration asks for, with its `InputSpec` set.

    Raises:
        UnknownNameError, ConfigError: a model or a keyword that is not there.
        CheckpointError: weights that are missing or do not fit.
    """
    from marey.models.registry import create_model, model_keywords

    known = model_keywords(config.model)
    kwargs: dict[str, Any] = {}
    if config.backbone is not None:
        kwargs["backbone"] = config.backbone
    if config.branch is not None:
        if "branch" not in known:
            raise ConfigError(
                f"{config.model} has no branches to train by themselves.",
                "drop --branch, or take --model two_stream",
            )
        kwargs["branch"] = config.branch
    for key in ("frames", "size"):
        value = _frames(config.input) if key == "frames" else config.input.size
        if value is not None and key in known:
            kwargs[key] = value
    kwargs |= literal_arguments(config.model_args)
    pretrained: str | bool | None = True if config.weights == "default" else config.weights
    model = create_model(config.model, num_classes=num_classes, pretrained=pretrained, **kwargs)
    model.spec = chosen_spec(model.spec, config.input)
    if config.flow is not None and "flow" not in model.spec.modalities:
        raise ConfigError(
            f"{config.model} takes {' and '.join(model.spec.modalities)}, not optical flow.", "drop --flow"
        )
    return model


def literal_arguments(items: tuple[str, ...]) -> dict[str, Any]:
    """`key=value` words as keywords; values as JSON reads them, else text."""
    pairs = (item.partition("=") for item in items)
    return {key.strip().replace("-", "_"): _literal(text.strip()) for key, _, text in pairs}


def chosen_spec(spec: InputSpec, chosen: InputConfig) -> InputSpec:
    """The model's own specification with what the user chose in place of it.

    Raises:
        ConfigError: a sampler that the network cannot take.
    """
    changes: dict[str, Any] = {}
    if chosen.sampler is not None or chosen.frames is not None:
        sampler = parse_sampler(chosen.sampler or f"uniform:{chosen.frames}")
        changes["sampler"] = sampler.to_dict()
        changes["frames"] = sampler.length or spec.frames
    if chosen.size is not None:
        changes["size"] = (chosen.size, chosen.size)
        changes["resize"] = max(chosen.size, round(chosen.size * 8 / 7))
    if chosen.resize is not None:
        changes["resize"] = chosen.resize
    if chosen.flow_method is not None:
        if "flow" not in spec.modalities:
            raise ConfigError(
                f"this model takes {' and '.join(spec.modalities)}, not optical flow.", "drop --flow-method"
            )
        flow_method(chosen.flow_method)
        changes["flow_method"] = chosen.flow_method
    new = dataclasses.replace(spec, **changes)
    length = sampler_from_dict(new.sampler).length
    if new.fixed_frames and (length is None or length > spec.frames):
        raise ConfigError(
            f"this model takes {spec.frames} frames, and the sampler may give {length or 'any number'}.",
            f"choose --frames {spec.frames}, or a sampler of at most as many.",
        )
    return new


def _frames(chosen: InputConfig) -> int | None:
    if chosen.sampler is not None:
        return parse_sampler(chosen.sampler).length
    return chosen.frames


def _literal(text: str) -> Any:
    """A keyword's value as JSON reads it (numbers, true, false, null, lists), else as the text it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
