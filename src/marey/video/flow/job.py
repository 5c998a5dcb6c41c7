"""Flow of one video (or a stretch of one) into one folder, named after what it holds."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.errors import SegmentError
from marey.files import file_hash, key_of, plain_stem
from marey.video.flow.methods import compute_flow
from marey.video.flow.store import FORMAT, FlowWriter, is_complete
from marey.video.packed.content import content_hash
from marey.video.picture import target_size
from marey.video.reader import open_video
from marey.video.stretch import Stretch

_CHUNK_BYTES = 48 << 20  # decoded frames held at once: an hour of video takes no more memory than a minute


@dataclass(frozen=True)
class FlowSettings:
    """What decides the values in a folder of flow, besides the video.

    Attributes:
        method: a name from `METHODS`.
        size: short side in pixels to which frames are scaled first; None keeps them as they are.
        bound: pixels at which components are cut off.
        weights: a file of weights for `raft-*`, or None.
        stride: flow lies between each frame and the stride-th after it.
    """

    method: str = "dis-medium"
    size: int | None = 256
    bound: float = 20.0
    weights: str | None = None
    stride: int = 1


@dataclass(frozen=True)
class FlowPlan:
    """What a job will make, known before any flow is computed.

    Attributes:
        key: stands for the content and the settings.
        folder: name of its folder inside the output; ends in the key.
        fields: how many fields.
        height, width: of the fields, in pixels.
        content: SHA-256 of the video file.
        found: whether the folder is there already.
    """

    key: str
    folder: str
    fields: int
    height: int
    width: int
    content: str
    found: bool


def plan_job(job: Stretch, settings: FlowSettings, out: Path) -> FlowPlan:
    """Hash the file, count its frames (without decoding), and see whether the work is done already.

    The folder's name ends in a key of the file's content and the settings: a video that was moved or renamed
    is found again, one that was changed is not taken for what it was.
    """
    path = Path(job.path)
    with open_video(job.path) as reader:
        frames = len(_frame_times(reader, job))
        height, width = target_size(settings.size, reader.info.height, reader.info.width)
    fields = frames - settings.stride
    if fields < 1:
        have = "is one frame" if frames == 1 else f"are {frames} frames"
        need = "two at least" if settings.stride == 1 else f"more than its stride of {settings.stride}"
        raise SegmentError(f"there {have} here; flow needs {need}.", where=str(job))
    content = content_hash(job.path)
    weights = None if settings.weights is None else file_hash(Path(settings.weights))
    made_of = {**asdict(settings), "weights": weights, "format": FORMAT, "content": content}
    made_of |= {"start": job.start, "end": job.end}
    if settings.stride == 1:  # folders made before there was a choice are found
        del made_of["stride"]
    key = key_of(made_of)
    # Matching by key alone, not by the stem, finds what was computed under another name of the same file.
    here = sorted(out.glob(f"*-{key}")) if out.is_dir() else []
    whole = [folder.name for folder in here if is_complete(folder)]
    name = whole[0] if whole else f"{plain_stem(path)}-{key}"
    return FlowPlan(key, name, fields, height, width, content, bool(whole))


def run_job(job: Stretch, settings: FlowSettings, out: Path, plan: FlowPlan) -> dict[str, Any]:
    """Compute the flow of one job and write its folder, whole or not at all.

    Returns:
        the contents of its `flow.json`, without the times.
    """
    import cv2

    from marey import __version__

    began = time.process_time()
    size = None if settings.size is None else (plan.height, plan.width)
    with open_video(job.path) as reader:
        times = _frame_times(reader, job)
        info: dict[str, Any] = {
            "source": {"path": job.path, "sha256": plan.content, "start": job.start, "end": job.end},
            "method": settings.method,
            "stride": settings.stride,
            "size": settings.size,
            "weights": settings.weights,
            "marey": __version__,
            "opencv": cv2.__version__,
        }
        stride = settings.stride
        step = max(2 * stride, _CHUNK_BYTES // (plan.height * plan.width * 3))
        writer = FlowWriter(
            out / plan.folder, size=(plan.height, plan.width), times=times, info=info, bound=settings.bound,
            stride=stride,
        )  # fmt: skip
        with writer:
            for begin in range(0, len(times) - stride, step):
                stop = min(begin + step + stride, len(times))
                clip = reader.frames_at(times[begin:stop], size=size)
                fields = np.empty((stop - begin - stride, 2, *clip.frames.shape[1:3]), dtype=np.float32)
                for phase in range(min(stride, len(fields))):  # every stride-th frame is a clip of its own
                    flow = compute_flow(
                        clip.frames[phase::stride],
                        times[begin + phase : stop : stride],
                        settings.method,
                        weights=settings.weights,
                    )
                    fields[phase::stride] = flow.fields
                writer.write(fields)
            info["cpu_seconds"] = round(time.process_time() - began, 3)
    return {**info, "share_beyond_bound": writer.share_beyond}


def sample_bytes(job: Stretch, settings: FlowSettings, plan: FlowPlan, pairs: int = 3) -> float:
    """Bytes that a pixel of this video's flow takes on disk, measured on a few pairs from its middle.

    DIS stands in for the slower methods: their fields compress alike, and an estimate must not take minutes.
    """
    import tempfile

    method = "diff" if settings.method == "diff" else "dis-fast"
    size = None if settings.size is None else (plan.height, plan.width)
    with open_video(job.path) as reader:
        times = _frame_times(reader, job)
        middle = max(0, len(times) // 2 - pairs)
        times = times[middle : middle + pairs + 1]
        frames = reader.frames_at(times, size=size).frames
    flow = compute_flow(frames, times, method)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "sample"
        with FlowWriter(
            folder, size=(plan.height, plan.width), times=times, info={}, bound=settings.bound
        ) as w:
            w.write(flow.fields)
        used = sum((folder / name).stat().st_size for name in ("flow_x.mkv", "flow_y.mkv"))
    return used / (len(flow) * plan.height * plan.width)


def _frame_times(reader: Any, job: Stretch) -> NDArray[np.float64]:
    """The times of the frames that are on screen at any moment of the stretch."""
    times: NDArray[np.float64] = reader.times
    ends = np.append(times[1:], reader.info.end)
    start = -np.inf if job.start is None else job.start
    end = np.inf if job.end is None else job.end
    inside = (ends > start) & (times < end)
    if not inside.any():
        raise SegmentError(
            f"no frame is shown in {start:g}–{end:g} s; the video runs {times[0]:g}–{reader.info.end:g} s.",
            where=job.path,
        )
    return times[inside]
