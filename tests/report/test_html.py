"""The page as a browser gets it: whole, offline, escaped, and patient with what is missing."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marey.errors import DataError
from marey.metrics import judge
from marey.report.html import write_report
from tests.report.folders import make_run

_VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Collects what a test asks of a page, and checks that every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[bytes] = []
        self.tags: list[str] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in _VOID:
            self.open.append(tag)
        attrs = dict(attrs)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if "href" in attrs:
            self.links.append(attrs["href"])
        if tag == "img":
            assert attrs["alt"]
            kind, _, data = attrs["src"].partition(";base64,")
            assert kind in ("data:image/png", "data:image/jpeg")
            self.images.append(base64.b64decode(data))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.said.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.said))


def page_of(run: Path) -> tuple[Page, str]:
    path = write_report(run)
    assert path == run / "report.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    # Offline: nothing that a browser would fetch or run
    assert "script" not in page.tags
    assert not re.search(r"""(src|href|url\(|@import)\s*=?\s*["'(]?\s*(https?:|//|file:)""", text)
    assert " on" not in re.sub(r"[^<]*(<[^>]*>)", r"\1", text).replace(" only", "")  # no onclick=, onload=
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link.startswith("#")
        assert link[1:] in page.ids
    for image in page.images:
        Image.open(io.BytesIO(image)).load()
    return page, text


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    folder = tmp_path / "train" / "copy"
    shutil.copytree(finished_run, folder)
    return folder


def edit(run: Path, **changes: object) -> dict:
    metrics = json.loads((run / "metrics.json").read_text()) | changes
    (run / "metrics.json").write_text(json.dumps(metrics))
    return metrics


def test_a_whole_run(run):
    metrics = json.loads((run / "metrics.json").read_text())
    page, _ = page_of(run)
    sections = [
        "audit",
        "curves",
        "confusion",
        "calibration",
        "classes",
        "mistakes",
        "failures",
        "protocol",
        "setting",
    ]
    assert [i for i in page.ids if i in sections] == sections
    assert metrics["audit"]["sentence"] in page.text
    assert f"{100 * metrics['top1']:.1f}%" in page.text
    low, high = metrics["intervals"]["top1"]
    assert f"95% {100 * low:.1f}–{100 * high:.1f}" in page.text
    assert (
        "120 samples of 30 groups · split val · grouped, 5 folds, pooled · 1 clip × 1 crop · 8 frames"
        in page.text
    )
    assert "marey train --data videos --model r2plus1d_tiny" in page.text
    for name in ("audit", "curves", "confusion", "reliability", "classes"):
        assert (run / "plots" / f"{name}.png").stat().st_size > 5000
    wrong = round((1 - metrics["top1"]) * metrics["n"])
    assert f"most confident of {wrong} wrong answers to 120 samples" in page.text
    assert len(page.images) == 5 + min(12, wrong)
    assert "Not in this report" not in page.text


def test_film_strips_show_the_stretch_that_was_judged(run):
    page, text = page_of(run)
    strips = [Image.open(io.BytesIO(image)) for image in page.images if image[:2] == b"\xff\xd8"]
    assert all(strip.width > 300 and strip.height == 96 + 4 + 18 for strip in strips)
    assert "0.20–1.00 s" in text


def test_what_users_name_is_escaped(tmp_path):
    names = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "a & b", "$x_1$ & $"]
    folder = tmp_path / "train" / "<b>run</b>"
    make_run(folder, class_names=names, n=60)
    edit(folder, failures=[{"id": 1, "path": "</td><script>", "error": "<i>broken</i>"}])
    (folder / "command.txt").write_text("marey train --name '<script>'\n")
    (folder / "config.yaml").write_text("name: </pre><script>alert(3)</script>\n")
    page, _ = page_of(folder)
    assert "b" not in page.tags
    assert "i" not in page.tags
    assert "<script>alert(1)</script>" in page.text  # as text, not as a tag
    assert "</pre><script>alert(3)</script>" in page.text


