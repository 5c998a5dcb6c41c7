"""What an artifact says of itself: read from its metadata, every value looked at before it is believed."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from marey.errors import CheckpointError, MareyError
from marey.spec import InputSpec

_FRAMES, _PIXELS, _NUMBERS = 4096, 8192, 1 << 16
# Inputs and outputs of a step are named after the parts of the state: as they were, and after the frame.
STATE, AFTER = "state.", "after."
_CLIP = 1 << 31  # bytes of one clip of uint8 frames


@dataclass(frozen=True)
class Description:
    """What stands in the metadata.

    Attributes:
        model: the name of the model.
        version: of marey, that exported it.
        spec: how a video becomes its input.
        class_names: K names in the order of the outputs.
        multi_label: independent classes.
        temperature: divides the logits before the probabilities; the graph's probabilities have it in them.
        threshold: the probability from which a class of a multi-label model is said to be there.
        outputs: what the graph gives, in order: probabilities, logits, and features with their mask where asked.
        precision: of the weights: "fp32", "fp16", "int8".
        certificate: the comparison with torch: see `marey.export.certificate`.
        form: "clip", or "step": one frame and the state in, the scores so far and the state after it out.
        state: of a step, the shape of each part of the state without the batch; all float32, and zeros begin.
        fps: of a step, the frames a second that the model was trained at, where its sampler has such a rate.
    """

    model: str
    version: str
    spec: InputSpec
    class_names: tuple[str, ...]
    multi_label: bool = False
    temperature: float = 1.0
    threshold: float = 0.5
    outputs: tuple[str, ...] = ("probabilities", "logits")
    precision: str = "fp32"
    certificate: dict[str, Any] = field(default_factory=dict)
    form: str = "clip"
    state: dict[str, tuple[int, ...]] = field(default_factory=dict)
    fps: float | None = None

    def to_json(self) -> str:
        """The inverse of `describe`."""
        return json.dumps({**asdict(self), "spec": self.spec.to_dict()}, ensure_ascii=False, allow_nan=False)


def describe(text: str, path: str) -> Description:
    """Read the metadata.

    Raises:
        CheckpointError: no JSON, a key that is missing or unknown, a value of another type, or one beyond reason.
    """
    try:
        plain = json.loads(text)
        spec = plain.pop("spec")
        _check_spec(spec)
        found = Description(spec=InputSpec.from_dict(spec), **_typed(plain))
        _check(found)
    except MareyError as error:
        raise CheckpointError(f"its metadata cannot be: {error}", where=path) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"its metadata is damaged: {type(error).__name__}: {error}.", where=path
        ) from error
    return found


_TYPES: dict[str, type | tuple[type, ...]] = {
    "model": str, "version": str, "class_names": list, "multi_label": bool, "temperature": (int, float),
    "threshold": (int, float), "outputs": list, "precision": str, "certificate": dict,
    "form": str, "state": dict, "fps": (int, float, type(None)),
}  # fmt: skip
_SPEC_TYPES: dict[str, type | tuple[type, ...]] = {
    "modalities": list, "sampler": dict, "frames": int, "size": list, "resize": int, "mean": list, "std": list,
    "min_frames": int, "frames_multiple": int, "fixed_frames": bool, "flow_method": str,
}  # fmt: skip


def _typed(plain: dict[str, Any]) -> dict[str, Any]:
    for key, value in plain.items():
        if key not in _TYPES:
            raise ValueError(f"unknown key {key!r}")
        if not isinstance(value, _TYPES[key]) or (isinstance(value, bool) and _TYPES[key] is not bool):
            raise TypeError(f"{key} is a {type(value).__name__}")
    plain["state"] = {name: _shape(shape) for name, shape in plain.get("state", {}).items()}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, list) or len(shape) > 5:
        raise TypeError("a part of the state has no shape")
    found = tuple(_whole_number(side, 1, _CLIP, "a side of the state") for side in shape)
    if math.prod(found) > _CLIP // 4:
        raise ValueError(f"a state of shape {found} is beyond reason")
    return found


def _check_spec(spec: dict[str, Any]) -> None:
    for key, value in spec.items():
        wanted = _SPEC_TYPES.get(key)
        if wanted and (not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool)):
            raise TypeError(f"{key} of the input is a {type(value).__name__}")
    height, width = (_whole_number(side, 1, _PIXELS, "size") for side in spec["size"])
    frames = _whole_number(spec["frames"], 1, _FRAMES, "frames")
    for key, most in (("resize", _PIXELS), ("min_frames", _FRAMES), ("frames_multiple", _FRAMES)):
        _whole_number(spec[key], 1, most, key)
    if frames * height * width * 3 > _CLIP:
        raise ValueError(f"a clip of {frames} frames of {width}×{height} is beyond reason")
    for key in ("mean", "std"):
        if not 1 <= len(spec[key]) <= 3 or not all(isinstance(x, int | float) for x in spec[key]):
            raise ValueError(f"{key} must be up to 3 numbers")
    _check_numbers(spec["sampler"])


def _check_numbers(sampler: dict[str, Any], depth: int = 0) -> None:
    """A sampler's numbers are frames, frames a second, seconds or shares: none is large."""
    for key, value in sampler.items():
        if isinstance(value, dict) and depth < 2:
            _check_numbers(value, depth + 1)
        elif isinstance(value, int | float):
            if not -_NUMBERS <= value <= _NUMBERS:
                raise ValueError(f"{key}={value} of the sampler is beyond reason")
        elif value is not None and not isinstance(value, str):
            raise TypeError(f"{key} of the sampler is a {type(value).__name__}")


