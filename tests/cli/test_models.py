"""`marey models`: one table of models, one of weights, and the page that holds the first."""

from __future__ import annotations

import json
from pathlib import Path

from marey.cli.main import main
from marey.models import list_models

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


def said(capsys, *words: str) -> str:
    assert main(["models", *words]) == 0
    return capsys.readouterr().out


def test_the_page_holds_what_the_command_prints(capsys):
    page = PAGE.read_text(encoding="utf-8")
    _, _, rest = page.partition("<!-- marey models --markdown -->\n")
    table, end, _ = rest.partition("<!-- end -->")
    assert end
    assert table == said(capsys, "--markdown"), (
        "run `marey models --markdown` and put its table into the page"
    )
    for entry in list_models():
        assert f"`{entry.name}`" in table
        assert entry.input in table


def test_weights_say_how_they_load_and_under_which_protocol(capsys):
    text = said(capsys, "--pretrained")
    assert "--weights R2Plus1D_18_Weights.KINETICS400_V1" in text
    assert "--weights https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/X3D_M.pyth" in text
    assert "a file: the public PyTorch ports of Inception-I3D" in text
    assert "Kinetics-400: top-1 67.5%, top-5 86.2%; 5 clips × 1 crop, 16 frames, 112²" in text
    rows = json.loads(said(capsys, "--pretrained", "--json"))
    swin = next(r for r in rows if r["source"] == "Swin3D_T_Weights.KINETICS400_V1")
    assert (swin["model"], swin["direct"], swin["top1"]) == ("video_swin_t", True, 77.715)


def test_two_ways_to_print_are_refused(capsys):
    assert main(["models", "--json", "--markdown"]) == 2
    assert "give one of them" in capsys.readouterr().err
