from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.folders import make_run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run folder; read only."""
    folder = tmp_path_factory.mktemp("runs") / "train" / "a run"
    make_run(folder)
    return folder