def _whole_number(value: Any, least: int, most: int, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{key} is {value!r}, not a whole number from {least} to {most}")
    return value


def _check(about: Description) -> None:
    names = about.class_names
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise ValueError("class_names must be different names, at least one")
    if not 0 < about.temperature < 1e6:
        raise ValueError(f"a temperature of {about.temperature} cannot be")
    if not 0 <= about.threshold <= 1:
        raise ValueError(f"a threshold of {about.threshold} cannot be")
    if about.fps is not None and not 0 < about.fps < 1e6:
        raise ValueError(f"{about.fps} frames a second cannot be")
    if about.form not in ("clip", "step"):
        raise ValueError(f"the form {about.form!r} is neither clip nor step")
    if about.form == "step":
        after = tuple(f"{AFTER}{name}" for name in about.state)
        if about.outputs != ("probabilities", "logits", *after) or "frames" not in about.state:
            raise ValueError(
                f"the outputs {about.outputs} are not those of a step with the state {about.state}"
            )
        if about.spec.modalities != ("rgb",):
            raise ValueError(f"a step takes frames, not {' and '.join(about.spec.modalities)}")
    elif about.state:
        raise ValueError("a clip has no state")
    _check_certificate(about.certificate, len(names))
    if about.outputs[:2] != ("probabilities", "logits"):
        raise ValueError(f"the outputs {about.outputs} are not probabilities and logits")


def _check_certificate(certificate: dict[str, Any], classes: int) -> None:
    """What `auto` reads of it."""
    runtimes = certificate.get("runtimes", {})
    tables = [certificate.get("probes", [])]
    if "int8" in certificate:
        gate = certificate["int8"]
        tables += [gate["probes"][name] for name in (gate["runtime"], *gate["probes"])]
        float(runtimes[gate["runtime"]]["delta"])
    for name, found in runtimes.items():
        if not 0 <= float(found["delta"]) <= 1:
            raise ValueError(f"a difference of {found['delta']} cannot be ({name})")
    for rows in tables:
        if not all(len(row) == classes and all(0 <= float(p) <= 1 for p in row) for row in rows):
            raise ValueError("the probes of the certificate are not probabilities of its classes")
