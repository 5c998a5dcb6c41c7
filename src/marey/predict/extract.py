"""A network's features of a video of any length: decoded and computed in windows, in memory that stays flat."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from marey.data.clips import corner, resized
from marey.data.features import FeatureGrid, Features
from marey.data.instants import ClipReader, Span
from marey.data.modalities import clip_inputs
from marey.data.motion import compute_fields
from marey.types import Clip, FloatArray
from marey.video.sampling import Rate

if TYPE_CHECKING:
    from marey.models.base import VideoModel

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network and a grid.

    Attributes:
        model: in eval mode, on `device`.
        grid: where positions lie.
        device: where it runs.
        autocast: "bf16" for a reduced precision, or None.
        batch: windows at once; frames at once for an image network.
    """

    model: VideoModel
    grid: FeatureGrid
    device: str = "cpu"
    autocast: str | None = None
    batch: int = 16

    @property
    def name(self) -> str:
        """The network's."""
        return self.model.name

    def instants(self, reader: ClipReader, span: Span) -> FloatArray:
        """The middles of the grid's cells in a stretch of a video, seconds: what a `Rate` sampler gives."""
        times, _ = Rate(self.grid.fps, max=None).times(reader.times, span.start, span.end)
        return times

    def features(self, reader: ClipReader, span: Span) -> Iterator[Features]:
        """The features of a stretch in order, float32 `(n, D)` at a time.

        The next part is decoded while the network computes.
        """
        for clip in ahead(self._parts(reader, self.instants(reader, span))):
            yield self.of_clip(clip)

    def of_clip(self, clip: Clip) -> Features:
        """`(T', D)` of the frames of one part, cut to the network's size."""
        import torch

        from marey.models.windows import windowed_features

        inputs = {
            name: torch.from_numpy(x)[None].to(self.device)
            for name, x in clip_inputs(
                clip, self.model.spec.modalities, flow_method=self.model.spec.flow_method
            ).items()
        }
        mask = torch.from_numpy(clip.mask)[None].to(self.device)
        with (
            torch.inference_mode(),
            torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.autocast == "bf16"),
        ):
            found, kept = windowed_features(
                self.model, inputs, mask, window=self.grid.num_frames, stride=self.grid.feat_stride
            )
        real = found[0] if kept is None else found[0][kept[0]]
        array: Features = real.float().cpu().numpy()
        return array

    def _parts(self, reader: ClipReader, instants: FloatArray) -> Iterator[Clip]:
        """Clips of `batch` windows each; frames that two of them share are decoded once."""
        spec, grid = self.model.spec, self.grid
        size = resized(reader.info.height, reader.info.width, spec)
        top, left = corner(*size, spec.size, "center")
        total = grid.positions(len(instants))
        held: Clip | None = None
        first = 0  # the cell that `held` begins with
        for begin in range(0, total, self.batch):
            number = min(self.batch, total - begin)
            start = begin * grid.feat_stride
            stop = min(start + grid.cells(number), len(instants))
            kept = 0 if held is None else first + len(held) - start
            fresh = reader.frames_at(instants[start + kept : stop], size=size)
            frames, times, flow = fresh.frames, fresh.times, None
            if held is not None and kept:
                frames = np.concatenate([held.frames[-kept:], frames])
                times = np.concatenate([held.times[-kept:], times])
            if "flow" in spec.modalities:  # between whole frames, before the crop, as for every clip
                known = max(kept - 1, 0)
                flow = compute_fields(
                    frames[known:], times[known:], times[known + 1 :] != times[known:-1], spec.flow_method
                )
                if held is not None and held.flow is not None and known:
                    flow = np.concatenate([held.flow[-known:], flow])
            held, first = Clip(frames, times, np.ones(len(times), bool), flow), start
            rows, columns = slice(top, top + spec.size[0]), slice(left, left + spec.size[1])
            yield Clip(
                np.ascontiguousarray(frames[:, rows, columns]),
                times,
                held.mask,
                None if flow is None else np.ascontiguousarray(flow[:, :, rows, columns]),
            )


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, the next one made while the last is being used; all of them by one other thread."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, end)
        while (item := waiting.result()) is not end:
            waiting = pool.submit(next, items, end)
            yield item  # type: ignore[misc]
