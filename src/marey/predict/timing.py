"""How long a clip takes, of several models in turns: the machine's moods fall on all of them alike."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from marey.data.clips import load_views
from marey.data.manifest import Sample
from marey.predict.predictor import Predictor, stacked


@dataclass(frozen=True)
class ClipTime:
    """Medians over the clips, one clip at a time.

    Attributes:
        clip_ms: from the file to the logits, in milliseconds: decoding, optical flow where there is any, network.
        network_ms: of that, the network.
        device: where the network ran.
    """

    clip_ms: float
    network_ms: float
    device: str

    def to_dict(self) -> dict[str, float | str]:
        """Plain JSON types."""
        return asdict(self)


def time_side_by_side(predictors: Mapping[str, Predictor], samples: Sequence[Sample]) -> dict[str, ClipTime]:
    """Time each model on each sample, the models taking turns; another one begins each round.

    Args:
        predictors: name to model.
        samples: at least one; the first is also the warm-up, which is not counted.

    Raises:
        VideoError: a sample that cannot be read.
    """
    assert samples
    names = list(predictors)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for name in names:
        _time(predictors[name], samples[0])
    for number, sample in enumerate(samples):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(_time(predictors[name], sample))
    found = {}
    for name, times in taken.items():
        clip, network = np.median(times, axis=0)
        found[name] = ClipTime(float(clip), float(network), predictors[name].runtime.name)
    return found


def _time(predictor: Predictor, sample: Sample) -> tuple[float, float]:
    """Milliseconds of the whole path and of the network alone, for the first view of a sample."""
    start = time.perf_counter()
    inputs, mask = stacked(load_views(sample, predictor.spec, clips=1, crops=("center",)), predictor.spec)
    ready = time.perf_counter()
    predictor.runtime(inputs, mask)
    end = time.perf_counter()
    return 1e3 * (end - start), 1e3 * (end - ready)
