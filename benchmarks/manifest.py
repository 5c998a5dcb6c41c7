"""A manifest of a million rows: CPU seconds and the peak of memory, beside two plain ways of reading the same file.

    python benchmarks/manifest.py [--rows 1000000] [--repeats 3]

Each way runs in a process of its own, in turns; the figures are medians. The peak is that of the whole process,
with the interpreter and all imports; the time is that of reading alone, on all threads. `csv.DictReader` keeps every
row as a dictionary and Arrow's reader every cell as text; neither checks anything. marey's manifest is checked:
one spelling a path, labels, times, splits, rows of the same sample, slips of the pen in class names.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WAYS = {
    "marey": "from marey.data.manifest import Manifest\ndef read(path): return Manifest.read(path, files=False)",
    "pyarrow.csv": "import pyarrow.csv\nread = pyarrow.csv.read_csv",
    "csv.DictReader": "import csv\ndef read(path): return list(csv.DictReader(open(path, newline='')))",
}
MEASURE = """
import re, sys, time
from pathlib import Path
began = time.process_time()
rows = read(sys.argv[1])
seconds = time.process_time() - began
# not ru_maxrss, which a process has from the one that started it
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(len(rows), seconds, int(peak[1]) / 1024)
"""


def write(path: Path, rows: int) -> None:
    """400 classes, one video in ten for validation, ten videos a group."""
    with path.open("w") as file:
        file.write("path,label,start,end,split,group\n")
        for i in range(rows):
            kind, split = f"class_{i % 400:03d}", "train" if i % 10 else "val"
            file.write(f"videos/{kind}/video_{i:07d}.mp4,{kind},,,{split},g{i // 10}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "manifest.csv"
        write(path, args.rows)
        size = path.stat().st_size / 2**20
        for _ in range(args.repeats):
            for name, way in WAYS.items():
                command = [sys.executable, "-c", way + MEASURE, str(path)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                rows, seconds, peak = done.stdout.split()
                assert int(rows) == args.rows
                figures[name].append((float(seconds), float(peak)))
    print(f"{args.rows:,} rows, {size:.0f} MiB; median of {args.repeats}\n")
    print(f"{'':16s}{'CPU s':>8s}{'peak MiB':>10s}")
    first = statistics.median(seconds for seconds, _ in figures["marey"])
    for name, found in figures.items():
        seconds, peak = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{name:16s}{seconds:8.2f}{peak:10.0f}   {seconds / first:.2f}× marey's time")


if __name__ == "__main__":
    main()
