"""A data set of real encoded videos in which every kind of fault is planted once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from marey.types import UInt8Array
from marey.video.synthetic import render_motion, write_video
from tests.video.encoded import encode

_CIPHER = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "00112233445566778899aabbccddeeff",
    "encryption_kid": "ffeeddccbbaa99887766554433221100",
}


def moving(number: int, label: str = "left") -> UInt8Array:
    """A clip that no other number gives."""
    return render_motion(label, np.random.default_rng([11, number]), size=96, frames=24, fps=12.0).frames


def plant(folder: Path) -> dict[str, str]:
    """Write the videos and `m.csv`; gives the file, or "" for what concerns the whole, of each kind of fault."""
    rows: list[tuple[str, str, str, str, str, str]] = []

    def add(name: str, label: str, split: str, start: str = "", end: str = "", group: str = "") -> None:
        rows.append((name, label, start, end, split, group or f"of {name}"))

    for number in range(12):  # nothing is wrong with these
        name = f"sound{number:02d}.mp4"
        write_video(folder / name, moving(number), fps=12.0)
        add(name, ("turn left", "turn right")[number % 2], "train" if number < 8 else "test")

    add("missing.mp4", "turn left", "train")

    (folder / "text.mp4").write_text("not a video\n" * 99)
    add("text.mp4", "turn left", "train")

    encode(folder / "cipher.mp4", frames=moving(20), mux=_CIPHER)
    add("cipher.mp4", "turn left", "train")

    whole = encode(folder / "cut.mkv", frames=moving(21)).read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: int(0.7 * len(whole))])
    add("cut.mkv", "turn left", "train")

    lying = bytearray(encode(folder / "count.avi", "mpeg4", frames=moving(22)).read_bytes())
    length = lying.index(b"strh") + 8 + 32  # dwLength of the stream's header
    assert int.from_bytes(lying[length : length + 4], "little") == 24
    lying[length : length + 4] = (31).to_bytes(4, "little")
    (folder / "count.avi").write_bytes(lying)
    add("count.avi", "turn left", "train")

    write_video(folder / "black.mp4", np.zeros((20, 96, 96, 3), np.uint8), fps=12.0)
    add("black.mp4", "turn left", "train")

    write_video(folder / "frozen.mp4", moving(23)[:1].repeat(20, axis=0), fps=12.0)
    add("frozen.mp4", "turn left", "train")

    write_video(folder / "picture.mp4", moving(24)[:1], fps=12.0)
    add("picture.mp4", "turn left", "train")

    write_video(folder / "outside.mp4", moving(25), fps=12.0)
    add("outside.mp4", "turn left", "train", "0.5", "1.5")
    add("outside.mp4", "turn left", "train", "1.5", "9")

    (folder / "twice.mp4").write_bytes((folder / "sound01.mp4").read_bytes())
    add("twice.mp4", "turn right", "train")

    copied = moving(9)[2:22, 4:92, 8:]  # of sound09, which is a test sample: trimmed, cropped, faster, dimmer
    write_video(folder / "copied.mp4", (copied * 0.9).astype(np.uint8), fps=15.0, options={"crf": "30"})
    add("copied.mp4", "turn right", "train")

    for number, split in ((26, "train"), (27, "test")):
        write_video(folder / f"grouped{number}.mp4", moving(number), fps=12.0)
        add(f"grouped{number}.mp4", "turn right", split, group="camera 1")

    write_video(folder / "rare.mp4", moving(28), fps=12.0)
    add("rare.mp4", "wave", "train")

    write_video(folder / "uneven.mkv", moving(29), times=np.cumsum(np.r_[0, 0.1, 0.05, np.full(21, 0.1)]))
    add("uneven.mkv", "turn right", "test")
    encode(folder / "turned.mp4", frames=moving(30), rotate=90)
    add("turned.mp4", "turn right", "test")

    lines = ["path,label,start,end,split,group", *(",".join(row) for row in rows)]
    (folder / "m.csv").write_text("\n".join(lines) + "\n")
    return {
        "missing": "missing.mp4",
        "no video": "text.mp4",
        "encrypted": "cipher.mp4",
        "truncated": "cut.mkv",
        "wrong count": "count.avi",
        "black": "black.mp4",
        "frozen": "frozen.mp4",
        "too short": "picture.mp4",
        "outside": "outside.mp4",
        "duplicate": "twice.mp4",
        "copy across splits": "copied.mp4",
        "group across splits": "grouped27.mp4",
        "class missing": "",
        "direction": "sound00.mp4",
        "imbalance": "",
        "variable rate": "uneven.mkv",
        "rotation": "turned.mp4",
    }
