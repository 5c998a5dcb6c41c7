"""Samples as tensors, and how they become a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from marey.data.augment import AugmentConfig
from marey.data.clips import Opener, fit_clip, opened, padded_length, read_clip
from marey.data.draws import ClipDraw
from marey.data.manifest import Manifest
from marey.data.mapped import mapped, write_mapped
from marey.data.modalities import clip_inputs, flow_input
from marey.data.motion import FlowSource
from marey.data.randomness import sample_generator, seeded
from marey.data.transforms import ClipTransform, Target
from marey.data.warp import cut_box
from marey.errors import DataError
from marey.spec import InputSpec
from marey.types import Clip, FloatArray
from marey.video.known import open_known
from marey.video.reader import Truncated

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
        epoch, row = key if isinstance(key, tuple) else (0, key)
        sample = self.manifest.sample(row)
        rng = sample_generator(self.seed, epoch, row)
        seed = int(rng.integers(2**62))
        try:
            with opened(sample, truncated=self.truncated, opener=self.opener) as (reader, span):
                clip = read_clip(
                    reader, span, self.spec, rng=rng if self.train else None, jitter=self._jitter, flow=self.flow
                )  # fmt: skip
        except DataError as error:
            error.details = (
                (*error.details, f"sample {row}: {sample.where}") if sample.where else error.details
            )
            failure = Failure(row, sample.path, error, sample.where)
            return Item(row, {}, torch.zeros(0, dtype=torch.bool), 0, failure)
        target = self.target(row)
        with seeded(seed):  # whatever a transform of one's own draws from is the sample's own, too
            inputs, target, draw = self._inputs(clip, target, seed)
        mask = torch.from_numpy(clip.mask)
        return Item(row, inputs, mask, target, clamped=span.clamped, times=clip.times, draw=draw)

    def target(self, row: int) -> Target:
        """Class index of a row, or float32 `(K,)` of 0 and 1."""
        if self._targets is not None:
            return int(self._targets[row])
        several = np.zeros(len(self.class_names), dtype=np.float32)
        several[[self._index[name] for name in self.manifest.sample(row).labels]] = 1
        return several

    def _inputs(
        self, clip: Clip, target: Target, seed: int
    ) -> tuple[dict[str, Tensor], Target, ClipDraw | None]:
        """The inputs of one clip, at the length that the sampler gave."""
        modalities = self.spec.modalities
        if self._transform is None:
            arrays = clip_inputs(fit_clip(clip, self.spec, "center"), modalities)
            return {name: torch.from_numpy(x) for name, x in arrays.items()}, target, None
        real = int(clip.mask.sum())
        decoded = torch.from_numpy(clip.frames[:real]).permute(0, 3, 1, 2)
        draw, target = self._transform.draw(decoded.shape, target, seed=seed)
        if self.deferred:
            return {"rgb": cut_box(decoded, draw)}, target, draw
        inputs: dict[str, Tensor] = {}
        if "flow" in modalities:
            assert clip.flow is not None
            fields = torch.zeros(len(clip) - 1, 2, *self.spec.size)
            known = torch.from_numpy(flow_input(clip.flow[: real - 1]))
            fields[: real - 1] = self._transform.motion(known, draw)
            inputs["flow"] = fields
        if modalities == ("flow",):
            return inputs, target, draw
        moved = self._transform.geometry(decoded, draw)
        if "diff" in modalities:
            frames = np.zeros((len(clip), *self.spec.size, moved.shape[1]), dtype=np.uint8)
            frames[:real] = moved.permute(0, 2, 3, 1).numpy()
            inputs["diff"] = torch.from_numpy(
                clip_inputs(Clip(frames, clip.times, clip.mask), ("diff",))["diff"]
            )
        if "rgb" in modalities:
            inputs["rgb"] = self._transform.photometric(moved, draw)
        return {name: inputs[name] for name in modalities}, target, draw


def collate(
    items: Sequence[Item], spec: InputSpec, *, deferred: bool = False
) -> tuple[Batch | None, list[Failure], list[int]]:
    """Items that could be loaded as one batch, padded with zeros to the longest (then as the spec needs).

    Args:
        deferred: the items hold crops of any size and their draws; see `Batch.draws`.

    Returns:
        the batch, or None if nothing could be loaded; the failures; the ids of clamped segments.
    """
    good = [item for item in items if item.failure is None]
    failures = [item.failure for item in items if item.failure is not None]
    clamped = [item.id for item in good if item.clamped > 0]
    if not good:
        return None, failures, clamped
    length = padded_length(spec, max(len(item.mask) for item in good))
    mask = torch.zeros(len(good), length, dtype=torch.bool)
    for row, item in zip(mask, good, strict=True):
        row[: len(item.mask)] = item.mask
    inputs = {}
    for name in good[0].inputs:
        # flow and differences lie between frames: one fewer of them
        found = [item.inputs[name] for item in good]
        inputs[name] = _stacked(found, length - (name != "rgb"))
    targets = [item.target for item in good]
    if isinstance(targets[0], np.ndarray):
        target = torch.from_numpy(np.stack([np.asarray(t) for t in targets]))
    else:
        target = torch.tensor(targets, dtype=torch.long)
    draws = tuple(item.draw for item in good if item.draw is not None) if deferred else ()
    real = tuple(int(item.mask.sum()) for item in good)
    batch = Batch(inputs, mask, target, [item.id for item in good], draws=draws, real_frames=real)
    return batch, failures, clamped


def _stacked(clips: Sequence[Tensor], length: int) -> Tensor:
    """Clips `(T, C, H, W)` in the corner of zeros `(B, length, C, H, W)` of the largest height and width."""
    height, width = (max(clip.shape[axis] for clip in clips) for axis in (-2, -1))
    stack = torch.zeros(len(clips), length, clips[0].shape[1], height, width, dtype=clips[0].dtype)
    for place, clip in zip(stack, clips, strict=True):
        place[: len(clip), :, : clip.shape[-2], : clip.shape[-1]] = clip
    return stack
