"""Groups from a column, from paths and from the footage; a random split of grouped data is refused with figures."""

from __future__ import annotations

import numpy as np
import pytest

from marey.cli.main import main
from marey.data.groups import fingerprints, grouped_from, random_leak, refuse_random
from marey.data.manifest import Manifest
from marey.data.splits import check_split
from marey.errors import ConfigError, ManifestError, SplitError, UnknownNameError
from marey.video.synthetic import write_video
from tests.data.planted import moving

SHARES = {"train": 0.6, "test": 0.4}


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Ten videos of five recordings: of each a copy, cropped and faster."""
    folder = tmp_path_factory.mktemp("footage")
    lines = ["path,label,camera"]
    for number in range(5):
        frames = moving(number + 40)
        write_video(folder / f"v_Run_g{number:02d}_c01.mp4", frames, fps=12.0)
        write_video(folder / f"v_Run_g{number:02d}_c02.mp4", frames[:, 6:90, 4:92], fps=16.0)
        for clip in (1, 2):
            lines.append(f"v_Run_g{number:02d}_c{clip:02d}.mp4,{'ab'[number % 2]},cam{number // 2}")
    (folder / "m.csv").write_text("\n".join(lines) + "\n")
    return folder / "m.csv"


def groups(manifest):
    return manifest.table["group"].to_pylist()


def test_groups_from_a_pattern_or_a_column(footage):
    manifest = Manifest.read(footage)
    assert groups(grouped_from(manifest, r"_(g\d+)_")) == [f"g{n // 2:02d}" for n in range(10)]
    assert groups(grouped_from(manifest, "camera")) == [f"cam{n // 4}" for n in range(10)]
    with pytest.raises(ManifestError, match=r"m.csv line 2: .* finds no group in 'v_Run_g00_c01.mp4'"):
        grouped_from(manifest, r"_(x\d+)_")
    with pytest.raises(UnknownNameError, match="Did you mean 'camera'"):
        grouped_from(manifest, "camra")
    with pytest.raises(ConfigError, match="regular expression"):
        grouped_from(manifest, "(")


def test_groups_from_the_footage(footage, tmp_path):
    found = grouped_from(Manifest.read(footage), "auto", folder=tmp_path)
    assert groups(found) == [f"v_Run_g{n // 2:02d}_c01.mp4" for n in range(10)]
    tied = grouped_from(grouped_from(Manifest.read(footage), "camera"), "auto", folder=tmp_path)
    assert len(set(groups(tied))) == 3, "what was together stays together"


def test_a_random_split_of_grouped_data_is_refused_with_what_it_would_inflate(footage, tmp_path):
    manifest = Manifest.read(footage)
    prints = fingerprints(manifest, tmp_path)
    leak = random_leak(manifest, SHARES, 0, prints)
    assert leak.shared == pytest.approx(0.67, abs=0.2)  # the other of two lies in train for 6 of 9
    assert leak.nearest_random > leak.nearest_grouped + 0.1
    with pytest.raises(SplitError, match=r"group of \d+% of the held-out samples into train") as caught:
        refuse_random(manifest, SHARES, 0, prints)
    assert "means over 10 draws" in str(caught.value)
    alone = manifest.select(np.arange(0, 10, 2))
    refuse_random(alone, SHARES, 0, prints)  # nothing belongs together: no refusal


def test_from_the_command_line(footage, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["data", "split", str(footage), "--train", "0.6", "--val", "0", "--test", "0.4"]
    assert main([*words[:3], "out.csv", *words[3:], "--group-from", "auto"]) == 0
    assert "by group (5 groups)" in capsys.readouterr().out
    check_split(Manifest.read(tmp_path / "out.csv"))
    assert main([*words[:3], "no.csv", *words[3:], "--group-from", "none"]) == 1
    assert "a random split would put" in capsys.readouterr().err
    assert not (tmp_path / "no.csv").exists()
    assert main([*words[:2], "out.csv", "again.csv", "--group-from", "camera"]) == 1
    assert "official split is worth more" in capsys.readouterr().err
