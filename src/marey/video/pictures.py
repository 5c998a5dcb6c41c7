"""Folders of pictures made into videos, losslessly: the compressed pictures are taken over as they are.

Reading a video of JPEGs gives what a decoder gives for each JPEG, for nothing is encoded anew.
"""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path

import av

from marey.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


def picture_folders(root: Path) -> list[Path]:
    """Every folder at or below `root` that holds pictures itself."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if any(Path(name).suffix.lower() in SUFFIXES for name in files):
            found.append(Path(folder))
    return found


def join_all(source: Path, out: Path, fps: float) -> tuple[int, int, list[DataError]]:
    """Make `out/a/b.mov` of every folder `source/a/b` with pictures. A video that is there already is left as it is.

    Returns:
        How many videos were made, how many were there, and what was wrong with the folders that gave none.
    """
    made, there, faults = 0, 0, []
    for folder in picture_folders(source):
        inner = folder.relative_to(source)
        video = out / inner.parent / f"{inner.name or source.resolve().name}.mov"
        if video.exists():
            there += 1
            continue
        try:
            join_pictures(folder, video, fps)
            made += 1
        except DataError as error:
            faults.append(error)
    return made, there, faults


def join_pictures(folder: Path, out: Path, fps: float) -> int:
    """Write the pictures of a folder, in the order of their numbers, as one QuickTime video.

    Args:
        folder: holds `00001.jpg`, `00002.jpg`, …: JPEG or PNG, one size, numbers without gaps.
        out: the video (.mov); written beside and moved into place when whole.
        fps: the rate at which they were taken.

    Returns:
        How many frames it has.

    Raises:
        DataError: pictures without numbers, a gap, or pictures of different sizes or kinds.
    """
    pictures = _in_order(folder)
    rate = Fraction(fps).limit_denominator(1001)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    try:
        with av.open(str(part), "w", format="mov") as video:
            with _opened(pictures[0]) as first:
                kind = _kind(first)
                stream = video.add_stream_from_template(first.streams.video[0])
            stream.time_base = 1 / rate
            for number, path in enumerate(pictures):
                with _opened(path) as picture:
                    if _kind(picture) != kind:
                        raise DataError(
                            f"this picture is {_kind(picture)}, the first one {kind}.", where=str(path)
                        )
                packet = av.Packet(path.read_bytes())
                packet.stream, packet.time_base = stream, 1 / rate
                packet.pts = packet.dts = number
                packet.duration, packet.is_keyframe = 1, True
                video.mux(packet)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return len(pictures)


def _in_order(folder: Path) -> list[Path]:
    numbered: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        digits = re.search(r"(\d+)$", path.stem)
        if digits is None:
            raise DataError("this picture has no number, so that its place is not known.", where=str(path))
        if int(digits[1]) in numbered:
            raise DataError(
                f"this picture has the number of {numbered[int(digits[1])].name}.", where=str(path)
            )
        numbered[int(digits[1])] = path
    if not numbered:
        raise DataError("there are no pictures in this folder.", where=str(folder))
    first, last = min(numbered), max(numbered)
    if last - first + 1 != len(numbered):
        gap = next(n for n in range(first, last) if n not in numbered)
        raise DataError(
            f"picture {gap} is not there, but {first} to {last} are meant to be.", where=str(folder)
        )
    return [numbered[number] for number in sorted(numbered)]


def _opened(path: Path) -> av.container.InputContainer:
    try:
        return av.open(str(path))
    except av.error.FFmpegError as error:
        raise DataError(f"not readable as a picture: {error.strerror}.", where=str(path)) from None


def _kind(picture: av.container.InputContainer) -> str:
    context = picture.streams.video[0].codec_context
    return f"{context.name} {context.width}×{context.height} {context.pix_fmt}"
