from __future__ import annotations

import itertools
import subprocess
import sys
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from marey.report import plots
from tests.report.folders import make_metrics


def drawn(figure: Figure, tmp_path) -> Image.Image:
    warnings.simplefilter("error")  # matplotlib warns where labels leave no room for the picture
    return Image.open(plots.save(figure, tmp_path / "new folder" / "x.png")).convert("RGB")


def labels(axis_labels) -> list[str]:
    return [t.get_text() for t in axis_labels]


@pytest.mark.parametrize("k", [2, 8, 12, 13, 40, 41, 174, 400])
def test_confusion_of_any_number_of_classes(k, tmp_path):
    rng = np.random.default_rng(0)
    table = rng.integers(0, 3, (k, k)) + np.diag(rng.integers(5, 9, k))
    table[-1] = 0  # a class without samples
    names = [f"Moving $something$ and_something {i} closer to each other" for i in range(k)]
    figure = plots.confusion(table, names)
    axis = figure.axes[0]
    shown = labels(axis.get_yticklabels())
    if k <= plots.MAX_NAMED:
        assert len(shown) == k
        assert len(set(shown)) == k, "shortened names must still differ"
    else:
        assert len(shown) <= 13
        assert all(name.isdigit() for name in shown)
    assert bool(axis.texts) == (k <= plots.MAX_COUNTED)
    image = drawn(figure, tmp_path)
    assert image.width < 1400
    # no tick label runs over its neighbour
    boxes = [t.get_window_extent() for t in axis.get_yticklabels()]
    tops = sorted((b.y0, b.y1) for b in boxes)
    assert all(a[1] <= b[0] + 1 for a, b in itertools.pairwise(tops))


def test_curves_leave_out_what_is_empty(tmp_path):
    rows = [
        {
            "epoch": float(e),
            "train_loss": 2.0 - e / 10,
            "train_top1": 0.1 * e,
            "val_loss": None,
            "val_top1": None,
        }
        for e in range(5)
    ]
    rows[4]["val_loss"], rows[4]["val_top1"] = 1.2, 0.4
    rows[2]["train_loss"] = float("nan")
    figure = plots.training_curves(rows)
    train, val = figure.axes[0].lines
    assert len(train.get_xdata()) == 4
    assert list(val.get_xdata()) == [4]
    assert figure.axes[1].lines[0].get_ydata()[-1] == pytest.approx(40)
    drawn(figure, tmp_path)


def test_curves_without_validation_say_nothing_of_it(tmp_path):
    rows = [{"epoch": 0.0, "train_loss": 1.0, "train_top1": None}]
    figure = plots.training_curves(rows)
    assert labels(figure.axes[0].get_legend().get_texts()) == ["training"]
    assert len(figure.axes) == 1
    drawn(figure, tmp_path)


def test_curves_of_a_localizer_show_its_map(tmp_path):
    rows = [{"epoch": e, "train_loss": 1.0, "val_map": 0.1 * e if e % 2 else None} for e in range(6)]
    figure = plots.training_curves(rows)
    assert [axis.get_title(loc="left") or axis.get_title() for axis in figure.axes] == ["Loss", "mAP, %"]
    (line,) = figure.axes[1].lines
    assert list(line.get_xdata()) == [1, 3, 5]
    assert line.get_ydata()[-1] == pytest.approx(50)
    drawn(figure, tmp_path)


def test_curves_by_fold(tmp_path):
    rows = [{"fold": f, "epoch": e, "train_loss": 1.0, "train_top1": 0.5} for f in (1, 2, 3) for e in (0, 1)]
    assert len(plots.training_curves(rows).axes[0].lines) == 3


def test_audit_bars_have_the_chance_line_and_the_values(tmp_path):
    metrics, *_ = make_metrics(("a", "b", "c", "d"), n=80)
    audit = metrics["audit"]
    figure = plots.audit_bars({"m": audit})
    axis = figure.axes[0]
    widths = [patch.get_width() for patch in axis.patches]
    assert widths == pytest.approx([100 * audit[k]["top1"] for k in
                                    ("ordered", "shuffled", "reversed", "frozen", "baseline")])  # fmt: skip
    assert "chance 25.0%" in labels(axis.texts)
    lines = [list(line.get_xdata()) for line in axis.lines]
    assert [25.0, 25.0] in lines
    assert pytest.approx([100 * x for x in audit["frozen"]["interval"]]) in lines
    drawn(figure, tmp_path)
    two = plots.audit_bars({"m": audit, "n": {**audit, "baseline": None}})
    assert len(two.axes[0].patches) == 9
    drawn(two, tmp_path)


def test_reliability_and_classes_and_comparison(tmp_path):
    names = [f"class {i}" for i in range(50)]
    metrics, *_ = make_metrics(names, n=400)
    drawn(plots.reliability(metrics["reliability"], ece=metrics["ece"]), tmp_path)
    bars = plots.class_bars(metrics["per_class"])
    assert len(bars.axes[0].patches) == plots.MAX_BARS
    widths = [p.get_width() for p in bars.axes[0].patches]
    assert widths == sorted(widths)
    named = labels(bars.axes[0].get_yticklabels())
    assert all(name.startswith("class ") and name.endswith(")") for name in named)
    assert "lowest 30 of" in bars.axes[0].get_title(loc="left")
    drawn(bars, tmp_path)
    figure = plots.comparison({"one": metrics, "none": {}, "two": metrics})
    assert "not measured" in labels(figure.axes[0].texts)
    drawn(figure, tmp_path)


def test_names_in_any_script_draw_without_a_word(tmp_path):
    drawn(plots.confusion([[3, 1], [0, 2]], ["打ち込む", "$\\frac{1}{2"]), tmp_path)


def test_pyplot_is_never_imported():
    code = "import sys, marey.report.html, marey.report.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
