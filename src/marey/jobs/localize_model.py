"""From a weights file to what makes timelines: which kind it is, and with what windows, thresholds or network."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marey.data.features import FeatureFolder
from marey.errors import CheckpointError, ConfigError, UsageError
from marey.files import file_hash
from marey.jobs.localize_config import LocalizeConfig
from marey.localize.decode import DecodeConfig
from marey.localize.smoothing import HysteresisConfig
from marey.localize.thresholds import FILE, Thresholds

if TYPE_CHECKING:
    from marey.predict.localizer import LocalizerPredictor
    from marey.predict.paired import PairedExtractor
    from marey.predict.sliding import Slider
    from marey.predict.timeline import LocalizerTimelines, SlidingTimelines

_SLIDING = ("window", "stride", "on", "off", "smooth", "shortest", "gap", "fit")
_LOCALIZER = ("backbone", "features", "fuse_with")
_FALLBACK = 2.0  # seconds of a window where nothing says better


def load_maker(
    config: LocalizeConfig, weights: Path
) -> tuple[LocalizerTimelines | SlidingTimelines, float, dict[str, Any], list[str]]:
    """What answers where, the score from which on segments are told, what the model is, and what is to be said.

    Raises:
        CheckpointError: weights, network or thresholds that are missing or do not fit. UsageError: flags of the other
            kind of model.
    """
    from marey.localize.saved import is_localizer

    if not weights.is_file():
        raise CheckpointError("there is no such weights file.", where=str(weights))
    if is_localizer(weights):
        _refuse(config, _SLIDING, "a localizer", "a classifier that slides in windows")
        return _localizer(config, weights)
    _refuse(config, _LOCALIZER, "a classifier, which sees the video itself", "a localizer")
    slider, about, said = load_slider(config, weights)
    fitted = fitted_thresholds(weights)
    if fitted is not None:
        about["fitted_on"] = fitted.fitted.get("names", [])
    return (*_sliding(config, weights, slider), about, said)


def _localizer(
    config: LocalizeConfig, weights: Path
) -> tuple[LocalizerTimelines, float, dict[str, Any], list[str]]:
    from marey.localize.saved import load_localizer
    from marey.predict.backbone import features_differ, grid_of, load_extractor
    from marey.predict.device import choose_autocast, choose_device
    from marey.predict.localizer import LocalizerPredictor
    from marey.predict.timeline import LocalizerTimelines

    if config.features is not None and config.fuse_with is not None:
        raise UsageError(
            "--features are those of one network, and --fuse-with needs those of two.",
            "leave --features out: both are computed from the video",
        )
    device = choose_device(config.device)
    saved = load_localizer(weights, device)
    predictor = LocalizerPredictor(
        saved.model, saved.class_names, DecodeConfig(**(saved.extra.get("decode") or {})), device
    )
    said = []
    source: Any
    if config.features is None:
        source = load_extractor(
            saved, weights, backbone=config.backbone, device=device,
            autocast=choose_autocast("auto", device), batch=config.batch,
        )  # fmt: skip
    else:
        if config.backbone is not None:
            raise UsageError(
                "--features are computed already; --backbone computes them.", "give one of the two"
            )
        source = FeatureFolder.open(config.features)
        grid_of(saved, weights)
        differs = features_differ(source.settings, saved)
        if differs:
            raise ConfigError(
                f"these features are not of the kind that the localizer learnt from: {differs}.",
                "one localizer takes the features of one network on one grid",
                where=config.features,
            )
    if config.fuse_with is not None:
        predictor, source = _fused(config, predictor, source, device)
    sure = saved.extra.get("sure")
    if config.least is not None:
        least = config.least
    elif saved.kind == "ms-tcn":
        least = 0.0
    elif sure and config.fuse_with is not None:
        least = float(sure["score"])
        said.append(
            f"segments are told from a score of {least:.2f} on: the best on {sure['split']} of the first run alone, "
            f"{config.weights}; for both together none was fitted. segments.json has all. --least sets another"
        )
    elif sure:
        least = float(sure["score"])
        said.append(
            f"segments are told from a score of {least:.2f} on: the best on {sure['split']} "
            f"(F1 {100 * sure['f1']:.1f}% at tIoU 0.5 there); segments.json has all. --least sets another"
        )
    else:
        least = 0.3
        said.append(
            "segments are told from a score of 0.30 on, which was fitted on nothing; --least sets another"
        )
    about = {
        "name": saved.kind,
        "parameters": sum(p.numel() for p in predictor.model.parameters()),
        "features": saved.features.get("model"),
    }
    return LocalizerTimelines(predictor, source, saved.kind, config.threads), least, about, said


def _fused(
    config: LocalizeConfig, predictor: LocalizerPredictor, source: Any, device: str
) -> tuple[LocalizerPredictor, PairedExtractor]:
    """The localizer and its network joined by those of another run."""
    from marey.localize.fused import FusedLocalizer
    from marey.localize.ms_tcn import MSTCN
    from marey.localize.saved import load_localizer
    from marey.predict.backbone import load_extractor
    from marey.predict.device import choose_autocast
    from marey.predict.load import find_weights
    from marey.predict.paired import PairedExtractor

    assert config.fuse_with is not None
    weights = find_weights(config.fuse_with)
    other = load_localizer(weights, device)
    if other.class_names != predictor.class_names:
        raise UsageError(
            "two localizers are fused class by class, and these have different classes.",
            f"{', '.join(predictor.class_names)}; and {', '.join(other.class_names)}",
            where=config.fuse_with,
        )
    one, two = predictor.model, other.model
    if isinstance(one, MSTCN | FusedLocalizer) or isinstance(two, MSTCN):
        raise UsageError(
            "a dense labeller has no points to fuse; --fuse-with is for localizers.", where=config.fuse_with
        )
    second = load_extractor(
        other, weights, device=device, autocast=choose_autocast("auto", device), batch=config.batch
    )
    return replace(predictor, model=FusedLocalizer(one, two).eval()), PairedExtractor(source, second)


def load_slider(config: LocalizeConfig, weights: Path) -> tuple[Slider, dict[str, Any], list[str]]:
    """A classifier with its windows: asked for, those that thresholds were fitted on, or its own."""
    from marey.models.saved import load_model
    from marey.predict.device import choose_autocast, choose_device
    from marey.predict.load import predictor_of
    from marey.predict.sliding import Slider

    device = choose_device(config.device)
    saved = load_model(weights, device)
    predictor = replace(
        predictor_of(saved, device=device, autocast=choose_autocast("auto", device)), batch=config.batch
    )
    said = []
    fitted = None if config.fit else fitted_thresholds(weights)
    window, stride = config.window, config.stride
    if fitted is not None and window is None and stride is None:
        window, stride = fitted.window, fitted.stride
    if window is None:
        window, why = _own_window(saved.spec.sampler, saved.extra.get("clip_seconds"))
        said.append(f"windows of {window:.3g} s: {why}. --window and --stride set others")
    if stride is None:
        stride = window / 4
    slider = Slider(predictor, window, stride, config.background)
    if config.background not in saved.class_names and not saved.multi_label:
        said.append(
            f"this classifier has no class {config.background!r}: it names one of its classes at every moment, also "
            "where none of them happens"
        )
    about = {"name": saved.model.name, "parameters": sum(p.numel() for p in saved.model.parameters())}
    return slider, about, said


def _sliding(config: LocalizeConfig, weights: Path, slider: Slider) -> tuple[SlidingTimelines, float]:
    from marey.predict.timeline import SlidingTimelines

    rules, words = rules_of(config, weights, slider)
    return SlidingTimelines(slider, rules, words, config.threads), config.least or 0.0


def rules_of(
    config: LocalizeConfig, weights: Path, slider: Slider
) -> tuple[dict[str, HysteresisConfig], str]:
    """Thresholds of every class, and where they come from: flags go before what was fitted, that before defaults."""
    fitted = fitted_thresholds(weights)
    words = "thresholds not fitted (marey localize WEIGHTS --fit SEGMENTS fits them)"
    rules = default_rules(slider)
    if fitted is not None and (fitted.window, fitted.stride) == (slider.window, slider.stride):
        rules |= {name: rule for name, rule in fitted.rules.items() if name in rules}
        words = str(fitted)
    elif fitted is not None:
        words = (
            f"thresholds not fitted for these windows (those beside the weights are for {fitted.window:.3g} s every "
            f"{fitted.stride:.3g} s)"
        )
    flags = {
        name: getattr(config, name)
        for name in ("on", "off", "smooth", "shortest", "gap")
        if getattr(config, name) is not None
    }
    if flags:
        rules = {name: _changed(rule, flags) for name, rule in rules.items()}
        words += f", but {', '.join(f'{name} {value:g}' for name, value in flags.items())}"
    elif fitted is None or words.startswith("thresholds not"):
        one = next(iter(rules.values()))
        words += f": on {one.on:g}, off {one.off:g}, smooth {one.smooth:.3g} s, shortest {one.shortest:.3g} s"
    return rules, words


def default_rules(slider: Slider) -> dict[str, HysteresisConfig]:
    """On at 0.5, off below 0.3, smoothed over half a stride, nothing shorter than half a window."""
    rule = HysteresisConfig(smooth=slider.stride / 2, shortest=slider.window / 2)
    return dict.fromkeys(slider.class_names, rule)


def thresholds_path(weights: Path) -> Path:
    """Where the thresholds of a classifier are kept."""
    return weights.parent / FILE


def fitted_thresholds(weights: Path) -> Thresholds | None:
    """Those that lie beside the weights, where they do."""
    path = thresholds_path(weights)
    return Thresholds.read(path, weights=file_hash(weights)) if path.is_file() else None


def _changed(rule: HysteresisConfig, flags: dict[str, float]) -> HysteresisConfig:
    tree = {**asdict(rule), **flags}
    if "off" not in flags:  # what was fitted for another threshold must not lie above this one
        tree["off"] = min(tree["off"], tree["on"])
    if "on" not in flags:
        tree["on"] = max(tree["off"], tree["on"])
    return HysteresisConfig(**tree)


def _own_window(sampler: dict[str, Any], clip_seconds: float | None) -> tuple[float, str]:
    """Seconds of a window by a classifier's own account, and what that account is."""
    name = sampler.get("name")
    own = None
    if name == "dense":
        own = float(sampler["n"]) * float(sampler["stride_s"])
    elif name == "windows":
        own = float(sampler["length_s"])
    elif name == "rate" and sampler.get("max"):
        own = float(sampler["max"]) / float(sampler["fps"])
    if own is not None and (clip_seconds is None or own <= clip_seconds):
        return own, "what its sampler looks at"
    if clip_seconds is not None:
        return float(clip_seconds), "the median length of what it was trained on"
    return _FALLBACK, "its file does not say how long the clips were that it was trained on"


def _refuse(config: LocalizeConfig, names: tuple[str, ...], this: str, other: str) -> None:
    given = [name for name in names if getattr(config, name) is not None]
    if given:
        raise UsageError(f"--{given[0]} is for {other}; these weights are {this}.", where=config.weights)
