"""Something-Something v2: `train.json`, `validation.json`, `labels.json`; a class is a template, videos have ids.

Goyal et al., The "something something" video database (arXiv 1706.04261). The placeholders are kept as columns.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from marey.data.layouts.classes import numbered
from marey.data.layouts.gather import Gathered
from marey.data.layouts.jsonfile import JsonFile
from marey.data.layouts.layout import How, Layout, Source, split_of
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.textfile import read_lines
from marey.data.layouts.ucf101 import one
from marey.data.layouts.writing import Outgoing, put, put_csv
from marey.errors import did_you_mean

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_PREFIX = r"(something-something-v2-)?"
_MORE = ("sentence", "template", "placeholders")


def _lists(source: Source) -> list[Path]:
    return [
        file
        for file in source.named(_PREFIX + r"(train|validation|val|test)\.json")
        if re.match(r'\s*\[\s*\{[^{}]*"id"\s*:', source.head(file))
    ]


def found(source: Source) -> str:
    lists = _lists(source)
    if lists and source.named(_PREFIX + r"labels\.json"):
        return f"{lists[-1].name} and labels.json"
    return ""


def read(source: Source, how: How) -> RawRows:
    """Videos of the test list take their class from `test-answers.csv`; without it they are left out, and said."""
    rows = Gathered(source, how)
    stems = Stems(rows)
    file = source.named(_PREFIX + r"labels\.json")[0]
    if len(source.named(_PREFIX + r"labels\.json")) > 1:
        one(source, file.name)
    classes = numbered(JsonFile(file).value, rows.name(file))
    answers = _answers(source, rows)
    unlabelled = 0
    for listed in _lists(source):
        split = split_of(listed.name)
        for member in JsonFile(listed).members():
            entry = member.value if isinstance(member.value, dict) else {}
            ident = str(entry.get("id") or "")
            template = str(entry.get("template") or "")
            if not ident:
                rows.fault(listed, member.line, "an entry without an id.")
                continue
            label = template.replace("[", "").replace("]", "") or answers.get(ident, "")
            if not label:
                unlabelled += 1
                continue
            if label not in classes:
                rows.fault(
                    listed, member.line,
                    f"video {ident}: {label!r} is not a class of {rows.name(file)}.{did_you_mean(label, classes)}",
                )  # fmt: skip
                continue
            more: dict[str, Any] = {
                "sentence": entry.get("label"),
                "template": template or None,
                "placeholders": json.dumps(entry["placeholders"], ensure_ascii=False)
                if "placeholders" in entry
                else None,
            }
            rows.add(
                listed,
                member.line,
                stems.find(listed, member.line, ident, ".webm"),
                label,
                split=split,
                **more,
            )
    said = "Something-Something v2" + (
        f" ({unlabelled:,} videos without a label are left out)" if unlabelled else ""
    )
    return rows.done(said, class_names=classes, multi_label=False, root=stems.root)


def _answers(source: Source, rows: Gathered) -> dict[str, str]:
    answers: dict[str, str] = {}
    for file in source.named(_PREFIX + r"test-answers\.csv"):
        for line, text in read_lines(file):
            ident, _, label = text.partition(";")
            if not label:
                rows.fault(file, line, f"{text!r} is not an id and a label.", "expected: id;label")
            answers[ident.strip()] = label.strip()
    return answers


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    going = Outgoing(
        manifest, how, "Something-Something v2", splits=("train", "val", "test"), needs_split=True, more=_MORE
    )
    numbers = {name: str(index) for index, name in enumerate(going.class_names)}
    files = [put(out / "labels.json", _json(numbers))]
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        entries, answers = [], []
        for row in going.by_split().get(split, []):
            ident = PurePosixPath(row["path"]).stem
            label, template = row["label"], row.get("template") or row["label"]
            if template.replace("[", "").replace("]", "") != label:
                going.refuse(row, f"the template {template!r} does not give the class {label!r}.")
            if split == "test":
                entries.append({"id": ident})
                answers.append((ident, label))
                continue
            entry: dict[str, Any] = {"id": ident, "label": row.get("sentence") or label, "template": template}
            entry["placeholders"] = json.loads(row.get("placeholders") or "[]")
            entries.append(entry)
        if entries:
            files.append(put(out / f"{name}.json", _json(entries)))
        if answers:
            files.append(put_csv(out / "test-answers.csv", answers, delimiter=";"))
    return files


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


LAYOUT = Layout(
    "something", "Something-Something v2", "labels.json with train.json, validation.json", found, read, write
)
