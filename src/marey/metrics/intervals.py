"""95% confidence intervals that respect groups.

Clips of one recording, one person or one camera rise and fall together, so counting them as independent
makes every interval too narrow. Where samples share groups the *groups* are resampled (cluster bootstrap;
Davison & Hinkley, *Bootstrap Methods and their Application*, 1997, §3.8); where every sample stands alone a
proportion gets Wilson's score interval (Wilson 1927), which holds near 0 and 1 and for few samples.

Three cases in which a bootstrap would lie are treated apart, and the method string says so:

- one group only: nothing can be said, the interval is the whole range;
- nothing varies between the groups (all right, or all wrong): resampling gives a width of zero, so Wilson's
  interval with n = number of groups stands in;
- a resample in which the number is undefined (no sample of any class left) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from marey.errors import UsageError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DRAWS = 2000
Z95 = 1.959963984540054  # the 97.5% point of the standard normal
_CHUNK = 4_000_000  # weights held at once: 32 MB


@dataclass(frozen=True)
class Interval:
    """A 95% interval and how it was made."""

    low: float
    high: float
    method: str

    def pair(self) -> list[float]:
        """`[low, high]`, as metrics.json has it."""
        return [self.low, self.high]


def wilson(successes: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a proportion: (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n).

    Args:
        successes: how many of `n` were right, 0 ≤ successes ≤ n.
        n: trials; 0 gives (0, 1).
        z: normal quantile; the default gives 95%.
    """
    if n <= 0:
        return 0.0, 1.0
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At the ends the formula gives 0 and 1 exactly; rounding must not push them past the estimate.
    low = 0.0 if successes <= 0 else float((centre - half) / scale)
    high = 1.0 if successes >= n else float((centre + half) / scale)
    return max(0.0, min(low, p)), min(1.0, max(high, p))


