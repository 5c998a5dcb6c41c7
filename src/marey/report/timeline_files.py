"""What `marey localize` writes for people: one timeline in the forms that were asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from marey.errors import ConfigError, UnknownNameError
from marey.files import size_words, write_text
from marey.report import annotated, elan, plots, subtitles, timeline_page, timelines
from marey.report.lanes import SURE, certainty
from marey.types import VideoTimeline
from marey.video.players import Playing, playing
from marey.work import print_line, progress

FORMS = {
    "picture": ".png",
    "page": ".html",
    "vtt": ".vtt",
    "srt": ".srt",
    "eaf": ".eaf",
    "video": ".annotated.mp4",
}
"""Form and what its file's name ends in."""
EMBED_MB = 20
"""Videos up to so many MB can be put into the page itself; they take a third more there."""


def write_timeline_files(
    folder: Path,
    timeline: VideoTimeline,
    *,
    forms: Sequence[str],
    name: str | None = None,
    least: float = SURE,
    embed: bool = False,
    renew: bool = False,
    say: Callable[[str], None] = print_line,
    advance: Callable[[int], None] | None = None,
) -> list[Path]:
    """Write a timeline for people.

    Times in the picture and on the page are the video's own. Subtitles, ELAN's file and the annotated video have a
    player's clock, which begins with the file.

    Args:
        folder: made if need be.
        forms: among `FORMS`: "picture" a PNG of lanes, "page" one HTML file that plays the video, "vtt" and "srt"
            subtitles, "eaf" a file for ELAN, "video" an annotated MP4. A page of a video that browsers do not play
            plays the annotated one, which is then written with it.
        name: the files' name without what it ends in; the video's by default.
        least: found segments with a lower score are shown by no form but the page, whose slider begins there.
        embed: put the video into the page, up to `EMBED_MB`; a larger one stays beside it, which is said.
        renew: write anew what is there already, as for what a run left that was cut off.
        say: told what was left out.
        advance: told of frames of the annotated video as they are done, in place of a bar of its own.

    Returns:
        The files, in the order of `FORMS`.

    Raises:
        UnknownNameError: a form that is not there.
        ConfigError: a file of that name is there already; nothing is written then (but see `renew`).
        VideoError: the video cannot be read; the picture alone does without it.
    """
    for form in forms:
        if form not in FORMS:
            raise UnknownNameError("form", form, FORMS)
    wanted = set(forms)
    source = Path(timeline.path)
    seen = playing(source) if wanted - {"picture"} else None
    if "page" in wanted and seen is not None and not seen.in_browser:
        wanted.add("video")
        if "video" not in forms:
            say(
                f"{source.name}: browsers do not play {seen.info.codec} in this file; the page plays an annotated MP4."
            )
    stem = name or source.stem
    paths = {form: folder / f"{stem}{ending}" for form, ending in FORMS.items() if form in wanted}
    for path in paths.values():
        if path.exists() and not renew:
            raise ConfigError(
                "this file is there already; nothing was written.", "name another folder", where=str(path)
            )
    folder.mkdir(parents=True, exist_ok=True)
    weak = sum(certainty(s) < least for s in timeline.segments)
    if weak and wanted - {"page"}:
        shown = "the page alone shows them." if "page" in wanted else "they are not shown."
        say(f"{source.name}: {weak} of {len(timeline.segments)} segments score below {least:g}; {shown}")
    for form in reversed(paths):  # the page comes after the video that it may play
        _write(form, paths[form], timeline, seen, least, embed, paths.get("video"), say, advance)
    return list(paths.values())


def _write(
    form: str,
    path: Path,
    timeline: VideoTimeline,
    seen: Playing | None,
    least: float,
    embed: bool,
    beside: Path | None,
    say: Callable[[str], None],
    advance: Callable[[int], None] | None,
) -> None:
    sure = [s for s in timeline.segments if certainty(s) >= least]
    if form == "picture":
        drawn = timelines.timeline(
            timeline.segments, timeline.truth, start=timeline.start, end=timeline.end, title=Path(timeline.path).name,
            scores=(timeline.times, timeline.scores, timeline.class_names), least=least,
        )  # fmt: skip
        plots.save(drawn, path)
        return
    assert seen is not None
    source = Path(timeline.path)
    if form in ("vtt", "srt"):
        lost = sum(subtitles.outside(s, begins=seen.begins, end=seen.info.end) for s in sure)
        if lost:
            say(f"{path.name}: {lost} segments lie outside the video and have no cue.")
    if form == "vtt":
        write_text(path, subtitles.vtt(sure, begins=seen.begins, end=seen.info.end, title=source.name))
    elif form == "srt":
        write_text(path, subtitles.srt(sure, begins=seen.begins, end=seen.info.end))
    elif form == "eaf":
        address = Path(os.path.relpath(source.resolve(), path.parent.resolve())).as_posix()
        write_text(path, elan.eaf(sure, timeline.truth, address=address, begins=seen.begins))
    elif form == "video":
        with ExitStack() as stack:
            if advance is None:
                bar = progress(f"annotating {source.name}", seen.info.frames, "frames", say)
                advance = stack.enter_context(bar)
            annotated.write_annotated(path, timeline, seen, least=least, say=say, advance=advance)
    elif form == "page":
        video = source if seen.in_browser else beside
        assert video is not None
        address = timeline_page.relative_address(video, path.parent)
        if embed:
            size = video.stat().st_size
            if size <= EMBED_MB * 1_000_000:
                address = timeline_page.data_address(video)
            else:
                say(
                    f"{video.name}: {size_words(size)}, more than the {EMBED_MB} MB that a page takes in; "
                    "it stays beside the page."
                )
        write_text(
            path, timeline_page.timeline_page(timeline, address, seen, begins=seen.begins, least=least)
        )
