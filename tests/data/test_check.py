"""The check finds what is planted, invents nothing, goes on where it was broken off, and touches no video."""

from __future__ import annotations

import csv
import hashlib
import json

import pytest
from rich.console import Console

from marey.cli.main import main
from marey.data.check import check_data, check_folder, format_check, kept, quarantine, read
from marey.data.check.kinds import KINDS
from marey.data.manifest import Manifest
from marey.errors import ConfigError, ManifestError
from marey.jobs.pack import PackConfig, pack
from marey.video.sampling import parse_sampler
from marey.video.synthetic import write_video
from tests.data.planted import moving, plant
from tests.shared import SHARED, needs_shared


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    return folder, plant(folder)


@pytest.fixture(scope="module")
def checked(planted, tmp_path_factory):
    folder, _ = planted
    out = tmp_path_factory.mktemp("check")
    return check_data(folder / "m.csv", out, full=True, flip_map=(), workers=2), out


def shown(check, width):
    console = Console(width=width)
    with console.capture() as captured:
        console.print(format_check(check))
    return captured.get()


def test_all_that_is_planted_is_found_and_nothing_else(planted, checked):
    check, out = checked
    found = {}
    for finding in check.findings:
        found.setdefault(finding.kind, set()).add(finding.path)
    expected = {kind: {path} for kind, path in planted[1].items()}
    expected["direction"] = {"sound00.mp4", "sound01.mp4"}
    assert found == expected
    assert sum(kind.fault for kind in KINDS if kind.name in found) >= 12
    assert not check.sound
    held = json.loads((out / "check.json").read_text())
    assert held["counts"]["truncated"] == 1
    assert {finding["where"] for finding in held["findings"] if finding["kind"] == "outside"} == {
        "m.csv line 23"
    }
    assert all(finding["got"] and finding["do"] for finding in held["findings"])


@pytest.mark.parametrize("width", [80, 120])
def test_one_table_that_says_what_where_and_what_to_do(checked, width):
    text = shown(checked[0], width)
    assert max(map(len, text.splitlines())) <= width
    flat = " ".join(text.split())
    for part in (
        "29 samples in 28 videos, 3 classes",
        "m.csv line 14",
        "31 frames",
        "copied.mp4",
        "group 'camera 1' is on both sides",
        "test has no sample of 'wave'",
        "Decrypt it first",
        "15 faults",
    ):
        assert part in flat


def test_a_check_made_again_looks_at_what_changed_alone(planted, checked, monkeypatch):
    folder, _ = planted
    looked = []
    first = kept._look_once
    monkeypatch.setattr(kept, "_look_once", lambda path, *rest: looked.append(path) or first(path, *rest))
    again = check_data(folder / "m.csv", checked[1], full=True, flip_map=(), workers=1)
    assert looked == [str(folder / "missing.mp4")]
    assert again.to_dict() == checked[0].to_dict()
    (checked[1] / "seen" / "files.json").write_text("{")  # broken off while it was written
    again = check_data(folder / "m.csv", checked[1], full=True, flip_map=(), workers=1)
    assert again.to_dict() == checked[0].to_dict()


