"""Labels that are written down for every frame, as stretches and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def stretches(labels: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Each longest run of equal labels: the label, its first frame, and the frame after its last."""
    first = 0
    for frame in range(1, len(labels) + 1):
        if frame == len(labels) or labels[frame] != labels[first]:
            yield labels[first], first, frame
            first = frame


def stretches_of_each(labels: Sequence[frozenset[int]]) -> Iterator[tuple[int, int, int]]:
    """Each longest run of frames that all have a label, for frames with several labels or none."""
    begun: dict[int, int] = {}
    for frame, here in enumerate([*labels, frozenset[int]()]):
        for label in sorted(set(begun) - here):
            yield label, begun.pop(label), frame
        for label in here:
            begun.setdefault(label, frame)