@dataclass(frozen=True)
class Resampling:
    """The groups of a set of samples, and the draws of whole groups with replacement.

    The same seed gives the same draws, so that two numbers of the same samples are resampled together.

    Attributes:
        codes: int `(n,)`, the group of each sample as 0…groups−1.
        groups: number of groups.
        draws: resamples.
        seed: of the generator.
        singletons: every sample is its own group.
    """

    codes: IntArray
    groups: int
    draws: int = DRAWS
    seed: int = 0
    singletons: bool = False

    @classmethod
    def of(
        cls, n: int, groups: Sequence[Any] | NDArray[Any] | None = None, *, draws: int = DRAWS, seed: int = 0
    ) -> Resampling:
        """Number the groups of `n` samples. None: every sample is its own group.

        A group that is None or "" (not given) counts as a group of its own.
        """
        if groups is None:
            return cls(np.arange(n, dtype=np.int64), n, draws, seed, singletons=True)
        if len(groups) != n:
            raise UsageError(
                f"{len(groups)} groups for {n} samples.", "give one group a sample, or none at all."
            )
        keys = [("alone", i) if g is None or g == "" else ("group", str(g)) for i, g in enumerate(groups)]
        numbers: dict[tuple[str, int | str], int] = {}
        for key in keys:
            numbers.setdefault(key, len(numbers))
        codes = np.fromiter((numbers[key] for key in keys), dtype=np.int64, count=n)
        return cls(codes, len(numbers), draws, seed, singletons=len(numbers) == n)

    def weights(self, draws: int | None = None) -> Iterator[NDArray[np.float64]]:
        """How often each group was drawn: float `(r, groups)`, in chunks of r draws that sum to `draws`."""
        rng = np.random.default_rng(self.seed)
        left = self.draws if draws is None else draws
        size = max(1, _CHUNK // max(1, self.groups))
        while left > 0:
            r = min(left, size)
            drawn = rng.integers(0, self.groups, size=(r, self.groups))
            drawn += np.arange(r)[:, None] * self.groups
            counts = np.bincount(drawn.ravel(), minlength=r * self.groups)
            yield counts.reshape(r, self.groups).astype(np.float64)
            left -= r

    def totals(self, *columns: tuple[ArrayLike, int, ArrayLike | None]) -> list[FloatArray]:
        """Sums of sample values by category, in every resample.

        Args:
            *columns: `(category, size, value)`: int `(n,)` in 0…size−1 (−1: belongs to none), and float
                `(n,)` or None for counts.

        Returns:
            For each column float `(draws, size)`. The columns share their draws.
        """
        tables = []
        for category, size, value in columns:
            category = np.asarray(category, dtype=np.int64)
            value = np.ones(len(category)) if value is None else np.asarray(value, dtype=np.float64)
            keep = category >= 0
            tables.append(
                sparse.csr_matrix(
                    (value[keep], (category[keep], self.codes[keep])), shape=(size, self.groups)
                )
            )
        parts: list[list[FloatArray]] = [[] for _ in columns]
        for weights in self.weights():
            turned = np.ascontiguousarray(weights.T)
            for part, table in zip(parts, tables, strict=True):
                part.append(np.ascontiguousarray((table @ turned).T))
        return [np.concatenate(part) if part else np.zeros((0, 0)) for part in parts]

    def column_totals(self, values: ArrayLike) -> FloatArray:
        """Column sums of `values` `(n, K)` in every resample: `(draws, K)`."""
        values = np.asarray(values, dtype=np.float64)
        ones = (np.ones(len(self.codes)), (self.codes, np.arange(len(self.codes))))
        table = sparse.csr_matrix(ones, shape=(self.groups, len(self.codes))) @ values
        return np.concatenate([weights @ table for weights in self.weights()])

    @property
    def method(self) -> str:
        """How a bootstrap interval over these draws was made, in words."""
        if self.singletons:
            return f"95%, bootstrap over samples, {self.draws} draws"
        return f"95%, cluster bootstrap by group, {self.draws} draws"

    def percentile(
        self,
        estimate: float,
        values: FloatArray,
        *,
        low: float = 0.0,
        high: float = 1.0,
        method: str | None = None,
        support: int | None = None,
    ) -> Interval:
        """The percentile interval of resampled `values` `(draws,)` of a number that lies in `low`…`high`.

        `support` is how many groups bear on the number at all (those that hold a class, say); default: all.
        """
        support = self.groups if support is None else support
        if self.groups < 2 or (support < 2 and not self.singletons):
            return Interval(low, high, "one group only: no interval can be given, the whole range is shown")
        values = values[np.isfinite(values)]
        if not len(values):
            return Interval(low, high, "undefined in every resample: the whole range is shown")
        if np.ptp(values) <= 1e-12:
            return self.without_variation(estimate, low=low, high=high, support=support)
        a, b = np.quantile(values, [0.025, 0.975])
        return Interval(float(min(a, estimate)), float(max(b, estimate)), method or self.method)

    def without_variation(
        self, estimate: float, *, low: float = 0.0, high: float = 1.0, support: int | None = None
    ) -> Interval:
        """Wilson's interval on the number of groups, for a number that no resample moves."""
        n = self.groups if support is None else support
        a, b = wilson((estimate - low) / (high - low) * n, n)
        what = "samples" if self.singletons else "groups"
        method = f"95%, Wilson on {n} {what} (they do not differ, so a bootstrap has no width)"
        return Interval(low + a * (high - low), low + b * (high - low), method)

    def support(self, holds: ArrayLike) -> IntArray:
        """How many groups hold a sample of each class: `holds` bool `(n, K)` gives int `(K,)`."""
        rows, classes = np.nonzero(np.asarray(holds))
        k = np.shape(holds)[1]
        pairs = np.unique(self.codes[rows] * k + classes)
        return np.bincount(pairs % k, minlength=k)

    def proportion(self, hits: ArrayLike) -> Interval:
        """The interval of the mean of `hits`, bool or 0/1 `(n,)`: Wilson where every sample is its own group,
        else the cluster bootstrap of hits ÷ samples."""
        hits = np.asarray(hits, dtype=np.float64)
        if self.singletons:
            return Interval(*wilson(float(hits.sum()), len(hits)), "95%, Wilson")
        return self.mean(hits, low=0.0, high=1.0)

    def mean(self, values: ArrayLike, *, low: float, high: float) -> Interval:
        """The bootstrap interval of the mean of per-sample `values` `(n,)` that lie in `low`…`high`."""
        values = np.asarray(values, dtype=np.float64)
        if not len(values):
            return Interval(low, high, "no samples: the whole range is shown")
        by_group, size = self.by_group(values), self.by_group(np.ones(len(values)))
        estimate = float(values.mean())
        if self.groups < 2:
            return self.percentile(estimate, np.zeros(0), low=low, high=high)
        drawn = np.concatenate([(w @ by_group) / (w @ size) for w in self.weights()])
        return self.percentile(estimate, drawn, low=low, high=high)

    def by_group(self, values: ArrayLike) -> FloatArray:
        """Sum of `values` `(n,)` in each group: `(groups,)`."""
        weights = np.asarray(values, dtype=np.float64)
        return np.bincount(self.codes, weights=weights, minlength=self.groups).astype(np.float64)


def paired_difference(a: ArrayLike, b: ArrayLike, resampling: Resampling) -> tuple[float, Interval]:
    """Mean of `a` − mean of `b` over the same samples, with the interval of the *paired* difference.

    Pairing matters: two accuracies whose own intervals overlap can differ beyond doubt on the same clips.

    Args:
        a, b: hits, bool or 0/1 `(n,)`.
        resampling: the groups of the samples.

    Returns:
        The difference in −1…1, and its interval. Where nothing varies (no sample changes, or all do) the
        width comes from Wilson's interval on the number of groups whose answer changed.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    change = a - b
    if not len(change):
        return 0.0, Interval(-1.0, 1.0, "no samples: the whole range is shown")
    estimate = float(change.mean())
    if resampling.groups >= 2 and np.ptp(change) == 0:
        low, high = wilson(abs(estimate) * resampling.groups, resampling.groups)
        what = "samples" if resampling.singletons else "groups"
        method = f"95%, Wilson on {resampling.groups} {what} (every sample changes alike)"
        if estimate == 0:
            return 0.0, Interval(-high, high, method)
        pair = (low, high) if estimate > 0 else (-high, -low)
        return estimate, Interval(*pair, method)
    return estimate, resampling.mean(change, low=-1.0, high=1.0)


def bootstrap(
    resampling: Resampling, statistic: Callable[[FloatArray], FloatArray], *, draws: int | None = None
) -> FloatArray:
    """Any statistic of weighted samples.

    Args:
        resampling: the groups.
        statistic: takes the samples' weights float `(r, n)` (how often each was drawn), gives `(r, ...)`.
        draws: fewer than `resampling.draws`, for statistics that cost much.

    Returns:
        `(draws, ...)`.
    """
    if resampling.groups < 1:
        return np.zeros(0)
    # A chunk holds (r, groups); with few large groups (r, n) would be far larger, so it is cut again.
    n = len(resampling.codes)
    size = max(1, _CHUNK // max(1, n))
    parts = []
    for weights in resampling.weights(draws):
        for at in range(0, len(weights), size):
            parts.append(statistic(weights[at : at + size][:, resampling.codes]))
    return np.concatenate(parts)
