"""UCF101: `classInd.txt`, `trainlist0N.txt`, `testlist0N.txt`; a clip's source is the gNN of its name.

Soomro et al., UCF101: A Dataset of 101 Human Action Classes From Videos in The Wild (arXiv 1212.0402).
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source
from marey.data.layouts.raw import RawRows
from marey.data.layouts.textfile import read_lines
from marey.data.layouts.writing import Outgoing, put_lines
from marey.data.origin import DataWarning
from marey.errors import ManifestError

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_GROUP = re.compile(r"(.*_g\d+)_c\d+")


def found(source: Source) -> str:
    if source.named(r"classInd\.txt") and source.named(r"(train|test)list\d\d\.txt"):
        return "classInd.txt and trainlist01.txt"
    return ""


def read(source: Source, how: How) -> RawRows:
    """Labels are the folders of the paths; the numbers in the training list (from 1) must agree with them."""
    rows = Gathered(source, how)
    number = how.split or 1
    classes_file = one(source, "classInd.txt")
    lists = [(split, one(source, f"{split}list{number:02d}.txt")) for split in ("train", "test")]
    classes: dict[int, str] = {}
    for line, text in read_lines(classes_file):
        index, _, name = text.partition(" ")
        if not index.isdecimal() or not name.strip():
            rows.fault(
                classes_file, line, f"{text!r} is not a number and a class.", "expected: 1 ApplyEyeMakeup"
            )
        elif int(index) != len(classes) + 1:
            rows.fault(
                classes_file,
                line,
                f"class {index} where class {len(classes) + 1} was expected: they count from 1.",
            )
        elif name.strip() in classes.values():
            rows.fault(classes_file, line, f"the class {name.strip()!r} is there twice.")
        else:
            classes[int(index)] = name.strip()
    nameless = 0
    for split, file in lists:
        for line, text in read_lines(file):
            path, _, index = text.rpartition(" ") if re.search(r" \d+$", text) else (text, "", "")
            path, label = path.strip(), PurePosixPath(text.strip()).parent.name
            if "\\" in path:
                rows.allowed(file, line, path)
            elif index and int(index) not in classes:
                rows.fault(
                    file, line, f"class {index}, where {rows.name(classes_file)} has 1 to {len(classes)}."
                )
            elif index and classes[int(index)] != label:
                rows.fault(
                    file, line, f"class {index} is {classes[int(index)]!r}, but the video lies in {label!r}."
                )
            elif not label:
                rows.fault(file, line, f"{text!r} has no folder, which would be its class.")
            else:
                source_clip = _GROUP.fullmatch(PurePosixPath(path).stem)
                nameless += source_clip is None
                rows.add(file, line, path, label, split=split, group=source_clip[1] if source_clip else None)
    if nameless:
        warnings.warn(
            f"{source.path}: {nameless} names have no _gNN_cNN, so that their source is not known; each is a group"
            " of its own.",
            DataWarning,
            stacklevel=4,
        )
    return rows.done(f"UCF101, split {number}", class_names=tuple(classes.values()), multi_label=False)


def one(source: Source, name: str) -> Path:
    """The file of this name.

    Raises:
        ManifestError: it is not there, or there twice.
    """
    files = source.named(re.escape(name))
    if len(files) == 1:
        return files[0]
    if files:
        what = f"{name} is there {len(files)} times: {', '.join(str(f.relative_to(source.folder)) for f in files)}."
        raise ManifestError(what, "keep one, or name its folder", where=str(source.path))
    beside = ", ".join(f.name for f in source.files[:12]) or "no annotation files"
    raise ManifestError(f"{name} is not there.", f"found: {beside}", where=str(source.path))


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    going = Outgoing(manifest, how, "UCF101", splits=("train", "test"), needs_split=True, group=True)
    going.refuse_spaces()
    number = how.split or 1
    for row in going.rows():
        path = PurePosixPath(row["path"])
        group = _GROUP.fullmatch(path.stem)
        if path.parent.name != row["label"]:
            going.refuse(
                row, f"the class is the video's folder, and {row['path']!r} does not lie in {row['label']!r}."
            )
        if row["group"] is not None and (group is None or group[1] != row["group"]):
            going.refuse(
                row,
                f"the group is told by the name (…_gNN_cNN), and {path.name!r} does not say {row['group']!r}.",
            )
    order = {name: index for index, name in enumerate(going.class_names, start=1)}
    parts = going.by_split()
    return [
        put_lines(out / "classInd.txt", (f"{index} {name}" for name, index in order.items())),
        put_lines(
            out / f"trainlist{number:02d}.txt",
            (f"{r['path']} {order[r['label']]}" for r in parts.get("train", [])),
        ),
        put_lines(out / f"testlist{number:02d}.txt", (r["path"] for r in parts.get("test", []))),
    ]


LAYOUT = Layout(
    "ucf101",
    "UCF101",
    "classInd.txt with trainlist0N.txt, testlist0N.txt",
    found,
    read,
    write,
    takes=("split",),
)
