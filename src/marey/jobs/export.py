"""From a run to one file that gives the same answers everywhere: traced, compared with torch, and only then written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

import marey
from marey.data.clips import load_views
from marey.data.manifest import Manifest, Sample
from marey.errors import CheckpointError, ConfigError, MareyError, require
from marey.files import write_atomically
from marey.predict.about import Description
from marey.predict.artifact import KEY, artifact_of
from marey.predict.load import STEP, SUFFIX, find_weights
from marey.spec import InputSpec
from marey.types import Clip
from marey.work import print_line

if TYPE_CHECKING:
    from marey.models.saved import SavedModel

GENERATED = "generated videos"
_JUDGED = 256  # samples that int8 is judged on, at the most


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Make one file of a trained model that runs without torch, and prove that it gives the same answers."""

    run: Annotated[str, tyro.conf.Positional]
    """Folder of a run, or its weights file."""
    to: Literal["onnx"] = "onnx"
    """The kind of file. ONNX Runtime, OpenVINO and TensorRT all take this one."""
    file: str | None = None
    """Where it goes (default: beside the weights, best.onnx). A file that is there is not written over."""
    data: str | None = None
    """Manifest or folder of the videos it is compared on (default: the run's own held-out ones)."""
    root: str | None = None
    """Folder that relative video paths start from."""
    clips: int = 8
    """Videos that are compared."""
    step: bool = False
    """The step form, x.step.onnx: one frame and the state in, the scores so far and the new state out."""
    features: bool = False
    """Give the features over time too, and the mask of their positions."""
    fp16: bool = False
    """Keep the weights in half precision: half the size, the same speed."""
    int8: bool = False
    """Quantise to 8 bits, calibrated on these videos, and keep that only if it is faster here and loses little."""
    int8_loss: float = 0.01
    """How much of the accuracy int8 may lose."""
    force: bool = False
    """Write it even where it says something else than torch; the certificate says so."""

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ConfigError(f"a comparison needs at least 1 clip; got {self.clips}.")
        if self.int8 and self.fp16:
            raise ConfigError("--int8 and --fp16 are two precisions of one file; give one of them.")
        if self.step and (self.int8 or self.features):
            raise ConfigError("the step form has no --int8 and no --features.")


@dataclass(frozen=True)
class Exported:
    """What an export leaves: the artifact, and what it says of itself."""

    path: Path
    about: Description


