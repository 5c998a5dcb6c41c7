"""The video of an annotation tool, which writes down where it lay on the annotator's machine."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from marey.data.layouts.gather import Gathered, leaves
from marey.data.layouts.stems import Stems


def find_media(rows: Gathered, stems: Stems, file: Path, line: int, written: str) -> str:
    """The path of the video that is meant: the one written, where it leads to a file from the videos' folder, else
    the one video of that file name below it. Of URLs and of paths of other machines the name alone counts.

    A fault where several videos have the name; where none has, the name, which the manifest then finds missing.
    """
    spellings = [written.strip(), unquote(written.strip())]
    if "://" in written or "?d=" in written:
        address = urlsplit(written.strip())
        local = parse_qs(address.query).get("d")
        spellings = [local[0] if local else unquote(address.path)]
    found: list[str] = []
    for plain in spellings:
        inside = posixpath.normpath(plain.replace("\\", "/"))
        if not leaves(inside) and not re.match(r"[A-Za-z]:/", inside) and (stems.root / inside).is_file():
            return inside
        name = posixpath.basename(inside)
        upload = re.fullmatch(
            r"[0-9a-f]{8}-(.+)", name
        )  # Label Studio puts eight figures before what is uploaded
        found = found or stems.called(name) or (stems.called(upload[1]) if upload else [])
    if name in ("", ".", ".."):
        rows.fault(file, line, f"{written!r} names no video.")
        return "_"
    if len(found) > 1:
        rows.fault(
            file, line, f"{len(found)} videos are called {name!r}: {', '.join(found[:3])}.",
            "say which folder is meant: --root FOLDER",
        )  # fmt: skip
    return found[0] if found else name
