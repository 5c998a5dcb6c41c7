"""A timeline in every form, from a real video: what a browser, ELAN and a person get."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from marey.data.exchange import import_layout
from marey.data.layouts.layout import How
from marey.errors import ConfigError, UnknownNameError, VideoNotFoundError
from marey.report import lanes, timeline_page
from marey.report.timeline_files import FORMS, write_timeline_files
from marey.types import Segment, VideoTimeline
from marey.video import open_video
from tests.data.layouts.samples import quietly
from tests.report.test_html import Page
from tests.video.encoded import encode

EVIL = '</script><script>alert("1")</script>'
FOUND = (
    Segment(0.2, 1.0, "take", 0.9),
    Segment(0.5, 1.4, "take", 0.6),
    Segment(0.6, 1.2, EVIL, 0.8),
    Segment(1.0, 1.5, "take", 0.05),
)
TRUE = (Segment(0.25, 1.1, "take"), Segment(0.7, 1.3, EVIL))


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ä #1 50%")
    return encode(folder / "kitchen a&b?é.mp4", count=40, width=64, height=48)


def timeline(video: Path, shift: float = 0.0, **changes) -> VideoTimeline:
    with open_video(video) as reader:
        start, end = reader.info.start, reader.info.end
    times = np.arange(start, end, 0.1)
    scores = np.stack([np.clip(np.sin(times), 0, 1), np.clip(np.cos(times), 0, 1)], axis=1)

    def moved(segments):
        return tuple(replace(s, start=s.start + shift, end=s.end + shift) for s in segments)

    made = VideoTimeline(
        str(video),
        start,
        end,
        moved(FOUND),
        ("take", EVIL),
        times,
        scores.astype(np.float32),
        moved(TRUE),
        "by hand",
    )
    return replace(made, **changes)


def write(folder: Path, made: VideoTimeline, *forms: str, **options) -> tuple[dict[str, Path], list[str]]:
    said: list[str] = []
    paths = write_timeline_files(
        folder, made, forms=forms, say=said.append, advance=lambda n: None, **options
    )
    assert sorted(folder.iterdir()) == sorted({*paths, *folder.iterdir()})
    return {next(f for f, end in FORMS.items() if p.name.endswith(end)): p for p in paths}, said


def page(path: Path) -> tuple[Page, str]:
    """The page as a browser gets it: nothing runs but the script that its policy names."""
    text = path.read_text(encoding="utf-8")
    parsed = Page(text)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 1
    assert parsed.tags.count("script") == 2  # and the data, which is no script
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "://" not in text
    assert "alert" not in re.sub(r"&lt;/?script&gt;|alert\(&quot;1&quot;\)", "", text)
    assert len(parsed.ids) == len(set(parsed.ids))
    return parsed, text


def address(text: str) -> str:
    return re.search(r'<video src="([^"]*)"', text)[1].replace("&amp;", "&")


def test_every_form_is_written_and_named_after_the_video(video, tmp_path):
    paths, said = write(tmp_path, timeline(video), *FORMS)
    assert [p.name.removeprefix(video.stem) for p in paths.values()] == list(FORMS.values())
    assert said == [f"{video.name}: 1 of 4 segments score below 0.15; the page alone shows them."]
    assert Image.open(paths["picture"]).width > 1000
    with open_video(paths["video"]) as made, open_video(video) as source:
        np.testing.assert_allclose(made.times, source.times, atol=1e-9)
        picture = made.frames_at([0.8]).frames[0].astype(int)
        quiet = made.frames_at([0.1]).frames[0].astype(int)
    assert (
        np.abs(picture[10:40, 10:60] - quiet[10:40, 10:60]).mean() > 20
    )  # what runs is named, and only then
    strip = picture[480:]
    assert (strip.max(axis=2) > 200).sum() > 20  # the playhead
    redder = (strip[..., 0] - strip[..., 2] > 60).sum()
    bluer = (strip[..., 2] - strip[..., 0] > 40).sum()
    assert min(redder, bluer) > 100  # found and annotated
    with pytest.raises(ConfigError, match="there already; nothing was written"):
        write(tmp_path, timeline(video), "vtt")
    write(tmp_path, timeline(video), "vtt", renew=True)


def test_the_page_plays_the_video_and_has_every_segment(video, tmp_path):
    (tmp_path / "out").mkdir()
    paths, _ = write(tmp_path / "out", timeline(video), "page", name="other")
    parsed, text = page(paths["page"])
    assert paths["page"].name == "other.html"
    assert (paths["page"].parent / unquote(address(text))).resolve() == video.resolve()
    assert not set("#? %") & set(re.sub(r"%[0-9A-F]{2}", "", address(text)))
    rows = re.findall(
        r'<tr class="go" data-start="([\d.]+)" data-end="([\d.]+)"(?: data-score="([\d.]+)")?', text
    )
    assert [float(row[0]) for row in rows] == sorted(s.start for s in (*FOUND, *TRUE))
    assert [float(row[2]) for row in rows if row[2]] == [0.9, 0.6, 0.8, 0.05]
    assert text.count('<div class="seg found"') == 4
    assert text.count('<div class="seg true"') == 2
    assert text.count("<path d=") == 2
    assert parsed.text.count(EVIL) == 3  # its lane, its two rows
    about = json.loads(re.search(r'id="about">(.*?)</script>', text)[1])
    assert (about["begins"], about["until"]) == (0.0, 1.6)
    assert "own clock begins at" not in parsed.text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser is installed")
def test_the_script_runs_in_a_browser(video, tmp_path):
    paths, _ = write(tmp_path, timeline(video), "page")
    flags = (
        "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync "
        f"--user-data-dir={tmp_path / 'profile'} --virtual-time-budget=3000 --dump-dom"
    )
    done = subprocess.run(
        ["chromium", *flags.split(), paths["page"].as_uri()], capture_output=True, text=True, timeout=60
    )
    assert '<span id="shown">3 of 4 segments</span>' in done.stdout  # the slider has hidden one
    assert '<p class="now">0:00.0</p>' in done.stdout
    assert 'id="failed" hidden' in done.stdout  # the video is found and plays


def test_a_clock_that_does_not_begin_at_0(tmp_path):
    source = encode(tmp_path / "late.mp4", count=40, pts=list(range(200, 240)))
    assert timeline(source).start == 8.0
    paths, _ = write(tmp_path / "out", timeline(source, shift=8.0), "page", "vtt", "srt", "eaf", "video")
    parsed, text = page(paths["page"])
    assert "own clock begins at 8.000 s" in parsed.text
    assert json.loads(re.search(r'id="about">(.*?)</script>', text)[1])["begins"] == 8.0
    assert 'data-start="8.2000"' in text
    assert "00:00:00.200 --> 00:00:01.000" in paths["vtt"].read_text(encoding="utf-8")
    assert paths["srt"].read_text(encoding="utf-8").startswith("1\n00:00:00,200 --> ")
    with open_video(paths["video"]) as made:
        assert made.info.start == 0
    slots = [int(s.get("TIME_VALUE")) for s in ElementTree.parse(paths["eaf"]).iter("TIME_SLOT")]
    assert min(slots) == 200  # ELAN's clock begins with the file
    back = quietly(import_layout, paths["eaf"], "elan", how=How(label="found", root=tmp_path))
    assert sorted(back.table["start"].to_pylist()) == [8.2, 8.5, 8.6]  # and marey's is the video's own


def test_elan_tiers_do_not_overlap_and_are_read_back(video, tmp_path):
    paths, _ = write(tmp_path, timeline(video), "eaf", least=0.0)
    root = ElementTree.parse(paths["eaf"]).getroot()
    at = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE")) for s in root.iter("TIME_SLOT")}
    for tier in root.iter("TIER"):
        spans = [
            (at[a.get("TIME_SLOT_REF1")], at[a.get("TIME_SLOT_REF2")])
            for a in tier.iter("ALIGNABLE_ANNOTATION")
        ]
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert [t.get("TIER_ID") for t in root.iter("TIER")] == [
        "take",
        "take 2",
        EVIL,
        "take (annotated)",
        f"{EVIL} (annotated)",
    ]
    assert {t.get("LINGUISTIC_TYPE_REF") for t in root.iter("TIER")} == {
        t.get("LINGUISTIC_TYPE_ID") for t in root.iter("LINGUISTIC_TYPE")
    }
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media.get("MIME_TYPE") == "video/mp4"
    assert (tmp_path / media.get("RELATIVE_MEDIA_URL")).resolve() == video.resolve()
    for kind, segments in (("found", FOUND), ("annotated", TRUE)):
        back = quietly(import_layout, paths["eaf"], "elan", how=How(label=kind, root=video.parent))
        rows = zip(*(back.table[c].to_pylist() for c in ("start", "end", "label")), strict=True)
        assert sorted(rows) == sorted((s.start, s.end, s.label) for s in segments)
    one = quietly(import_layout, paths["eaf"], "elan", how=How(label="take", root=video.parent))
    assert len(one) == 3  # a tier and what had no room on it


def test_a_page_of_a_video_that_browsers_do_not_play(tmp_path):
    source = encode(tmp_path / "old.avi", "mpeg4", count=12)
    paths, said = write(tmp_path / "out", timeline(source), "page")
    assert set(paths) == {"page", "video"}
    assert any("browsers do not play mpeg4" in line for line in said)
    assert address(page(paths["page"])[1]) == "old.annotated.mp4"


def test_a_small_video_can_be_put_into_the_page(video, tmp_path, monkeypatch):
    paths, _ = write(tmp_path / "a", timeline(video), "page", embed=True)
    kind, _, content = address(page(paths["page"])[1]).partition(";base64,")
    assert (kind, base64.b64decode(content)) == ("data:video/mp4", video.read_bytes())
    monkeypatch.setattr("marey.report.timeline_files.EMBED_MB", 0)
    paths, said = write(tmp_path / "b", timeline(video), "page", embed=True)
    assert any("more than the 0 MB that a page takes in" in line for line in said)
    assert address(page(paths["page"])[1]).startswith("../")


def test_a_video_in_which_nothing_happens(video, tmp_path):
    nothing = timeline(video, segments=(), truth=None, times=np.empty(0), scores=np.empty((0, 2), np.float32))
    paths, said = write(tmp_path, nothing, *FORMS)
    parsed, _ = page(paths["page"])
    assert "Nothing was found." in parsed.text
    assert "nothing happens" in parsed.text
    assert paths["vtt"].read_text(encoding="utf-8").startswith("WEBVTT")
    assert paths["srt"].read_bytes() == b""
    assert said == []


def test_wrong_calls(video, tmp_path):
    with pytest.raises(UnknownNameError, match=r"'pictures' is not a known form. Did you mean 'picture'"):
        write_timeline_files(tmp_path, timeline(video), forms=["pictures"])
    gone = timeline(video, path=str(tmp_path / "gone.mp4"))
    with pytest.raises(VideoNotFoundError):
        write_timeline_files(tmp_path, gone, forms=["page"])
    assert write(tmp_path, gone, "picture")[0]["picture"].is_file()


def test_addresses_of_videos(tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    assert timeline_page.relative_address(tmp_path / "ü #1?.mp4", folder) == "../../%C3%BC%20%231%3F.mp4"
    assert timeline_page.relative_address(folder / "100%.mp4", folder) == "100%25.mp4"
    shutil.rmtree(folder)


def test_lanes_have_room_for_what_is_surest():
    found = [Segment(i, i + 1.5, f"c{i}", 0.2 + i / 100) for i in range(40)] + [
        Segment(0.5, 1.0, "c0", 0.9),
        Segment(9, 9.5, "c9", 0.1),
    ]
    shown = lanes.lanes(found, [Segment(3.0, 4.0, "c3")], most=10)
    names = [lane.name for lane in shown.lanes]
    assert {"c0", "c3", "c39", "c38"} <= set(names)
    assert names == sorted(names, key=lambda name: int(name[1:]))  # in order of time
    assert len(shown.left_out) == 30
    assert shown.weak == 1
    assert (shown.lanes[0].found_rows, shown.lanes[0].true_rows) == (2, 0)
    times = np.arange(1000) / 10
    scores = np.zeros((1000, 2), np.float32)
    scores[777, 0] = 0.8
    thin = lanes.lanes([], None, scores=(times, scores, ("peak", "flat")), columns=100)
    assert [lane.name for lane in thin.lanes] == ["peak"]
    assert thin.lanes[0].scores.max() == np.float32(0.8)
    assert len(thin.times) == 100
    assert lanes.lanes([], None).lanes[0].name == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.0"), (59.96, "1:00.0"), (3723.04, "1:02:03.0"), (-0.5, "−0:00.5"), (-0.01, "0:00.0")],
)
def test_clock(seconds, text):
    assert lanes.clock_text(seconds) == text