def export(config: ExportConfig, *, say: Callable[[str], None] = print_line) -> Exported:
    """Trace, compare, write.

    Args:
        config: what to do.
        say: told what is being done.

    Raises:
        CheckpointError: no model there, one that cannot be traced, or parity that fails without `force`; then
            nothing is written. ConfigError: a file that is there already.
        MissingExtraError: onnx, onnxscript or onnxruntime are not installed.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module, "onnx")
    from marey.export.certificate import compare, probed
    from marey.export.graph import (
        check_exportable,
        describe_model,
        describe_step,
        pack,
        set_metadata,
        trace,
        trace_step,
    )
    from marey.models.saved import load_model
    from marey.predict.runtime import TorchRuntime
    from marey.predict.runtimes.parity import limit_of
    from marey.predict.runtimes.table import make_runtime, present

    weights = find_weights(config.run)
    path = Path(config.file) if config.file else weights.with_suffix((STEP if config.step else "") + SUFFIX)
    _check_place(path)
    saved = load_model(weights)
    check_exportable(saved.model, any_length=not config.step)
    about = (describe_step if config.step else describe_model)(saved.model, _description(saved, config))
    if about.spec.fixed_frames and not saved.spec.fixed_frames:
        say(
            f"{about.model}: its graph takes clips of {about.spec.frames} frames; shorter ones are padded, and longer "
            "ones refused."
        )
    say(f"tracing {about.model}")
    model = (trace_step if config.step else trace)(saved.model, about)
    artifact = artifact_of(model.SerializeToString(), path=str(path))
    samples, source = _samples(config, weights, say)
    clips, source = _clips(config, samples, about.spec, source, say)
    gate = None
    if config.int8:
        from marey.jobs.quantising import quantised

        smaller, gate = quantised(
            artifact, clips, _spread(samples, _JUDGED), threads=_torch_threads(), allowed=config.int8_loss
        )
        say(gate.sentence())
        if gate.taken:
            artifact, model, about = smaller, pack(smaller), smaller.about
    say(f"comparing with torch on {len(clips)} clips of {source}")
    names = [name for name in present("cpu") if name != "onnxruntime"]
    runtimes: dict[str, Any] = {
        name: make_runtime(artifact, name, threads=_torch_threads()) for name in ("onnxruntime", *names)
    }
    certificate = compare(
        TorchRuntime(saved.model), runtimes, artifact, clips, source=source, versions=_versions(names)
    )
    delta = certificate["runtimes"]["onnxruntime"]["delta"]
    if about.precision == "int8" and gate is not None:  # judged by accuracy, each runtime by itself
        probes = {name: probed(runtimes[name], about) for name in gate.kept}
        certificate["int8"] = {**gate.to_dict(), "probes": probes}
        certificate["probes"] = probes[gate.best]
    elif not delta <= limit_of(about) and not config.force:
        raise CheckpointError(
            f"the artifact is not written: its probabilities lie up to {delta:.1e} from torch's, and "
            f"{limit_of(about):g} is "
            f"the limit ({certificate['runtimes']['onnxruntime']['worst']}).",
            "write it all the same with --force",
            where=str(path),
        )
    about = replace(about, certificate=certificate)
    set_metadata(model, KEY, about.to_json())
    write_atomically(path, model.SerializeToString())
    return Exported(path, about)


def _check_place(path: Path) -> None:
    if path.suffix != SUFFIX:
        raise ConfigError(f"an artifact's name ends in {SUFFIX}.", where=str(path))
    if path.exists():
        raise ConfigError(
            "this file is there already; nothing was written.",
            "name another one with --file",
            where=str(path),
        )
    if not path.parent.is_dir():
        raise ConfigError("there is no such folder.", where=str(path.parent))


def _description(saved: SavedModel, config: ExportConfig) -> Description:
    outputs = ("probabilities", "logits") + (("features", "features_mask") if config.features else ())
    return Description(
        model=saved.model.name,
        version=marey.__version__,
        spec=saved.spec,
        class_names=saved.class_names,
        multi_label=saved.multi_label,
        temperature=float(saved.extra.get("temperature", 1.0)),
        outputs=outputs,
        precision="fp16" if config.fp16 else "fp32",
    )


def _torch_threads() -> int:
    import torch

    return torch.get_num_threads()


def _versions(names: Sequence[str]) -> dict[str, str]:
    from importlib import metadata

    packages = ["marey", "torch", "onnx", "onnxscript", "onnxruntime"]
    packages += ["openvino"] if "openvino" in names else []
    return {package: metadata.version(package) for package in packages}


def _samples(config: ExportConfig, weights: Path, say: Callable[[str], None]) -> tuple[list[Sample], str]:
    """What may be compared on, and where it comes from."""
    if config.data is None:
        return _held_out(weights, say)
    manifest = Manifest.read(config.data, root=config.root)
    return [manifest.sample(row) for row in range(len(manifest))], config.data


def _spread(samples: list[Sample], most: int) -> list[Sample]:
    """At most so many of them, from the first to the last: a list may be sorted by class."""
    if not samples:
        return []
    places = np.linspace(0, len(samples) - 1, min(most, len(samples))).round().astype(int)
    return [samples[place] for place in np.unique(places)]


def _clips(
    config: ExportConfig, samples: list[Sample], spec: InputSpec, source: str, say: Callable[[str], None]
) -> tuple[list[Clip], str]:
    """Clips of as many samples as asked for, spread over all of them, and where they come from."""
    clips: list[Clip] = []
    for sample in _spread(samples, config.clips):
        try:
            clips += load_views(sample, spec)
        except MareyError as error:
            say(f"warning: left out of the comparison: {error}")
    if clips:
        return clips, source
    if config.data is not None:
        raise CheckpointError(
            "no video of it can be read, so that there is nothing to compare on.", where=source
        )
    return _generated(config.clips, spec), GENERATED


def _held_out(weights: Path, say: Callable[[str], None]) -> tuple[list[Sample], str]:
    """Samples of the run that its model has not learnt from; none where the run or its data are not here."""
    from marey.jobs.partition import parts_of
    from marey.jobs.train import resume_config

    run = weights.parent.parent
    fold = run.name.removeprefix("fold-") if run.name.startswith("fold-") else "0"
    try:
        trained = resume_config(run if (run / "config.yaml").is_file() else run.parent)
        manifest = Manifest.read(trained.data, root=trained.root)
        manifest, parts, _ = parts_of(manifest, trained)
        part = next((part for part in parts if str(part.fold) == fold), parts[0])
    except MareyError as error:
        say(f"the data of this run are not here ({error.what}); comparing on generated videos.")
        return [], GENERATED
    return [manifest.sample(int(row)) for row in part.judged], f"{Path(trained.data).name}, held out"


def _generated(wanted: int, spec: InputSpec) -> list[Clip]:
    from marey.video.synthetic import MOTIONS, render_motion, write_video

    clips = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(wanted):
            rng = np.random.default_rng(number)
            video = render_motion(MOTIONS[number % len(MOTIONS)], rng, frames=max(spec.frames, 16), fps=12.0)
            path = write_video(Path(folder) / f"{number}.mp4", video.frames, fps=12.0)
            clips += load_views(str(path), spec)
    return clips
