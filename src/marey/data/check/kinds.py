"""What can be wrong with data, each kind in one line: its name, whether it is a fault, and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        name: as it stands in the table and in `check.json`.
        fault: whether it makes the data wrong. A note is worth knowing and leaves the exit code alone.
        unfit: whether a sample that has it is left out of a clean manifest.
        do: what to do, in one sentence.
    """

    name: str
    fault: bool
    unfit: bool
    do: str


_OUT = "Mend or replace the file, or leave it out (--quarantine)."
KINDS: tuple[Kind, ...] = (
    Kind("missing", True, True, "Put the file there, or name its folder with --root."),
    Kind("no video", True, True, "This is no video, or its header is lost: " + _OUT[0].lower() + _OUT[1:]),
    Kind("encrypted", True, True, "Decrypt it first, or leave it out (--quarantine)."),
    Kind("unreadable", True, True, _OUT),
    Kind("truncated", True, True, "Copy the file again, or leave it out (--quarantine)."),
    Kind("wrong count", True, True, "Remux it (ffmpeg -i IN -c copy OUT); tools that trust the header go astray."),
    Kind("black", True, True, "Nothing is to be seen: leave it out (--quarantine)."),
    Kind("frozen", True, True, "Nothing moves: leave it out (--quarantine), or keep it as a still on purpose."),
    Kind("too short", True, True, "Choose a sampler that asks for fewer frames, or leave it out (--quarantine)."),
    Kind("outside", True, True, "Mend start and end: seconds on the video's own clock."),
    Kind("duplicate", True, True, "The same bytes twice: keep one."),
    Kind("copy across splits", True, True, "The same footage trains and judges: give both one split, or drop one."),
    Kind("group across splits", True, False, "Make the split anew: marey data split --replace."),
    Kind("class missing", True, False, "Make the split anew, or find samples: what is not there is not judged."),
    Kind("direction", True, False, "Name pairs (--flip-map left=right, or auto), or train without --flip."),
    Kind("copy", False, False, "The same footage: give both one group (marey data split --group-from auto)."),
    Kind("imbalance", False, False, "Train with class weights; judge by balanced accuracy."),
    Kind("variable rate", False, False, "Nothing: times are each frame's own. Other tools may drift."),
    Kind("rotation", False, False, "Nothing: frames are turned upright. Other tools may not."),
)  # fmt: skip
BY_NAME = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        kind: a name of `KINDS`.
        where: the sample's place: "fight.csv line 14"; the manifest's name for what concerns all of it.
        path: the file as the manifest writes it, or "".
        got: what was found.
        rows: the rows of the manifest that it concerns, from 0.
    """

    kind: str
    where: str
    path: str
    got: str
    rows: tuple[int, ...] = ()

    @property
    def fault(self) -> bool:
        return BY_NAME[self.kind].fault

    @property
    def do(self) -> str:
        return BY_NAME[self.kind].do

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "rows": list(self.rows), "fault": self.fault, "do": self.do}
