"""AVA: `video_id,timestamp,x1,y1,x2,y2,action_id,person_id` without a header. Boxes are passed over: a second of the
video has every action that somebody in it has.

Gu et al., AVA: A Video Dataset of Spatio-temporally Localized Atomic Visual Actions (CVPR 2018).
"""

from __future__ import annotations

import re
from pathlib import Path

from marey.data.layouts.classes import read_classes
from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source, split_of
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.textfile import read_lines, read_text
from marey.errors import ManifestError

_NUMBER = r"-?\d+(?:\.\d+)?"
_ROW = re.compile(
    rf"([^,]+),({_NUMBER}),(?:{_NUMBER}),(?:{_NUMBER}),(?:{_NUMBER}),(?:{_NUMBER}),(\d*),?(-?\d*)"
)
_LIST = r"ava_action_list.*\.pbtxt"
_EXCLUDED = r"ava_.*excluded_timestamps.*\.csv"


def _files(source: Source) -> list[Path]:
    return [
        file
        for file in source.ending(".csv")
        if (lines := source.head_lines(file)) and all(_ROW.fullmatch(line.strip()) for line in lines)
    ]


def found(source: Source) -> str:
    files = _files(source)
    return f"the boxes and actions of {files[0].name}" if files else ""


def read(source: Source, how: How) -> RawRows:
    """A row is one second around a labelled instant (AVA labels one a second), with all its actions; the group is
    the video. Instants of the excluded lists are left out. Times are those of the whole film, not of a cut."""
    rows = Gathered(source, how)
    stems = Stems(rows)
    names = _names(source, how)
    excluded = {
        tuple(text.split(",")[:2])
        for file in source.named(_EXCLUDED)
        for _, text in read_lines(file)
    }  # fmt: skip
    skipped = {(video, float(time)) for video, time in excluded}
    seconds: dict[tuple[Path, str, float], tuple[int, dict[int, int]]] = {}
    left = 0
    for file in _files(source):
        for line, text in read_lines(file):
            row = _ROW.fullmatch(text)
            if row is None:
                rows.fault(file, line, f"{text[:80]!r} is not id, second, box, action and person.")
            elif (row[1], float(row[2])) in skipped or not row[3]:
                left += 1
            elif names and int(row[3]) not in names:
                rows.fault(file, line, f"action {row[3]} is not one of the {len(names)} listed.")
            else:
                _, actions = seconds.setdefault((file, row[1], float(row[2])), (line, {}))
                actions.setdefault(int(row[3]), line)
    for (file, video, time), (line, actions) in seconds.items():
        path = stems.find(file, line, video)
        for action in actions:
            rows.add(
                file, line, path, names.get(action, str(action)), start=max(0.0, time - 0.5), end=time + 0.5,
                split=split_of(file.name), group=video,
            )  # fmt: skip
    said = "AVA, actions by second" + (f" ({left:,} rows excluded or without an action)" if left else "")
    used = sorted({action for _, actions in seconds.values() for action in actions})
    classes = list(names.values()) if names else [str(action) for action in used]
    return rows.done(said, class_names=classes, multi_label=True, root=stems.root)


def _names(source: Source, how: How) -> dict[int, str]:
    """Names of actions by number, from `ava_action_list*.pbtxt`; {} without it."""
    if how.classes and how.classes.suffix != ".pbtxt":
        return dict(enumerate(read_classes(how.classes), start=1))
    files = [how.classes] if how.classes else source.named(_LIST)
    if len(files) > 1:
        raise ManifestError(
            f"the actions could be those of {' or '.join(f.name for f in files)}.", "say which: --classes FILE",
            where=str(source.path),
        )  # fmt: skip
    if not files:
        return {}
    names: dict[int, str] = {}
    for block in re.findall(r"\{([^{}]*)\}", read_text(files[0])):
        name = re.search(r'name\s*:\s*"([^"]*)"', block)
        number = re.search(r"\b(?:label_)?id\s*:\s*(\d+)", block)
        if name is None or number is None or int(number[1]) in names:
            raise ManifestError(
                f"{' '.join(block.split())!r} has no name or no number of its own.", where=files[0].name
            )
        names[int(number[1])] = name[1]
    return names


LAYOUT = Layout(
    "ava",
    "AVA (actions by second)",
    "csv files of id, second, box, action, person",
    found,
    read,
    takes=("classes",),
)
