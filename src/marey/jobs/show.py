"""Film strips of what a model will be fed: the clips of test time and of training, through the path of training."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from marey.data.augment import AugmentConfig
from marey.data.manifest import Manifest
from marey.errors import CheckpointError, ConfigError
from marey.files import write_atomically, write_text
from marey.spec import InputSpec
from marey.training.config import InputConfig, TrainConfig

if TYPE_CHECKING:
    from marey.data.dataset import ClipDataset, Item
    from marey.report.fed import Shown, View


@dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """Show what a model will be fed: film strips with times, padding, augmentation and flow, on one page.

    The clips come through the path of training itself: what is shown for epoch 0 and a seed is what
    `marey train` with that seed learns from in its first epoch.
    """

    data: Annotated[str, tyro.conf.Positional]
    """Manifest or folder of class folders."""
    to: Annotated[str, tyro.conf.Positional]
    """The page (.html) or picture (.png) to write; a file that is there is not written over."""
    root: str | None = None
    """Folder that relative video paths start from."""
    run: str | None = None
    """Folder of a training whose model, input, augmentation and seed are taken, in place of what follows."""
    model: str = "cnn_gru"
    """Model whose input is shown: a name from `marey models`."""
    model_args: tuple[str, ...] = ()
    """Further keywords of the model, each as key=value."""
    input: InputConfig = field(default_factory=InputConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    split: str | None = None
    """Samples of this split alone: train, val or test."""
    samples: int = 2
    """Samples of each class, chosen by the seed."""
    sample: tuple[int, ...] = ()
    """Rows of the manifest to show in place of a choice, counted from 0."""
    most: int = 40
    """Samples on the page at most."""
    epochs: int = 2
    """Epochs of training whose clips are shown, under that of test time."""
    flow: bool = False
    """Show the flow between frames too, of a model that does not see it."""
    seed: int = 0
    """Of the choice, and of all that training draws."""

    def __post_init__(self) -> None:
        if self.samples < 1 or self.most < 1 or self.epochs < 0 or self.seed < 0:
            raise ConfigError(
                "samples and most must be at least 1, epochs and seed at least 0;"
                f" got {self.samples}, {self.most}, {self.epochs}, {self.seed}."
            )
        if Path(self.to).suffix.lower() not in (".html", ".png"):
            raise ConfigError(f"the page is an .html or a .png file; got {self.to!r}.")
        if self.run is not None:
            for name in ("model", "model_args", "input", "augment"):
                if getattr(self, name) != _DEFAULTS[name]():
                    raise ConfigError(f"--run brings its own {name}; give one of the two.")


_DEFAULTS: dict[str, Any] = {
    "model": lambda: "cnn_gru",
    "model_args": tuple,
    "input": InputConfig,
    "augment": AugmentConfig,
}


@dataclass(frozen=True)
class Page:
    """What was written: where, how many samples are on it, and those that cannot be read, with their errors."""

    path: Path
    samples: int
    failures: tuple[tuple[str, str], ...]


def show(config: ShowConfig) -> Page:
    """Write the page.

    Raises:
        ConfigError: a file that is there already, a model or a setting that cannot be, a row that is not there.
        ManifestError: a manifest that cannot be read.
    """
    from marey.report.fed import fed_page, fed_picture

    path = Path(config.to)
    if path.exists():
        raise ConfigError(
            "this file is there already; nothing was written.", "name another one", where=str(path)
        )
    training = _training(config)
    manifest = Manifest.read(config.data, root=config.root)
    spec = _spec(training, manifest)
    rows, left = _rows(config, manifest, training.seed)
    title = f"{Path(config.data).stem or config.data}, as {training.model} sees it"
    settings = _settings(training, spec)
    notes = []
    if left:
        notes.append(f"{left} further samples were chosen and are not shown: raise --most.")
    if training.augment.mixup or training.augment.cutmix:
        notes.append(
            "In training, clips of a batch are mixed besides (mixup, cutmix); here they stand alone."
        )
    shown = list(_shown(config, training, manifest, spec, rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".html":
        write_text(path, fed_page(title, settings, shown, notes))
    else:
        png = io.BytesIO()
        fed_picture(title, settings, shown, notes).save(png, format="PNG", optimize=True)
        write_atomically(path, png.getvalue())
    failures = tuple((sample.title, sample.error) for sample in shown if sample.error is not None)
    return Page(path, len(shown), failures)


def _training(config: ShowConfig) -> TrainConfig:
    """The training whose input is shown."""
    if config.run is not None:
        from marey.jobs.train import resume_config

        if not Path(config.run).is_dir():
            raise CheckpointError("there is no such run folder.", where=config.run)
        return resume_config(config.run)
    return TrainConfig(
        data=config.data,
        model=config.model,
        model_args=config.model_args,
        input=config.input,
        augment=config.augment,
        seed=config.seed,
    )


def _spec(training: TrainConfig, manifest: Manifest) -> InputSpec:
    import torch

    from marey.training.build import build_model

    with torch.device(
        "meta"
    ):  # the specification alone is wanted: nothing is filled with numbers, or fetched
        model = build_model(replace(training, weights=None), len(manifest.class_names))
    training.augment.check_modalities(model.spec.modalities)
    return model.spec


def _rows(config: ShowConfig, manifest: Manifest, seed: int) -> tuple[list[int], int]:
    """The rows to show, by class, and how many were left out for `most`."""
    for row in config.sample:
        if not 0 <= row < len(manifest):
            raise ConfigError(
                f"there is no sample {row}: rows are 0 to {len(manifest) - 1}.", where=config.data
            )
    if config.sample:
        return list(config.sample), 0
    held = manifest.indices(config.split)
    if not len(held):
        raise ConfigError(f"there is no sample in the split {config.split!r}.", where=config.data)
    rng = np.random.default_rng(seed)
    found: dict[str, list[int]] = {name: [] for name in manifest.class_names}
    for row in rng.permutation(held).tolist():
        for name in manifest.sample(row).labels:
            if len(found[name]) < config.samples:
                found[name].append(row)
                break  # a sample of several labels is shown once
    # the first of every class before the second of any, so that `most` cuts evenly
    rounds = [rows[i] for i in range(config.samples) for rows in found.values() if i < len(rows)]
    kept = set(rounds[: config.most])
    return [row for rows in found.values() for row in sorted(rows) if row in kept], len(rounds) - len(kept)


def _settings(training: TrainConfig, spec: InputSpec) -> list[tuple[str, str]]:
    sampler = ", ".join(f"{key} {value}" for key, value in spec.sampler.items() if key != "name")
    plain = AugmentConfig()
    chosen = [
        f.name if value is True else f"{f.name} {value}"
        for f in fields(plain)
        if (value := getattr(training.augment, f.name)) != f.default or f.name == "scale"
    ]
    return [
        ("model", f"{training.model}, which sees {' and '.join(spec.modalities)}"),
        ("sampler", f"{spec.sampler['name']}: {sampler}" if sampler else str(spec.sampler["name"])),
        ("pictures", f"short side {spec.resize}, of which {spec.size[1]}×{spec.size[0]} is seen"),
        ("augmentation", ", ".join(chosen)),
        ("seed", str(training.seed)),
    ]


def _shown(
    config: ShowConfig, training: TrainConfig, manifest: Manifest, spec: InputSpec, rows: list[int]
) -> Iterator[Shown]:
    from marey.data.dataset import ClipDataset
    from marey.report.fed import Shown

    looked = replace(spec, modalities=_looked_at(spec, flow=config.flow))
    how: dict[str, Any] = {"class_names": manifest.class_names, "seed": training.seed}
    judged = ClipDataset(manifest, looked, **how)
    alone = replace(training.augment, mixup=0.0, cutmix=0.0, cut="space")  # batches are mixed after this
    learnt = ClipDataset(manifest, looked, train=True, augment=alone, **how)
    for row in rows:
        sample = manifest.sample(row)
        span = (
            ""
            if sample.start is None and sample.end is None
            else f", {sample.start or 0:g}–{_end(sample.end)} s"
        )
        title = f"sample {row}: {Path(sample.path).name}{span}"
        label = "|".join(sample.labels)
        items = [("test time", judged[row])]
        items += [(f"training, epoch {epoch}", learnt[epoch, row]) for epoch in range(config.epochs)]
        failure = items[0][1].failure
        if failure is not None:
            yield Shown(title, label, (), str(failure.error))
            continue
        yield Shown(title, label, tuple(_views(items, judged, looked, label)))


def _end(end: float | None) -> str:
    return "end" if end is None else f"{end:g}"


def _looked_at(spec: InputSpec, *, flow: bool) -> tuple[str, ...]:
    """The frames always, and what else the model sees or the user asks for; all computed as for training."""
    wanted = {"rgb", *spec.modalities, *(("flow",) if flow else ())}
    return tuple(name for name in ("rgb", "flow", "diff") if name in wanted)


def _views(
    items: list[tuple[str, Item]], dataset: ClipDataset, spec: InputSpec, label: str
) -> Iterator[View]:
    """One strip a clip, padded as in a batch of its own; flow of all of them on one scale."""
    from marey.data.collate import collate
    from marey.report.fed import View, fed_strip
    from marey.video.flow import BOUND

    batches = [collate([item], spec)[0] for _, item in items]
    lengths = [
        float(np.percentile(np.hypot(flow[:, 0], flow[:, 1]), 99.5))
        for batch in batches
        if batch is not None and "flow" in batch.inputs
        for flow in [BOUND * batch.inputs["flow"][0].numpy()]
    ]
    longest = max([*lengths, 1.0])
    for (title, item), batch in zip(items, batches, strict=True):
        assert batch is not None
        assert item.times is not None
        x = {name: tensor[0].numpy() for name, tensor in batch.inputs.items()}
        mask = batch.mask[0].numpy()
        times = np.zeros(len(mask))
        times[: len(item.times)] = item.times
        words = [f"{int(mask.sum())} frames"]
        words += [f"{len(mask) - int(mask.sum())} padding"] * (not mask.all())
        words += [str(item.draw)] if item.draw is not None else []
        words += [f"full colour is {longest:.1f} px a frame"] if "flow" in x else []
        after = _names(item, dataset)
        words += [f"its label becomes {after}"] if after != label else []
        strip = fed_strip(
            x["rgb"].transpose(0, 2, 3, 1), times, mask,
            flow=np.float32(BOUND) * x["flow"] if "flow" in x else None, longest=longest, difference=x.get("diff"),
        )  # fmt: skip
        yield View(title, ", ".join(words), strip)


def _names(item: Item, dataset: ClipDataset) -> str:
    """The classes of an item after its flips, as a manifest spells them."""
    if isinstance(item.target, np.ndarray):
        said = {dataset.class_names[i] for i in np.flatnonzero(item.target)}
        written = dataset.manifest.sample(item.id).labels
        return "|".join([n for n in written if n in said] + sorted(said - set(written)))
    return dataset.class_names[item.target]
