"""Join an RGB and a flow branch that were trained by themselves, and judge them as any run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from marey.config import to_tree, to_yaml
from marey.data.manifest import Manifest
from marey.errors import CheckpointError
from marey.files import write_text
from marey.jobs.outcome import FUSED, Outcome, Trained, fold_folder
from marey.jobs.partition import Part, check_same_split, parts_of, split_text
from marey.jobs.train import resume_config, stored_flow
from marey.runs import RunFolder

if TYPE_CHECKING:
    from marey.models.saved import SavedModel
    from marey.predict.predictor import Predictor
    from marey.training.log import RunLog


@dataclass(frozen=True, kw_only=True)
class FuseConfig:
    """Join an RGB and a flow branch that were trained by themselves (marey train --model two_stream --branch …).

    Both runs must have been made on the same samples with the same split or folds; folds are fused one by one.
    """

    rgb: Annotated[str, tyro.conf.Positional]
    """Folder of the run with --branch rgb."""
    flow_run: Annotated[str, tyro.conf.Positional]
    """Folder of the run with --branch flow."""
    fusion: Literal["average", "weighted", "concat"] = "average"
    """average of the logits, weighted by weights that are fitted, or concat: one linear layer over both branches'
    features. weighted and concat are fitted on the training samples alone."""
    flow: str | None = None
    """Folder of optical flow made by marey flow (default: that of the flow run, if it had one)."""
    audit: bool = True
    """Run the temporal audit at the end."""
    baseline: str | None = None
    """Folder of a frame-averaging run on the same samples, to stand beside the audit."""
    batch: int = 8
    """Clips at once."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto takes a GPU where there is one."""
    out: str = "runs"
    """Folder of all runs."""
    name: str = "fused"
    """Name of the run. A name that exists gets a number."""
    seed: int = 0
    """Of the shuffling and of the bootstrap."""


def fuse_runs(config: FuseConfig, *, quiet: bool = False) -> Trained:
    """Fuse, judge on the held-out samples that both branches share, and report.

    Raises:
        CheckpointError: a run that is not finished, or whose samples were split in another way.
        ConfigError: runs that are no branches, or of different models.
    """
    from marey.models.saved import load_model, save_model
    from marey.models.two_stream import fuse
    from marey.predict.device import choose_autocast, choose_device
    from marey.training.log import RunLog

    base = resume_config(config.flow_run)
    rgb, flow = Path(config.rgb), Path(config.flow_run)
    manifest = Manifest.read(base.data, root=base.root)
    manifest, parts, rule = parts_of(manifest, base)
    check_same_split(flow / "split.csv", manifest, parts)
    _check_same_samples(rgb, flow)
    device = choose_device(config.device)
    autocast = choose_autocast("auto", device)
    pairs = [tuple(load_model(_weights(run, part), device) for run in (rgb, flow)) for part in parts]
    models = [fuse(one.model, other.model, fusion=config.fusion) for one, other in pairs]
    # what `marey eval` reads to find the held-out samples again
    described = replace(
        base, branch="both", flow=config.flow or base.flow, batch=config.batch, audit=config.audit,
        baseline=config.baseline, out=config.out, name=config.name,
    )  # fmt: skip
    source = stored_flow(described, manifest, models[0].spec)
    outcome = Outcome(described, manifest, parts, rule, device=device, autocast=autocast, flow=source)
    made = RunFolder.create(config.out, "fuse", config.name)
    made.describe(to_yaml(described))
    write_text(made.path / FUSED, to_yaml(config))
    write_text(made.path / "split.csv", split_text(manifest, parts))
    with RunLog(made.path, (), to_tree(config), quiet=quiet) as log:
        log.line(f"fusing {rgb} and {flow} by {config.fusion}; run folder: {made.path}")
        for part, model, (one, _) in zip(parts, models, pairs, strict=True):
            folder = fold_folder(made.path, part)
            (folder / "weights").mkdir(parents=True, exist_ok=True)
            title = f"fold {part.fold}/{len(parts)}  " if part.fold else ""
            model.to(device).eval()
            if outcome.begin(model):
                log.line(f"{outcome.model_words}, on {device}")
            words = ""
            if config.fusion != "average":
                predictor = _predictor(model, one, device, autocast, described.batch, source)
                words = _fit(model, predictor, config.fusion, manifest, part, outcome.targets)
                log.line(f"{title}{words}")
            file = folder / "weights" / "best.safetensors"
            save_model(
                file, model, class_names=one.class_names, multi_label=one.multi_label,
                extra={"fused": [str(rgb), str(flow)], "fusion": config.fusion},
            )  # fmt: skip
            outcome.judge(part, file, chosen=f"fused by {config.fusion}", bar=partial(_bar, log, title))
        return outcome.write(made, [])


def _check_same_samples(rgb: Path, flow: Path) -> None:
    """A sample that judges the one branch must not have taught the other."""
    path = rgb / "split.csv"
    if not path.is_file():
        raise CheckpointError("this is not the folder of a training: it has no split.csv.", where=str(rgb))
    here, there = (p.read_text(encoding="utf-8").splitlines() for p in (path, flow / "split.csv"))
    if here != there:
        differing = (n for n, (a, b) in enumerate(zip(here, there, strict=False)) if a != b)
        at = next(differing, min(len(here), len(there)))
        raise CheckpointError(
            "the two runs were not split in the same way, so that what judges one branch may have taught the other.",
            f"rgb:  {here[at] if at < len(here) else '(no such row)'}",
            f"flow: {there[at] if at < len(there) else '(no such row)'}",
            "train both on the same manifest with the same --folds (or --val-fraction) and --seed",
            where=f"{path} line {at + 1}",
        )


def _bar(log: RunLog, title: str, text: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    return log.progress(title + text, total)


def _weights(run: Path, part: Part) -> Path:
    path = fold_folder(run, part) / "weights" / "best.safetensors"
    if not path.is_file():
        raise CheckpointError(
            "this run is not finished: a model is missing.", "go on with --resume", where=str(path)
        )
    return path


def _predictor(
    model: Any, saved: SavedModel, device: str, autocast: str | None, batch: int, source: Any
) -> Predictor:
    from marey.predict.predictor import Predictor
    from marey.predict.runtime import TorchRuntime

    return Predictor(
        TorchRuntime(model, device=device, autocast=autocast), model.spec, saved.class_names,
        multi_label=saved.multi_label, batch=batch, flow=source,
    )  # fmt: skip


def _fit(model: Any, predictor: Predictor, fusion: str, manifest: Manifest, part: Part, targets: Any) -> str:
    """Fit the fusion's weights on the training samples; gives a line about it."""
    import torch

    from marey.predict.branches import side_by_side
    from marey.training.fusion import fit_fusion

    table = side_by_side(predictor, features=fusion == "concat").logits(
        manifest.sample(int(i)) for i in part.train
    )
    x = torch.from_numpy(table.logits)
    if fusion == "weighted":
        x = x.unflatten(1, (3, -1))[:, 1:].transpose(0, 1)  # (branch, sample, class)
    target = torch.from_numpy(targets[table.ids])
    target = target.float() if target.ndim == 2 else target
    layer = model.fusion.cpu()
    before, after = fit_fusion(layer, x, target)
    model.to(predictor.runtime.device)  # type: ignore[attr-defined]
    line = f"fusion fitted on {len(table)} training samples: loss {before:.3f} before, {after:.3f} after"
    if fusion == "weighted":
        rgb, flow = layer.weight.detach().softmax(0).tolist()
        line += f"; weights rgb {rgb:.2f}, flow {flow:.2f}"
    return line
