"""The one way to the shared folder of real videos: `MAREY_SHARED`, or `../shared` beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("MAREY_SHARED") or Path(__file__).resolve().parents[2] / "shared")

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="real videos are not here (set MAREY_SHARED to their folder)"
)
