"""Numbers and protocols as people read them; shared by the terminal tables, the figures and the HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NO_PROTOCOL = "no protocol was recorded, so no number is shown"

METRIC_NAMES = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_class_accuracy": "mean class accuracy",
    "macro_f1": "macro-F1",
    "map": "mAP",
    "ece": "calibration error (ECE)",
    "ece_before_calibration": "ECE before calibration",
}
BRANCH_NAMES = {"rgb": "RGB branch alone", "flow": "flow branch alone", "fusion": "both, fused"}
CONDITION_NAMES = {
    "ordered": "in order",
    "shuffled": "shuffled",
    "reversed": "reversed",
    "frozen": "frozen to one frame",
    "baseline": "frame-averaging baseline",
}


def percent(value: float | None, digits: int = 1) -> str:
    """A share as "97.4%"; "–" where there is none."""
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def interval(pair: Sequence[float] | None, digits: int = 1) -> str:
    """An interval of shares as "95.1–98.7"."""
    return "–" if pair is None else f"{100 * pair[0]:.{digits}f}–{100 * pair[1]:.{digits}f}".replace("-", "−")


def points(value: float | None, *, sign: bool = False) -> str:
    """A difference of shares in percentage points: "41.0", "−0.5"."""
    if value is None:
        return "–"
    text = f"{100 * value:+.1f}" if sign else f"{100 * value:.1f}"
    return text.replace("-", "−") if float(text) else "0.0"


def points_interval(pair: Sequence[float] | None) -> str:
    """An interval of differences as "35.0 to 47.0": a dash would be taken for a minus."""
    return "–" if pair is None else f"{points(pair[0])} to {points(pair[1])}"


def shorten(name: str, length: int) -> str:
    """At most `length` characters; the middle goes, because both ends tell names apart."""
    if len(name) <= length:
        return name
    head = (length - 1) // 2
    return f"{name[: length - 1 - head]}…{name[len(name) - head :]}" if head else name[: length - 1] + "…"


def shorten_all(names: Sequence[str], length: int) -> list[str]:
    """Every name at most `length` characters; where two would read alike, all carry their number instead."""
    short = [shorten(name, length) for name in names]
    if len(set(short)) == len(set(names)):
        return short
    digits = len(str(len(names) - 1))
    return [f"{i:>{digits}} · {shorten(name, length - digits - 3)}" for i, name in enumerate(names)]


def count(value: float) -> str:
    """A large count in a short form: "11.2 M", "870 k"."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:g}"


def sampler_text(sampler: Mapping[str, Any] | None) -> str:
    """A sampler's dictionary in words: "uniform, n 16"."""
    if not sampler:
        return ""
    rest = [f"{key} {value}" for key, value in sampler.items() if key != "name" and value is not None]
    return ", ".join([str(sampler.get("name", "sampler")), *rest])


def size_text(size: Any) -> str:
    """Height and width as "112×112"."""
    return (
        "×".join(str(x) for x in size)
        if isinstance(size, Sequence) and not isinstance(size, str)
        else f"{size}"
    )


def protocol_parts(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the numbers were measured on and how, as (name, text); empty where no protocol was recorded."""
    protocol = metrics.get("protocol")
    if not isinstance(protocol, Mapping) or not protocol:
        return []
    known = {
        "split": ("split", str),
        "rule": ("rule", str),
        "views": ("views", str),
        "frames": ("frames", str),
        "size": ("size", lambda v: f"{size_text(v)} pixels"),
        "sampler": ("sampler", lambda v: sampler_text(v) if isinstance(v, Mapping) else str(v)),
        "groups": ("groups", str),
    }
    parts = [("samples", str(metrics["n"]))] if metrics.get("n") is not None else []
    for key in [*known, *(k for k in protocol if k not in known)]:
        value = protocol.get(key)
        if value is None or value == "" or value == {}:
            continue
        name, text = known.get(key, (key.replace("_", " "), str))
        parts.append((name, text(value)))
    return parts


def protocol_line(metrics: Mapping[str, Any]) -> str:
    """The protocol on one line: "69 samples of 18 groups · split val · 1 clip × 1 crop · 16 frames · 112×112"."""
    parts = dict(protocol_parts(metrics))
    if not parts:
        return ""
    samples, groups = parts.pop("samples", ""), parts.pop("groups", "")
    first = f"{samples} samples" if samples else ""
    if groups and groups != samples:
        first = f"{first} of {groups} groups".strip()
    texts = [first]
    for name, text in parts.items():
        if name == "frames":
            text = f"{text} frames"
        elif name not in ("views", "rule", "size"):
            text = f"{name} {text}"
        texts.append(text.removesuffix(" pixels") if name == "size" else text)
    return " · ".join(text for text in texts if text)


def model_line(metrics: Mapping[str, Any]) -> str:
    """The model with its cost: "cnn_gru · 2.9 M parameters · 1.7 GMACs"."""
    model = metrics.get("model")
    if not isinstance(model, Mapping):
        return str(model) if model else "model not recorded"
    parts = [str(model.get("name", "model not recorded"))]
    if model.get("parameters"):
        parts.append(f"{count(model['parameters'])} parameters")
    if model.get("gmacs"):
        parts.append(f"{model['gmacs']:.3g} GMACs a clip")
    return " · ".join(parts)


def headline_metric(metrics: Mapping[str, Any]) -> str:
    """The number a run is judged by first: top-1, or mAP for multi-label."""
    return "map" if metrics.get("task") == "multi-label" and metrics.get("map") is not None else "top1"
