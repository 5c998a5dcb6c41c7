"""When a sliding classifier's scores are segments: rules of each class, and a small JSON that keeps fitted ones."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from marey.errors import CheckpointError, ConfigError, DataError
from marey.files import write_json
from marey.localize.smoothing import HysteresisConfig

FILE = "thresholds.json"
FORMAT = 1


@dataclass(frozen=True)
class Thresholds:
    """Rules fitted on annotated videos, with where they come from.

    Attributes:
        rules: of each class, by name.
        window, stride: seconds of the windows whose scores they were fitted on; of others they say nothing.
        weights: SHA-256 of the classifier's file.
        fitted: on what, and how well: data, split, videos, segments, by, value.
    """

    rules: dict[str, HysteresisConfig]
    window: float
    stride: float
    weights: str
    fitted: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write JSON, whole or not at all."""
        write_json(
            path,
            {
                "format": FORMAT,
                "weights": self.weights,
                "window": self.window,
                "stride": self.stride,
                "fitted": self.fitted,
                "rules": {name: asdict(rule) for name, rule in self.rules.items()},
            },
        )

    @classmethod
    def read(cls, path: Path, *, weights: str) -> Thresholds:
        """The inverse of `write`.

        Args:
            weights: SHA-256 of the classifier that they are to be used with.

        Raises:
            DataError: not such a file. CheckpointError: fitted on another classifier.
        """
        again = "fit them again: marey localize WEIGHTS --fit SEGMENTS"
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            if tree["format"] != FORMAT:
                raise DataError(f"thresholds of format {tree['format']}.", again, where=str(path))
            rules = {str(name): HysteresisConfig(**rule) for name, rule in tree["rules"].items()}
            found = cls(
                rules,
                float(tree["window"]),
                float(tree["stride"]),
                str(tree["weights"]),
                dict(tree["fitted"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            raise DataError(
                f"these thresholds cannot be read ({type(error).__name__}: {error}).", again, where=str(path)
            ) from error
        if found.weights != weights:
            raise CheckpointError(
                "these thresholds were fitted on another classifier than the one that they lie beside.",
                again,
                "or remove the file, and stated defaults are used",
                where=str(path),
            )
        return found

    def __str__(self) -> str:
        about = self.fitted
        return (
            f"thresholds fitted on {about.get('videos')} videos ({about.get('split')}) of {about.get('data')}: "
            f"{about.get('by')} {100 * float(about.get('value', 0)):.1f}% there"
        )
