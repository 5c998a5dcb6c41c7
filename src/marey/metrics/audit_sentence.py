"""The plain sentence that follows from a temporal audit, and no more than follows.

A cost is *shown* where its paired 95% interval lies above 0, and *ruled out* where the interval lies below the
margin (five points). Between the two nothing is claimed, and the numbers say why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def points(share: float) -> str:
    """A difference of shares in percentage points: "41", "3.5", "−0.4"."""
    value = 100 * share
    text = f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}".removesuffix(".0")
    return "0" if text in ("-0", "0") else text.replace("-", "−")


def percent(share: float) -> str:
    """A share as "97%", with one decimal where that says more: "12.5%"."""
    return f"{100 * share:.1f}".removesuffix(".0") + "%"


def _range(interval: list[float]) -> str:
    return f"{points(interval[0])} to {points(interval[1])}"


def _cost(entry: Mapping[str, Any], kind: str, *, unit: str = " points") -> str:
    return f"{points(entry[kind]['cost'])}{unit} ({_range(entry[kind]['cost_interval'])})"


def sentence_and_verdict(audit: Mapping[str, Any]) -> tuple[str, str]:
    """The sentence and its verdict from the numbers of an audit (see `marey.metrics.temporal.audit`)."""
    shuffled, backwards, frozen = (
        audit[kind]["cost_interval"] for kind in ("shuffled", "reversed", "frozen")
    )
    margin = audit["margin"]
    if shuffled[0] > 0 or backwards[0] > 0:
        text, verdict = _order(audit), "order"
    elif audit["ordered"]["interval"][0] <= max(audit["chance"], audit["majority"]):
        text, verdict = _chance(audit), "no-better-than-chance"
    elif frozen[0] > 0 and shuffled[1] < margin and backwards[1] < margin:
        text, verdict = (
            f"This model uses several frames but not their order: a frozen frame costs {_cost(audit, 'frozen')}, "
            f"{_nothing(audit)}.",
            "frames",
        )
    elif frozen[0] > 0:
        text, verdict = (
            f"This model uses several frames (a frozen one costs {_cost(audit, 'frozen')}); whether it uses their "
            f"order cannot be told from {_samples(audit)}: shuffling costs {_cost(audit, 'shuffled')}, "
            f"reversing {_cost(audit, 'reversed', unit='')}.",
            "frames-order-unknown",
        )
    elif shuffled[1] < margin and backwards[1] < margin and frozen[1] < margin:
        text, verdict = (
            f"This model does not use time: a single frame does as well ({percent(audit['frozen']['top1'])} against "
            f"{percent(audit['ordered']['top1'])} in order, a difference of {_cost(audit, 'frozen')}), "
            f"and {_nothing(audit)}.",
            "single-frame",
        )
    elif shuffled[1] < margin and backwards[1] < margin:
        text, verdict = (
            f"This model does not use order: {_nothing(audit)}. Whether several frames help it cannot be told from "
            f"{_samples(audit)}: freezing costs {_cost(audit, 'frozen')}.",
            "inconclusive",
        )
    else:
        text, verdict = (
            f"Inconclusive: on {_samples(audit)} shuffling costs {_cost(audit, 'shuffled')}, reversing "
            f"{_cost(audit, 'reversed', unit='')} and freezing {_cost(audit, 'frozen', unit='')}. No interval "
            f"excludes zero, and not all exclude a cost of {points(margin)} points: more clips are needed to tell.",
            "inconclusive",
        )
    text = " ".join(part for part in (text, _baseline(audit)) if part)
    return re.sub(
        r"\((−?[\d.]+%? to )", r"(95%: \1", text, count=1
    ), verdict  # said once, at the first interval


def _samples(audit: Mapping[str, Any]) -> str:
    groups = f" of {audit['groups']} groups" if audit["groups"] is not None else ""
    return f"{audit['n']} clips{groups}"


def _order(audit: Mapping[str, Any]) -> str:
    shown = {kind: audit[kind]["cost_interval"] for kind in ("shuffled", "reversed")}
    shown = {kind: pair for kind, pair in shown.items() if pair[0] > 0}
    hardly = all(pair[1] < audit["margin"] for pair in shown.values())
    start = "This model hardly uses order" if hardly else "This model uses order"
    first = f"shuffling costs {_cost(audit, 'shuffled')}"
    if "shuffled" not in shown:
        first = f"reversing costs {_cost(audit, 'reversed')}, though shuffling only {_cost(audit, 'shuffled', unit='')}"
    elif "reversed" in shown:
        first += f", reversing {_cost(audit, 'reversed', unit='')}"
    else:
        first += f", while reversing costs nothing that can be shown ({_range(audit['reversed']['cost_interval'])})"
    first += f", freezing {_cost(audit, 'frozen', unit='')}"
    text = f"{start}: {first}."
    if audit["reversed"]["interval"][1] < audit["chance"] and "reversed" in shown:
        text += (
            f" Reversed clips fall below chance ({percent(audit['reversed']['top1'])} against "
            f"{percent(audit['chance'])}): it reads the reverse as another class."
        )
    if audit["ordered"]["interval"][0] <= max(audit["chance"], audit["majority"]):
        text += f" Yet in order it is {_no_better(audit)}."
    return text


def _no_better(audit: Mapping[str, Any]) -> str:
    ordered = audit["ordered"]
    own = (
        f"{percent(ordered['top1'])} ({percent(ordered['interval'][0])} to {percent(ordered['interval'][1])})"
    )
    if (
        audit["majority"] > max(audit["chance"], ordered["interval"][0])
        and ordered["interval"][0] > audit["chance"]
    ):
        return (
            f"not clearly better than always answering the most frequent class: {own} against "
            f"{percent(audit['majority'])}"
        )
    return f"not clearly better than chance: {own} against {percent(audit['chance'])}"


def _chance(audit: Mapping[str, Any]) -> str:
    exact = [audit[kind]["cost_method"].startswith("exact") for kind in ("shuffled", "reversed")]
    if all(exact):
        return (
            f"This model does not use order (no shuffle changes its answer), and it is {_no_better(audit)}."
        )
    return (
        f"This model is {_no_better(audit)}, so there is nothing that time could add to; shuffling costs "
        f"{_cost(audit, 'shuffled')}, freezing {_cost(audit, 'frozen', unit='')}."
    )


def _nothing(audit: Mapping[str, Any]) -> str:
    """ "shuffling and reversing cost nothing", with what was measured."""
    if all(audit[kind]["cost_method"].startswith("exact") for kind in ("shuffled", "reversed")):
        return "neither shuffling nor reversing changes any answer"
    return (
        f"shuffling costs nothing that can be shown ({_range(audit['shuffled']['cost_interval'])}), "
        f"nor does reversing ({_range(audit['reversed']['cost_interval'])})"
    )


def _baseline(audit: Mapping[str, Any]) -> str:
    other = audit["baseline"]
    if other is None:
        return ""
    low, high = other["cost_interval"]
    reached = f"A frame-averaging baseline reaches {percent(other['top1'])} on the same clips"
    if low > 0:
        return f"{reached}, {_cost(audit, 'baseline')} less."
    if high < 0:
        gain = f"{points(-other['cost'])} points ({points(-high)} to {points(-low)})"
        return f"{reached}, {gain} more."
    return f"{reached}: the difference of {_cost(audit, 'baseline')} may be none."