def test_missing_files_are_said(run):
    said = {
        "results.csv": "results.csv is not here or holds no epoch",
        "predictions.csv": "predictions.csv is not here",
        "command.txt": "command.txt is not here",
        "config.yaml": "config.yaml is not here",
        "environment.json": "environment.json is not here",
    }
    for gone in said:
        (run / gone).unlink()
    page, _ = page_of(run)
    for gone, sentence in said.items():
        assert sentence in page.text
        assert f"{gone} is not in the run folder" in page.text


def test_a_run_without_metrics_still_has_its_curves(run):
    (run / "metrics.json").unlink()
    page, _ = page_of(run)
    assert "metrics.json is not in the run folder" in page.text
    assert "12 epochs" in page.text
    assert "No temporal audit was made" in page.text


@pytest.mark.parametrize(
    "without", [("protocol",), ("audit", "confusion", "per_class", "reliability", "intervals", "model")]
)
def test_missing_entries_are_said(run, without):
    metrics = edit(run)
    for key in without:
        del metrics[key]
    (run / "metrics.json").write_text(json.dumps(metrics))
    page, text = page_of(run)
    said = {
        "audit": "No temporal audit",
        "confusion": "There is no confusion matrix",
        "per_class": "There is no table of classes",
        "reliability": "There is no reliability diagram",
        "protocol": "No protocol was recorded, so no number is shown",
        "intervals": "no interval",
        "model": "model not recorded",
    }
    for key in without:
        assert said[key] in page.text
    assert ('class="big"' in text) == ("protocol" not in without)


def test_damaged_files_are_said(run):
    (run / "environment.json").write_text("{broken")
    (run / "predictions.csv").write_bytes(b"\xff\xfe\x00 nonsense\n1,2\n")
    (run / "results.csv").write_text("epoch,train_loss\n0,nan\n1,\nx,y,z\n")
    (run / "config.yaml").write_text("data: [unclosed\n")
    page, _ = page_of(run)
    assert "environment.json is not valid JSON" in page.text
    assert "predictions.csv has no column 'path'" in page.text


def test_nothing_to_report(tmp_path):
    with pytest.raises(DataError, match="there is no run folder"):
        write_report(tmp_path / "none")
    with pytest.raises(DataError, match="nothing to report"):
        write_report(tmp_path)


def test_a_lost_video_costs_its_picture_only(run):
    for file in (run / "videos").iterdir():
        file.unlink()
    lines = (run / "predictions.csv").read_text().replace("train/a run", "train/nowhere")
    (run / "predictions.csv").write_text(lines)
    page, text = page_of(run)
    assert "nothing" in text or "no such" in text.lower() or "NotFound" in text
    assert "most confident of" in page.text


def test_all_right_has_no_mistakes(tmp_path):
    folder = tmp_path / "run"
    make_run(folder, n=16, shares=(1.0, 0.2, 0.2, 0.2), class_names=("a", "b"))
    text = (folder / "predictions.csv").read_text().splitlines()
    rows = [line.split(",") for line in text[1:]]
    for row in rows:
        row[8] = row[7]
    (folder / "predictions.csv").write_text("\n".join([text[0], *(",".join(row) for row in rows)]))
    page, _ = page_of(folder)
    assert "None: all 16 predictions are right." in page.text


def test_failures_are_listed(run):
    edit(
        run,
        failures=[{"id": i, "path": f"/data/{i}.mp4", "error": "decoded 3 of 9 frames"} for i in range(250)],
    )
    page, _ = page_of(run)
    assert (
        "250 samples could not be read and are in none of the numbers above; none was replaced." in page.text
    )
    assert "The first 200 are listed." in page.text
    assert "/data/199.mp4" in page.text
    assert "/data/200.mp4" not in page.text


