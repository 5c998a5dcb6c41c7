"""Features of two networks over one grid, side by side: what two localizers that answer as one are asked with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from marey.data.features import FeatureGrid, Features
from marey.data.instants import ClipReader, Span
from marey.errors import ConfigError
from marey.predict.extract import Extractor
from marey.types import FloatArray
from marey.video.reader import open_video


@dataclass(frozen=True, eq=False)
class PairedExtractor:
    """Two extractors; a position has the numbers of `one`, then those of `two`.

    Raises:
        ConfigError: their grids differ.
    """

    one: Extractor
    two: Extractor

    def __post_init__(self) -> None:
        if self.one.grid != self.two.grid:
            raise ConfigError(
                "two localizers are fused position by position, and their features lie on different grids.",
                f"{self.one.name}: {self.one.grid}",
                f"{self.two.name}: {self.two.grid}",
                "extract both with the same --fps, --window and --stride",
            )

    @property
    def name(self) -> str:
        return f"{self.one.name} and {self.two.name}"

    @property
    def grid(self) -> FeatureGrid:
        return self.one.grid

    def instants(self, reader: ClipReader, span: Span) -> FloatArray:
        """As an `Extractor`'s."""
        return self.one.instants(reader, span)

    def features(self, reader: ClipReader, span: Span) -> Iterator[Features]:
        """As an `Extractor`'s, `(n, D₁ + D₂)` at a time; each network has a reader of the video for itself."""
        with open_video(reader.info.path) as second:
            held: list[Features | None] = [None, None]
            sources = [self.one.features(reader, span), self.two.features(second, span)]
            while True:
                for i, source in enumerate(sources):
                    if held[i] is None or not len(held[i]):  # type: ignore[arg-type]
                        held[i] = next(source, None)
                a, b = held
                if a is None or b is None:
                    assert a is b is None, "one grid over one video has one number of positions"
                    return
                count = min(len(a), len(b))
                held[0], held[1] = a[count:], b[count:]
                yield np.concatenate([a[:count], b[:count]], axis=1)
