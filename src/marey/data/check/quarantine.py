"""A clean manifest beside a dirty one: what is unfit is left out and listed. No video is touched."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from marey.data.check.check import Check
from marey.data.check.kinds import BY_NAME, Finding
from marey.errors import ConfigError, DataError
from marey.files import write_text

CLEAN, LEFT_OUT = "manifest.csv", "left_out.csv"


def quarantine(check: Check, folder: str | Path) -> tuple[int, int]:
    """Write `manifest.csv` without the samples that are unfit, and `left_out.csv` with the reasons.

    Returns:
        How many samples were kept, and how many left out.

    Raises:
        ConfigError: one of the two is there already, or what was checked has no labels.
        DataError: no sample is fit.
    """
    folder = Path(folder)
    for name in (CLEAN, LEFT_OUT):
        if (folder / name).exists():
            raise ConfigError(
                "this file is there already; nothing was written.", "name another folder with --quarantine",
                where=str(folder / name),
            )  # fmt: skip
    if not check.labelled:
        raise ConfigError(
            "videos without labels make no manifest.", "check a manifest, or folders named after their class"
        )
    why: dict[int, list[Finding]] = {}
    for finding in check.findings:
        if BY_NAME[finding.kind].unfit:
            for row in finding.rows:
                why.setdefault(row, []).append(finding)
    manifest = check.manifest
    kept = np.array([row for row in range(len(manifest)) if row not in why], dtype=np.int64)
    if not len(kept):
        raise DataError("no sample is fit; nothing was written.", where=manifest.origin.name)
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("where", "path", "label", "start", "end", "split", "finding", "got", "do"))
    for row, findings in sorted(why.items()):
        sample = manifest.sample(row)
        cells = ["" if cell is None else cell for cell in (sample.start, sample.end, sample.split)]
        for finding in findings:
            writer.writerow(
                (
                    sample.where,
                    sample.path,
                    "|".join(sample.labels),
                    *cells,
                    finding.kind,
                    finding.got,
                    finding.do,
                )
            )
    write_text(folder / LEFT_OUT, text.getvalue())
    manifest.select(kept).write(folder / CLEAN)
    return len(kept), len(why)