def test_multi_label(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (40, 4))
    metrics = judge(y * 2 + rng.normal(size=y.shape), y, class_names=["w", "x", "y", "z"], multi_label=True)
    protocol = {"split": "val", "views": "1 clip × 1 crop", "frames": 8, "size": [56, 56]}
    (folder / "metrics.json").write_text(json.dumps({**metrics, "protocol": protocol}))
    (folder / "predictions.csv").write_text(
        "id,path,label,predicted,score,p:w,p:x,p:y,p:z\n"
        "0,a.mp4,w|x,x,0.9,0.1,0.9,0.2,0.1\n"  # held, not a mistake
        "1,b.mp4,w|x,x|y,0.8,0.1,0.9,0.8,0.1\n"
        "2,c.mp4,w,z,0.7,0.6,0.1,0.2,0.7\n"
        "3,d.mp4,z,,0.3,0.1,0.1,0.2,0.3\n"  # nothing above the threshold: nothing false
    )
    page, _ = page_of(folder)
    assert "mAP" in page.text
    assert "do not exclude each other" in page.text
    assert "The 2 most confident of 2 wrong answers to 4 samples." in page.text
    assert page.text.index("x|y") < page.text.index("at 70.0%")


def test_four_hundred_classes(tmp_path):
    folder = tmp_path / "run"
    names = [f"putting {i} things that have very long names next to each other" for i in range(400)]
    make_run(folder, class_names=names, n=400, epochs=2)
    page, _ = page_of(folder)
    assert "399 · putting 399 things" in page.text
    assert "400 classes carry numbers" in page.text
    assert (folder / "report.html").stat().st_size < 3_000_000


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    folder = tmp_path / "demo" / "motion"
    base = make_run(folder / "frame_average", shares=(0.2,) * 4, baseline=None, n=80, name="frame_average")
    model = make_run(folder / "r2plus1d_tiny", shares=(1, 0.1, 0, 0.1), baseline=0.2, n=80)
    (folder / "metrics.json").write_text(
        json.dumps(
            {"models": {"frame_average": base, "r2plus1d_tiny": model}, "conclusion": "Order <matters>."}
        )
    )
    (folder / "command.txt").write_text("marey demo\n")
    return folder


def test_a_comparison(demo):
    page, text = page_of(demo)
    assert "Order <matters>." in page.text
    assert "frame_average against r2plus1d_tiny" in page.text
    for name in ("model-0-frame-average", "model-1-r2plus1d-tiny"):
        for part in ("", "-audit", "-curves", "-mistakes", "-setting"):
            assert f"{name}{part}" in page.ids
    assert page.links.count("#model-1-r2plus1d-tiny") == 2
    assert (demo / "plots" / "comparison.png").is_file()
    assert (demo / "plots" / "audits.png").is_file()
    assert (demo / "r2plus1d_tiny" / "plots" / "audit.png").is_file()
    for metrics in json.loads((demo / "metrics.json").read_text())["models"].values():
        assert metrics["audit"]["sentence"] in page.text
    assert text.count("image/jpeg") >= 12


def test_a_comparison_without_folders_or_audits_or_conclusion(demo):
    metrics = json.loads((demo / "metrics.json").read_text())
    del metrics["conclusion"]
    odd = metrics["models"].pop("frame_average") | {"audit": None}
    metrics["models"]["../../evil"] = odd
    metrics["models"]["r2plus1d_tiny"]["audit"] = None
    del metrics["models"]["r2plus1d_tiny"]["protocol"]
    (demo / "metrics.json").write_text(json.dumps(metrics))
    shutil.rmtree(demo / "frame_average")
    before = {p for p in demo.parent.parent.rglob("*") if demo not in p.parents}
    page, _ = page_of(demo)
    assert "metrics.json holds no conclusion" in page.text
    assert "No temporal audit was made." in page.text
    assert "No protocol was recorded, so no number is shown" in page.text
    assert {p for p in demo.parent.parent.rglob("*") if demo not in p.parents} == before


def test_writing_twice_gives_the_same_page(run):
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