def test_quarantine_writes_a_clean_manifest_and_the_reasons(planted, checked, tmp_path):
    folder, _ = planted
    before = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    kept_rows, left = quarantine(checked[0], tmp_path / "q")
    assert (kept_rows, left) == (18, 11)
    clean = Manifest.read(tmp_path / "q")
    assert len(clean) == 18
    assert {clean.sample(row).path for row in range(len(clean))} >= {str(folder / "sound01.mp4")}
    reasons = list(csv.DictReader((tmp_path / "q" / "left_out.csv").open()))
    assert len({reason["where"] for reason in reasons}) == 11
    assert {reason["finding"] for reason in reasons} <= {kind.name for kind in KINDS if kind.unfit}
    assert before == {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    with pytest.raises(ConfigError, match="there already"):
        quarantine(checked[0], tmp_path / "q")


def test_what_is_too_short_depends_on_the_sampler(clips, tmp_path):
    assert check_data(clips, tmp_path, workers=1).sound
    found = check_data(clips, tmp_path, sampler=parse_sampler("uniform:16"), workers=1).faults
    assert {finding.path for finding in found} == {
        f"{number:02d}.mp4" for number in range(7)
    }  # 9 to 15 frames
    assert "9 frames in 0.75 s" in found[0].got


def test_folders_of_videos_and_patterns_need_no_labels(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a.mp4", moving(1), fps=12.0)
    write_video(tmp_path / "b.mp4", moving(2), fps=12.0)
    for data in (str(tmp_path), str(tmp_path / "*.mp4"), str(tmp_path / "a.mp4")):
        manifest, labelled = read(data)
        assert not labelled
        assert len(manifest) == (1 if data.endswith("a.mp4") else 2)
    assert main(["data", "check", str(tmp_path), "--workers", "1"]) == 0
    assert "without labels" in capsys.readouterr().out
    (tmp_path / "c.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    assert main(["data", "check", str(tmp_path), "--workers", "1"]) == 1
    assert "the same bytes as a.mp4" in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "runs" / "check").iterdir()] == [tmp_path.name]
    with pytest.raises(ManifestError, match="no file fits"):
        read(str(tmp_path / "*.avi"))


def test_a_folder_of_another_check_is_left_alone(tmp_path):
    first = check_folder(tmp_path / "x" / "clips.csv", out=tmp_path / "runs")
    assert check_folder(tmp_path / "x" / "clips.csv", out=tmp_path / "runs") == first
    assert check_folder(tmp_path / "y" / "clips.csv", out=tmp_path / "runs").name == "clips-2"


@needs_shared
def test_real_videos_of_every_awkward_kind(tmp_path):
    """Held against what ffprobe and a full decode by another FFmpeg say of them."""
    facts = list(csv.DictReader((SHARED / "videos" / "FACTS.csv").open()))
    check = check_data(SHARED / "videos", tmp_path, full=True, workers=2)
    broken = {
        f["file"] for f in facts if f["frames_decoded"] in ("", "0") or f["decode_errors"] not in ("", "0")
    }
    still = {"torchcodec/testsrc2_mpeg4.mp4", "decord/unordered.mov"}  # one black picture; four white ones
    short = {f["file"] for f in facts if f["frames_decoded"] == "1"}
    assert {finding.path for finding in check.faults} == broken | still | short
    turned = {f["file"] for f in facts if f["rotation"]}
    assert {finding.path for finding in check.findings if finding.kind == "rotation"} == turned
    copies = {finding.path for finding in check.findings if finding.kind == "copy"}
    assert all("testsrc2" in path or "bt" in path or "bits" in path or "nasa" in path for path in copies)


@pytest.mark.parametrize("form", ["shards", "mp4", "tar"])
def test_a_pack_is_checked_as_its_videos_are(tmp_path, form):
    """Videos inside a pack are files like others: nothing is missing, copies are found, and damage with `full`."""
    for number in range(3):
        write_video(tmp_path / f"{number}.mp4", moving(number), fps=12.0)
    write_video(tmp_path / "copy.mp4", moving(1), fps=12.0, options={"crf": "33"})
    rows = ["0.mp4,x,train", "1.mp4,x,train", "2.mp4,y,train", "copy.mp4,y,test"]
    (tmp_path / "m.csv").write_text("path,label,split\n" + "\n".join(rows) + "\n")
    out = tmp_path / "pack"
    pack(
        PackConfig(data=str(tmp_path / "m.csv"), out=str(out), form=form, size=64, workers=1),
        say=lambda _: None,
    )
    made = check_data(out, tmp_path / "check", full=True, workers=1)
    assert [f.kind for f in made.findings if f.kind != "class missing"] == ["copy across splits"]
    if form == "tar":
        addressed = Manifest.read(out / "manifest.csv", root=f"file://{out}")
        again = check_data(addressed, tmp_path / "again", full=True, workers=1)
        assert [f.kind for f in again.findings] == [f.kind for f in made.findings]
        twice = pack(
            PackConfig(data=str(out), out=str(tmp_path / "of it"), size=32, workers=1), say=lambda _: None
        )
        assert (twice.written, twice.failures) == (4, ())
    (file,) = (out / "shards").iterdir() if form != "mp4" else (next((out / "videos").iterdir()),)
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 255
    file.write_bytes(data)
    if form == "shards":
        damaged = check_data(out, tmp_path / "check", full=True, workers=1)
        assert "is damaged" in next(f for f in damaged.findings if f.kind == "unreadable").got
