from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from marey.report import words
from marey.report.text import audit_table, comparison_table, metrics_table
from tests.report.folders import make_metrics


def printed(table) -> str:
    console = Console(width=150, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(table)
    return console.export_text()


@pytest.fixture(scope="module")
def metrics() -> dict:
    return make_metrics([f"c{i}" for i in range(8)], n=120)[0]


def test_numbers_stand_beside_their_protocol(metrics):
    for table in (
        metrics_table(metrics),
        audit_table(metrics["audit"], metrics["protocol"]),
        comparison_table({"a": metrics, "b": metrics}),
    ):
        text = printed(table)
        assert "120 samples of 30 groups" in text
        assert "1 clip × 1 crop · 8 frames · 56×56 · sampler uniform, n 8" in text
        assert f"{100 * metrics['top1']:.1f}%" in text


def test_without_a_protocol_nothing_is_printed(metrics):
    bare = {k: v for k, v in metrics.items() if k != "protocol"}
    for table in (metrics_table(bare), audit_table(metrics["audit"]), comparison_table({"a": bare})):
        text = printed(table)
        assert "no protocol was recorded" in text
        assert "%" not in text.replace("95%", "")


def test_metrics_have_their_intervals(metrics):
    text = printed(metrics_table(metrics))
    for key in ("top1", "top5", "mean_class_accuracy", "macro_f1", "ece"):
        low, high = metrics["intervals"][key]
        assert f"{100 * low:.1f}–{100 * high:.1f}" in text
    assert "cluster bootstrap by group, 2000 draws" in text
    assert "mAP" not in text


def test_the_audit_says_its_sentence_and_costs(metrics):
    text = printed(audit_table(metrics["audit"], metrics["protocol"]))
    assert metrics["audit"]["sentence"][:60] in text
    assert f"{100 * metrics['audit']['shuffled']['cost']:.1f}" in text
    assert "frame-averaging baseline" in text


def test_comparison_of_different_protocols_says_each(metrics):
    other = {**metrics, "protocol": {**metrics["protocol"], "frames": 32}}
    text = printed(comparison_table({"short": metrics, "long": other, "none": {"top1": 0.123}}))
    assert "short: 120 samples" in text
    assert "32 frames" in text
    assert "12.3%" not in text


def test_names_are_no_markup(metrics):
    text = printed(comparison_table({"[red]x[/red]": metrics}))
    assert "[red]x[/red]" in text


@given(st.text(max_size=60), st.integers(1, 30))
def test_shorten_keeps_both_ends(name, length):
    short = words.shorten(name, length)
    assert len(short) <= length
    if len(name) <= length:
        assert short == name
    elif length >= 3:
        assert short[0] == name[0]
        assert short[-1] == name[-1]


def test_shortened_names_still_differ():
    names = [f"moving something {i} closer to something else" for i in range(12)]
    short = words.shorten_all(names, 20)
    assert len(set(short)) == 12
    assert all(len(name) <= 20 for name in short)
    assert words.shorten_all(["walk", "run"], 20) == ["walk", "run"]


def test_words():
    assert words.percent(None) == "–"
    assert words.points(-0.0349) == "−3.5"
    assert words.points(-0.0001) == "0.0"
    assert words.points_interval([-0.01, 0.2]) == "−1.0 to 20.0"
    assert words.count(11_200_000) == "11.2 M"
    assert words.protocol_line({"n": 5, "protocol": {"groups": 5, "note": "odd"}}) == "5 samples · note odd"
    assert words.model_line({}) == "model not recorded"
