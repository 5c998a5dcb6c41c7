"""ActivityNet's JSON, read into tables and written from them, so that others' predictions can be judged.

These functions take and give what `json.load` gives and `json.dump` takes; they touch no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marey.errors import DataError
from marey.metrics.segments import SegmentTable


def truth_from_json(content: Mapping[str, Any], *, subset: str | None = None) -> SegmentTable:
    """The ground truth: `{"database": {video: {"subset", "annotations": [{"segment": [s, e], "label"}]}}}`.

    Args:
        subset: keep the videos of one subset ("validation"); None keeps all.

    Raises:
        DataError: the table is not there, names no such subset, or a segment that is none.
    """
    database = content.get("database")
    if not isinstance(database, Mapping):
        raise DataError('an ActivityNet ground truth holds "database"; this has none.', *_holds(content))
    for video, entry in database.items():
        if not isinstance(entry, Mapping):
            raise DataError(
                f"an entry holds subset and annotations; this is {entry!r:.60}.", where=str(video)
            )
    kept = {
        str(video): entry.get("annotations") or []
        for video, entry in database.items()
        if subset is None or str(entry.get("subset")) == subset
    }
    if not kept:
        known = sorted({str(entry.get("subset")) for entry in database.values()})
        raise DataError(f"no video is of the subset {subset!r}.", f"subsets: {', '.join(known)}")
    return _table(kept, scored=False)


def predictions_from_json(content: Mapping[str, Any]) -> SegmentTable:
    """Predictions: `{"results": {video: [{"segment": [s, e], "label", "score"}]}}`.

    Raises:
        DataError: the table is not there, or a prediction that is none; names video and number.
    """
    results = content.get("results")
    if not isinstance(results, Mapping):
        raise DataError('ActivityNet predictions hold "results"; these have none.', *_holds(content))
    return _table({str(video): those or [] for video, those in results.items()}, scored=True)


def predictions_to_json(table: SegmentTable) -> dict[str, Any]:
    """The inverse of `predictions_from_json`; videos without a segment stay, with an empty list."""
    results: dict[str, list[dict[str, Any]]] = {video: [] for video in table.videos}
    scores = table.score if table.score is not None else [1.0] * len(table)
    for video, label, start, end, score in zip(
        table.video, table.label, table.start, table.end, scores, strict=True
    ):
        results[table.videos[video]].append(
            {"label": table.labels[label], "score": float(score), "segment": [float(start), float(end)]}
        )
    return {"version": "VERSION 1.3", "results": results, "external_data": {}}


def _holds(content: Mapping[str, Any]) -> tuple[str, ...]:
    return (f"it holds: {', '.join(sorted(map(str, content))[:10]) or 'nothing'}",)


def _table(entries: Mapping[str, Any], *, scored: bool) -> SegmentTable:
    videos: list[str] = []
    labels: list[str] = []
    starts: list[float] = []
    ends: list[float] = []
    scores: list[float] = []
    for video, those in entries.items():
        if not isinstance(those, list):
            raise DataError(f"the segments of a video are a list; this is {those!r:.60}.", where=video)
        for number, one in enumerate(those):
            try:
                start, end = one["segment"]
                start, end, label = float(start), float(end), str(one["label"])
                score = float(one["score"]) if scored else 0.0
            except (TypeError, ValueError, KeyError) as error:
                needed = "label, score and segment" if scored else "label and segment"
                raise DataError(
                    f"segment {number} cannot be read ({type(error).__name__}: {error}).",
                    f"it needs {needed}: [start, end] in seconds",
                    where=video,
                ) from error
            videos.append(video)
            labels.append(label)
            starts.append(start)
            ends.append(end)
            scores.append(score)
    return SegmentTable.of(videos, labels, starts, ends, scores if scored else None, videos=entries)
