"""The methods of optical flow behind one function, `compute_flow`.

Flow is the apparent motion between two frames: the pixel at (x, y) of the first frame is found at
(x + u, y + v) in the second; u runs right, v runs down, both in pixels. Field i of a clip depends on frames
i and i+1 and on nothing else, so that flow computed on the fly and flow read from a folder agree.

    tvl1           Zach, Pock, Bischof 2007, "A duality based approach for realtime TV-L1 optical flow"
    dis-*          Kroeger et al. 2016, "Fast optical flow using dense inverse search" (arXiv 1603.03590)
    farneback      Farnebäck 2003, "Two-frame motion estimation based on polynomial expansion"
    lk-sparse      Lucas-Kanade on tracked corners, spread to a dense field (`sparse.py`)
    raft-*         Teed, Deng 2020, "RAFT" (arXiv 2003.12039), from torchvision (`raft.py`)
    diff           no motion but the difference of gray values (`difference_fields`)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.errors import ConfigError, UnknownNameError, UsageError
from marey.types import FloatArray, UInt8Array
from marey.video.flow.sparse import sparse_flow

Fields = NDArray[np.float32]
PairFlow = Callable[[UInt8Array, UInt8Array], Fields]  # gray (H, W) twice -> (H, W, 2)

BOUND = 20.0
"""Pixels at which the two-stream convention cuts flow off (Simonyan, Zisserman 2014; TSN)."""

_DIS_SMALLEST = 32  # pixels a side; OpenCV's search reads outside its buffers on smaller frames


@dataclass(frozen=True, eq=False)
class Flow:
    """The motion between the neighbouring frames of a clip.

    Attributes:
        fields: float32 `(T−1, 2, H, W)`, (u, v) in pixels per frame *interval*; u right, v down.
        intervals: float64 `(T−1,)`, the seconds between the two frames of each field. Where it is 0 (one
            frame twice, as in padding) the field is exactly zero.
    """

    fields: Fields
    intervals: FloatArray

    def __post_init__(self) -> None:
        assert self.fields.ndim == 4
        assert self.fields.shape[1] == 2
        assert len(self.fields) == len(self.intervals)

    def __len__(self) -> int:
        return len(self.fields)

    @property
    def velocity(self) -> Fields:
        """The fields in pixels per second, float32 `(T−1, 2, H, W)`; zero where the interval is zero.

        With a variable frame rate this is what compares from one field to the next.
        """
        rate = np.divide(1.0, self.intervals, out=np.zeros_like(self.intervals), where=self.intervals != 0)
        return self.fields * rate[:, None, None, None].astype(np.float32)

    def __repr__(self) -> str:
        n, _, h, w = self.fields.shape
        span = f", {self.intervals.min():.4f}–{self.intervals.max():.4f} s apart" if n else ""
        return f"Flow({n} fields, {w}×{h}{span})"


@dataclass(frozen=True)
class FlowMethod:
    """A row of the table.

    Attributes:
        about: one line for people.
        make: gives the function of one pair of gray frames; None for the methods that take a whole clip.
        learned: whether it needs weights and is worth a GPU.
    """

    about: str
    make: Callable[[], PairFlow] | None = None
    learned: bool = False


def _opencv() -> Any:
    """OpenCV, imported at first use; untyped, for its stubs leave out half of the video module."""
    import cv2

    return cv2


def _tvl1() -> PairFlow:
    cv2 = _opencv()

    if not hasattr(cv2, "optflow"):
        raise UsageError(
            "TV-L1 needs OpenCV's contributed modules, which the installed OpenCV lacks.",
            "install it alone: pip uninstall opencv-python opencv-python-headless; "
            "pip install --force-reinstall opencv-contrib-python-headless",
        )
    solver = cv2.optflow.DualTVL1OpticalFlow_create()
    return lambda first, second: solver.calc(first, second, None)


def _dis_preset(preset: str) -> PairFlow:
    cv2 = _opencv()

    solver = cv2.DISOpticalFlow_create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{preset}"))
    return lambda first, second: _dis(solver, first, second)


def _dis_medium() -> PairFlow:
    """OpenCV's medium preset, adjusted for fixed cameras; `benchmarks/flow.py` measures both.

    The preset hands displacements from patch to neighbouring patch, which carries the motion of an object far
    into a still wall without texture; the search does as well without. Twice the refinement at a stronger data
    term, and a slight blur against sensor noise, mend most of the rest. Removing the mean of each patch stays
    on: without it errors on a still wall fall further, but a change of light of 5% reads as 15 pixels.
    """
    cv2 = _opencv()

    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    solver.setUseSpatialPropagation(False)
    solver.setVariationalRefinementIterations(10)
    solver.setVariationalRefinementDelta(10.0)
    solver.setVariationalRefinementGamma(5.0)

    def smooth(gray: UInt8Array) -> UInt8Array:
        blurred: UInt8Array = cv2.GaussianBlur(gray, (5, 5), 0.7)
        return blurred

    return lambda first, second: _dis(solver, smooth(first), smooth(second))


def _dis(solver: Any, first: UInt8Array, second: UInt8Array) -> Fields:
    height, width = first.shape
    more = ((0, max(0, _DIS_SMALLEST - height)), (0, max(0, _DIS_SMALLEST - width)))
    if more != ((0, 0), (0, 0)):
        first, second = np.pad(first, more, mode="edge"), np.pad(second, more, mode="edge")
    field: Fields = solver.calc(first, second, None)
    return field[:height, :width]


def _farneback() -> PairFlow:
    cv2 = _opencv()

    # A Gaussian window of 21 pixels and polynomials over 7: about a tenth less error than the customary 15
    # and 5 on moving objects, at half as much time again.
    settings = {"pyr_scale": 0.5, "levels": 5, "winsize": 21, "iterations": 3, "poly_n": 7, "poly_sigma": 1.5}
    flags = cv2.OPTFLOW_FARNEBACK_GAUSSIAN
    return lambda first, second: cv2.calcOpticalFlowFarneback(first, second, None, **settings, flags=flags)


METHODS: dict[str, FlowMethod] = {
    "tvl1": FlowMethod("total variation with an L1 data term: the classic of two-stream work; slow", _tvl1),
    "dis-ultrafast": FlowMethod("dense inverse search, quarter resolution", lambda: _dis_preset("ULTRAFAST")),
    "dis-fast": FlowMethod("dense inverse search, quarter resolution, refined", lambda: _dis_preset("FAST")),
    "dis-medium": FlowMethod("dense inverse search, half resolution, refined (default)", _dis_medium),
    "farneback": FlowMethod("polynomial expansion; indifferent to changes of light", _farneback),
    "lk-sparse": FlowMethod(
        "tracked corners spread to a dense field; the coarsest motion", lambda: sparse_flow
    ),
    "raft-small": FlowMethod("learned, 1.0 M parameters; wants a GPU", learned=True),
    "raft-large": FlowMethod("learned, 5.3 M parameters; the most exact; wants a GPU", learned=True),
    "diff": FlowMethod("not motion: the difference of gray values, as a field", lambda: _difference),
}


def flow_method(name: str) -> FlowMethod:
    """The row of the table, or `UnknownNameError` naming the nearest."""
    if name not in METHODS:
        raise UnknownNameError("flow method", name, METHODS)
    return METHODS[name]


def compute_flow(
    frames: UInt8Array,
    times: FloatArray,
    method: str = "dis-medium",
    *,
    weights: str | Path | None = None,
    device: str | None = None,
) -> Flow:
    """The flow between the neighbouring frames of a clip.

    Args:
        frames: uint8 `(T, H, W, 3)` RGB or `(T, H, W, 1)` gray, as in `Clip.frames`.
        times: `(T,)` seconds, as in `Clip.times`. Equal neighbours are one frame shown twice: zero flow.
        method: a name from `METHODS`.
        weights: for `raft-*` alone: a file of weights in torchvision's layout (`.pth`, `.safetensors`).
            None takes torchvision's own, which it downloads once and keeps.
        device: for `raft-*` alone: "cpu", "cuda", …; None takes the GPU where there is one.

    Returns:
        `Flow` with `T−1` fields in pixels per frame interval, and the intervals in seconds. `diff` alone gives
        no motion: its first component is the gray difference in units of 20/255, its second is zero.

    Raises:
        UnknownNameError: no such method.
        ConfigError: frames or times of a wrong shape or kind.
        CheckpointError: weights of RAFT that are not there or do not fit.
    """
    row = flow_method(method)
    frames, times = np.asarray(frames), np.asarray(times, dtype=np.float64)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] not in (1, 3):
        raise ConfigError(
            f"flow needs uint8 frames (T, H, W, 3) or (T, H, W, 1); got {frames.dtype} {frames.shape}."
        )
    if times.shape != (len(frames),) or not np.isfinite(times).all():
        raise ConfigError(f"flow needs one finite time for each of the {len(frames)} frames.")
    if not row.learned and (weights is not None or device is not None):
        raise ConfigError(f"weights and device are for raft-small and raft-large; {method} has neither.")
    intervals = np.diff(times)
    count = max(len(frames) - 1, 0)
    fields = np.zeros((count, 2, *frames.shape[1:3]), dtype=np.float32)
    moving = np.flatnonzero(intervals != 0)
    if row.learned:
        from marey.video.flow.raft import raft_fields

        if len(moving):
            fields[moving] = raft_fields(frames, moving, method, weights=weights, device=device)
        return Flow(fields, intervals)
    assert row.make is not None
    pair_flow = row.make()
    gray = _Gray(frames)
    for i in moving.tolist():
        fields[i] = pair_flow(gray[i], gray[i + 1]).transpose(2, 0, 1)
    return Flow(fields, intervals)


class _Gray:
    """Gray frames made as they are asked for, each once while neighbours are asked for in order."""

    def __init__(self, frames: UInt8Array) -> None:
        self.frames = frames
        self.last: tuple[int, UInt8Array] | None = None

    def __getitem__(self, index: int) -> UInt8Array:
        import cv2

        if self.last is not None and self.last[0] == index:
            return self.last[1]
        frame = np.ascontiguousarray(self.frames[index])
        gray: UInt8Array = frame[..., 0] if frame.shape[-1] == 1 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        self.last = (index, gray)
        return gray


def _difference(first: UInt8Array, second: UInt8Array) -> Fields:
    """The signed difference of gray values as u, and v = 0.

    It is scaled so that the whole range ±255 fills the ±20 of the 8-bit files: nothing of it is ever cut off,
    and on the colour wheel what grew brighter is red and what grew darker is cyan.
    """
    field = np.zeros((*first.shape, 2), dtype=np.float32)
    field[..., 0] = (second.astype(np.float32) - first) * np.float32(BOUND / 255)
    return field
