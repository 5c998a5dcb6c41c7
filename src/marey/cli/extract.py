"""`marey extract`: a network's features over time, computed ahead of training."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from marey.cli.parse import parse
from marey.jobs.extract import ExtractConfig


def run(args: Sequence[str]) -> int:
    """Compute; exit code 1 where a video could not be done."""
    config = parse(ExtractConfig, args, "extract")

    from marey.jobs.extract import extract

    done = extract(config)
    print(str(done), file=sys.stderr if done.exit_code else sys.stdout)
    return done.exit_code
