"""Samples as tensors, and what a batch of them is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from marey.data.augment import AugmentConfig
from marey.data.clips import Opener, fit_clip, opened, padded_length, read_clip, resized
from marey.data.draws import ClipDraw
from marey.data.instants import ClipReader, Span, choose_times
from marey.data.manifest import Manifest
from marey.data.mapped import mapped, write_mapped
from marey.data.modalities import clip_inputs, flow_input
from marey.data.motion import FlowSource
from marey.data.randomness import sample_generator
from marey.data.transforms import ClipTransform, Target
from marey.data.warp import cut_box, move_clip
from marey.errors import DataError
from marey.spec import InputSpec
from marey.types import Clip, FloatArray
from marey.video.known import open_known
from marey.video.reader import Truncated
from marey.video.sampling import sampler_from_dict

Key = tuple[int, int]
"""(epoch, row): the epoch travels with the row, so that workers that live on need not be told of it."""


@dataclass(frozen=True)
class Failure:
    """A sample that could not be loaded: its row, the video, the typed error, and the row's place."""

    id: int
    path: str
    error: DataError
    where: str

    def to_dict(self) -> dict[str, object]:
        """As it stands in metrics.json."""
        return {"id": self.id, "path": self.path, "error": str(self.error)}


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips of a batch, padded to one length.

    Attributes:
        inputs: by modality: rgb uint8 `(B, T, 3, H, W)`; flow float32 `(B, T−1, 2, H, W)` and diff float32
            `(B, T−1, 3, H, W)` as `marey.data.modalities.clip_inputs` tells.
        mask: bool `(B, T)`, True where a frame is real; real frames come first.
        target: long `(B,)`, or float32 `(B, K)` of 0 and 1 where the manifest is multi-label.
        ids: rows of the manifest.
        number: which batch of its epoch this is, from 0. `number + 1` is where resuming goes on.
        draws: what is still to be done to each clip, by `marey.data.batched.augment_batch` on the device;
            `inputs["rgb"]` then holds the crops as they were cut, at the size of the largest. Empty: nothing.
        real_frames: how many frames of each clip are real, known without asking the device.
    """

    inputs: dict[str, Tensor]
    mask: Tensor
    target: Tensor
    ids: list[int]
    number: int = 0
    draws: tuple[ClipDraw, ...] = ()
    real_frames: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in self.inputs.items())
        return f"Batch(number {self.number}, {shapes}, {int(self.mask.sum())} real frames)"

    @property
    def lengths(self) -> Tensor:
        """Real frames of each clip, long `(B,)`."""
        return self.mask.sum(1)

    def to(self, device: torch.device | str) -> Batch:
        """The same on a device; from pinned memory the copy goes on while the CPU does."""
        return replace(
            self,
            inputs={name: x.to(device, non_blocking=True) for name, x in self.inputs.items()},
            mask=self.mask.to(device, non_blocking=True),
            target=self.target.to(device, non_blocking=True),
        )

    def pin_memory(self) -> Batch:
        """The same in pinned memory."""
        return replace(
            self,
            inputs={name: x.pin_memory() for name, x in self.inputs.items()},
            mask=self.mask.pin_memory(),
            target=self.target.pin_memory(),
        )


@dataclass(frozen=True, eq=False)
class Item:
    """One sample. Either `inputs`, `mask` and `target`, or `failure`.

    `clamped`: seconds by which the segment lay outside its video, always less than a frame's duration.
    `times`: of the frames, seconds on the video's own clock. `draw`: what augmentation drew, if there is any.
    """

    id: int
    inputs: Mapping[str, Tensor]
    mask: Tensor
    target: Target
    failure: Failure | None = None
    clamped: float = 0.0
    times: FloatArray | None = None
    draw: ClipDraw | None = None


class ClipDataset(Dataset[Item]):
    """Clips of a manifest as tensors, each a pure function of (seed, epoch, row).

    An item is asked for by its row, or by (epoch, row). Errors in the data are returned in `Item.failure`, not
    raised: an exception that crosses from a worker process loses its type and place.

    Args:
        manifest: the samples.
        spec: what the model needs.
        class_names: the order of the classes; by default the manifest's.
        train: draw times from the sample's generator; else the deterministic choice of test time.
        augment: with `train`: temporal jitter, geometry and colours. None crops the middle.
        seed: of all randomness.
        truncated: what a file that ends early does: error, or give what it has.
        opener: where readers come from (`marey.data.memory.FrameMemory`).
        deferred: augmentation is drawn and the crop cut, but the rest left to `augment_batch`. Not for flow.
        flow: where optical flow comes from that need not be computed (`marey.data.motion.FlowSource`).

    Raises:
        ManifestError: a label that `class_names` does not have.
    """

    def __init__(
        self,
        manifest: Manifest,
        spec: InputSpec,
        *,
        class_names: Sequence[str] | None = None,
        train: bool = False,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        truncated: Truncated = "error",
        opener: Opener = open_known,
        deferred: bool = False,
        flow: FlowSource | None = None,
    ) -> None:
        self.manifest = manifest
        self.spec = spec
        self.class_names = tuple(class_names) if class_names is not None else manifest.class_names
        self.train = train
        self.seed = seed
        self.truncated: Truncated = truncated
        self.opener = opener
        self.flow = flow
        self._sampler = sampler_from_dict(spec.sampler)
        self._jitter = augment.time if train and augment is not None else None
        self._transform = (
            ClipTransform(augment, spec, self.class_names) if train and augment is not None else None
        )
        self.shared: Path | None = None
        self.deferred = deferred and self._transform is not None
        assert not (self.deferred and "flow" in spec.modalities), "flow is computed where frames are decoded"
        self._targets = None if manifest.multi_label else manifest.targets(self.class_names)
        if manifest.multi_label:
            manifest.check_classes(self.class_names)
        self._index = {name: i for i, name in enumerate(self.class_names)}

    def __len__(self) -> int:
        return len(self.manifest)

    def __getstate__(self) -> dict[str, Any]:
        """For a worker: its table is mapped from a file, where `share` wrote one, and not copied."""
        state = dict(self.__dict__)
        if self.shared is not None:
            origin = replace(self.manifest.origin, numbers=self.manifest.origin.numbers[:0])
            state["manifest"] = replace(self.manifest, table=None, origin=origin)
            state["_targets"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.shared is not None:
            table, numbers, self._targets = mapped(self.shared)
            origin = replace(self.manifest.origin, numbers=numbers)
            self.manifest = replace(self.manifest, table=table, origin=origin)

    def share(self, path: Path) -> None:
        """Write the table to a file that workers map into their memory: all of them hold one copy."""
        write_mapped(path, self.manifest.table, self.manifest.origin.numbers, self._targets)
        self.shared = path

    def __getitem__(self, key: int | Key) -> Item:
        return self.load(key)

    def places(self, room: Tensor | None, count: int) -> Sequence[Tensor | None]:
        """Where in the memory of a batch each of its clips will lie, as far as that is known before any is read."""
        length = self._sampler.length
        known = self._transform is not None and not self.deferred and self.spec.modalities == ("rgb",)
        if room is None or length is None or not known:
            return [None] * count
        shape = (count, padded_length(self.spec, length), 3, *self.spec.size)
        size = math.prod(shape)
        return list(room[:size].view(shape)) if size <= len(room) else [None] * count

    def load(self, key: int | Key, place: Tensor | None = None) -> Item:
        """The item of a key. Its clip is laid into `place`, uint8 `(T or more, 3, H, W)`, where nothing but geometry is
        done to it; else the item has memory of its own."""
        epoch, row = key if isinstance(key, tuple) else (0, key)
        sample = self.manifest.sample(row)
        rng = sample_generator(self.seed, epoch, row)
        seed = int(rng.integers(2**62))
        try:
            with opened(sample, truncated=self.truncated, opener=self.opener) as (reader, span):
                chance = rng if self.train else None
                if self._transform is None:
                    made = self._tested(row, reader, span, chance)
                else:
                    made = self._moved(row, reader, span, chance, seed, place)
        except DataError as error:
            error.details = (
                (*error.details, f"sample {row}: {sample.where}") if sample.where else error.details
            )
            failure = Failure(row, sample.path, error, sample.where)
            return Item(row, {}, torch.zeros(0, dtype=torch.bool), 0, failure)
        return made

    def target(self, row: int) -> Target:
        """Class index of a row, or float32 `(K,)` of 0 and 1."""
        if self._targets is not None:
            return int(self._targets[row])
        several = np.zeros(len(self.class_names), dtype=np.float32)
        several[[self._index[name] for name in self.manifest.sample(row).labels]] = 1
        return several

    def _tested(self, row: int, reader: ClipReader, span: Span, rng: np.random.Generator | None) -> Item:
        """The middle of every frame, at the length that the sampler gave."""
        clip = read_clip(
            reader, span, self.spec, sampler=self._sampler, rng=rng, jitter=self._jitter, flow=self.flow
        )
        arrays = clip_inputs(fit_clip(clip, self.spec, "center"), self.spec.modalities)
        inputs = {name: torch.from_numpy(x) for name, x in arrays.items()}
        mask = torch.from_numpy(clip.mask)
        return Item(row, inputs, mask, self.target(row), clamped=span.clamped, times=clip.times)

    def _moved(
        self,
        row: int,
        reader: ClipReader,
        span: Span,
        rng: np.random.Generator | None,
        seed: int,
        place: Tensor | None,
    ) -> Item:
        """Augmented. What is cut is drawn before anything is decoded, so that only that is copied; flow is computed
        between whole pictures, which are cut afterwards."""
        assert self._transform is not None
        modalities = self.spec.modalities
        fields: Tensor | None = None
        if "flow" in modalities:
            clip = read_clip(
                reader, span, self.spec, sampler=self._sampler, rng=rng, jitter=self._jitter, flow=self.flow
            )
            mask, times, real = clip.mask, clip.times, int(clip.mask.sum())
            decoded = torch.from_numpy(clip.frames[:real]).permute(0, 3, 1, 2)
            draw, target = self._transform.draw(decoded.shape, self.target(row), seed=seed)
            assert clip.flow is not None
            fields = torch.zeros(len(mask) - 1, 2, *self.spec.size)
            known = torch.from_numpy(flow_input(clip.flow[: real - 1]))
            fields[: real - 1] = self._transform.motion(known, draw)
            box = cut_box(decoded, draw)
        else:
            chosen, mask = choose_times(reader, span, self._sampler, (0, 1), rng, self._jitter)
            size = resized(reader.info.height, reader.info.width, self.spec)
            shape = (int(mask.sum()), 3, *size)
            draw, target = self._transform.draw(shape, self.target(row), seed=seed)
            clip = reader.frames_at(chosen[mask], size=size, box=draw.box)
            times = _held(clip.times, len(mask))
            box = torch.from_numpy(clip.frames).permute(0, 3, 1, 2)
        inputs = self._changed(box, fields, draw, len(mask), place)
        return Item(
            row, inputs, torch.from_numpy(mask), target, clamped=span.clamped, times=times, draw=draw
        )  # fmt: skip

    def _changed(
        self, box: Tensor, fields: Tensor | None, draw: ClipDraw, length: int, place: Tensor | None
    ) -> dict[str, Tensor]:
        """The inputs of what was cut: real frames alone where they are `rgb`, else with padding to `length`."""
        assert self._transform is not None
        modalities = self.spec.modalities
        if self.deferred:
            return {"rgb": box}
        inputs: dict[str, Tensor] = {}
        if fields is not None:
            inputs["flow"] = fields
        if modalities != ("flow",):
            moved = move_clip(box, draw, self.spec.size, self._transform.fill, place)
            if "diff" in modalities:
                inputs["diff"] = _differences(moved, length)
            if "rgb" in modalities:
                inputs["rgb"] = self._transform.photometric(moved, draw)
        return {name: inputs[name] for name in modalities}


def _differences(moved_TCHW: Tensor, length: int) -> Tensor:
    """`marey.data.modalities` over the frames as they were moved, with padding."""
    real = len(moved_TCHW)
    frames = np.zeros((length, *moved_TCHW.shape[-2:], moved_TCHW.shape[1]), dtype=np.uint8)
    frames[:real] = moved_TCHW.permute(0, 2, 3, 1).numpy()
    clip = Clip(frames, np.zeros(length), np.arange(length) < real)
    return torch.from_numpy(clip_inputs(clip, ("diff",))["diff"])


def _held(times: FloatArray, length: int) -> FloatArray:
    """The last time again for every place of padding."""
    return times if len(times) == length else np.append(times, np.full(length - len(times), times[-1]))
