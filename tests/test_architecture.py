"""The house stands as planned: arrows point one way, the public names are these, and looking is cheap."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import marey

SOURCE = Path(marey.__file__).parent

# A room may import itself and the rooms named here; nothing else of marey.
LEAVES = {"errors", "types", "spec", "files", "config", "runs", "tensors", "work"}
MAY_IMPORT: dict[str, set[str]] = {
    "video": LEAVES,
    "data": LEAVES | {"video"},
    "models": LEAVES,
    "metrics": LEAVES,
    "localize": LEAVES | {"models.masked"},
    "predict": LEAVES | {"video", "data", "models", "metrics", "localize"},
    "training": LEAVES | {"video", "data", "models", "metrics", "localize", "predict"},
    "export": LEAVES | {"video", "data", "models", "metrics", "predict"},
    "report": LEAVES | {"video", "data", "metrics", "predict"},
    "live": LEAVES | {"video", "data", "metrics", "predict"},
    "jobs": LEAVES
    | {"video", "data", "models", "metrics", "localize", "predict", "training", "export", "report", "live"},
    "cli": LEAVES
    | {"video", "data", "models", "metrics", "localize", "predict", "training", "export", "report", "live"}
    | {"jobs"},
}
LEAF_MAY_IMPORT = {
    "errors": set(),
    "types": set(),
    "spec": {"errors"},
    "files": {"errors"},
    "config": {"errors"},
    "runs": {"errors", "files"},
    "tensors": {"errors", "files"},
    "work": {"errors"},
}


def imports_of(path: Path) -> set[str]:
    """Every module of marey that a file imports, at the top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the room"
            found.add(node.module or "")
            if node.module == "marey":
                found |= {f"marey.{alias.name}" for alias in node.names if alias.name != "__version__"}
    return {name.removeprefix("marey.") for name in found if name.startswith("marey.")}


def test_arrows_point_one_way():
    wrong = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        room = parts[0]
        if room in ("__init__", "__main__"):
            continue
        allowed = LEAF_MAY_IMPORT[room] if len(parts) == 1 else MAY_IMPORT[room] | {room}
        for name in imports_of(path):
            if not any(name == one or name.startswith(one + ".") for one in allowed):
                wrong.append(f"{'/'.join(parts)} imports marey.{name}")
    assert not wrong, "\n".join(wrong)


def test_every_room_is_known():
    rooms = {p.name for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert rooms <= set(MAY_IMPORT)
    leaves = {p.stem for p in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    assert leaves == LEAVES


def test_public_names():
    assert sorted(marey.__all__) == [
        "Clip",
        "DistillConfig",
        "EvalConfig",
        "FuseConfig",
        "InputSpec",
        "Manifest",
        "MareyError",
        "PackConfig",
        "Prediction",
        "Predictor",
        "Segment",
        "TrainConfig",
        "__version__",
        "create_model",
        "distill",
        "evaluate",
        "fuse_runs",
        "list_models",
        "load",
        "make_motion",
        "open_stream",
        "open_video",
        "pack",
        "train",
    ]
    for name in marey.__all__:
        assert getattr(marey, name) is not None
    assert callable(marey.train)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = marey.trian


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["train", "--help"],
        ["data", "show", "--help"],
        ["predict", "--help"],
        ["watch", "--help"],
        ["models", "--fast"],
    ],
)
def test_looking_imports_no_torch(words):
    code = (
        "import sys\nfrom marey.cli.main import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()


def test_help_costs_little():
    """Processor time, which other work on the machine does not change; the user sees about as much."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "marey", "--help"], capture_output=True, check=True)
    after = os.times()
    assert (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    ) < 0.5


def test_the_package_speaks_of_itself_alone():
    """No path of one machine, no host of a registry, nothing of a folder that only tests read."""
    for path in [*SOURCE.rglob("*.py"), *SOURCE.parent.parent.glob("*.md")]:
        text = path.read_text(encoding="utf-8")
        for word in ("MAREY_" + "SHARED", "/ro" + "ot/", "py" + "pi.org"):
            assert word not in text, f"{path} has {word}"
