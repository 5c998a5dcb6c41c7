"""Pictures of flow."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marey.errors import ConfigError
from marey.video.flow import Flow, compute_flow, draw_arrows, flow_to_color, write_flow_picture
from marey.video.flow.picture import colour_wheel
from tests.video.moving import translation


def colour(u: float, v: float, longest: float = 1.0) -> list[int]:
    field = np.array([u, v], dtype=np.float32).reshape(2, 1, 1)
    return flow_to_color(field, longest=longest)[0, 0].tolist()


def test_the_wheel_has_the_published_hues() -> None:
    wheel = colour_wheel()
    assert wheel.shape == (55, 3)
    # Baker et al.: red at 0, yellow after 15 steps, then green, cyan, blue, magenta after 6, 4, 11, 13
    anchors = {0: (255, 0, 0), 15: (255, 255, 0), 21: (0, 255, 0), 25: (0, 255, 255), 36: (0, 0, 255)}
    anchors[49] = (255, 0, 255)
    for place, hue in anchors.items():
        assert tuple(wheel[place]) == hue
    assert np.allclose(wheel[5], (255, 85, 0))


def test_directions() -> None:
    assert colour(1, 0) == [255, 0, 0]
    assert colour(0, 0) == [255, 255, 255]
    red, green, blue = colour(0, 1)  # down: yellow
    assert red > 200
    assert green > 200
    assert blue == 0
    red, green, blue = colour(-1, 0)  # left: between cyan and blue
    assert red == 0
    assert blue == 255
    assert colour(0.5, 0) == [255, 128, 128]
    assert colour(2, 0) == [191, 0, 0]  # beyond the scale: darker


@given(angle=st.floats(-3.2, 3.2), length=st.floats(0.01, 1.0))
def test_longer_motion_is_never_paler(angle: float, length: float) -> None:
    u, v = np.cos(angle), np.sin(angle)
    full, part = colour(u, v, 1.0001), colour(length * u, length * v, 1.0001)
    assert all(p >= f for p, f in zip(part, full, strict=True))


def test_unknown_motion_is_black_and_stillness_white() -> None:
    field = np.zeros((2, 3, 4), np.float32)
    field[0, 1, 1] = np.nan
    picture = flow_to_color(field)
    assert picture[1, 1].tolist() == [0, 0, 0]
    assert (picture[0] == 255).all()


def test_arrows_stand_where_motion_is() -> None:
    frame = np.full((64, 96, 1), 100, np.uint8)
    field = np.zeros((2, 64, 96), np.float32)
    field[0, :, 48:] = 6
    picture = draw_arrows(frame, field)
    assert picture.shape == (64, 96, 3)
    assert (picture[:, :40] == 100).all()
    assert (picture[:, 48:] != 100).any()
    assert (frame == 100).all()
    with pytest.raises(ConfigError, match="agree"):
        draw_arrows(frame, field[:, :-1])


def test_one_picture_for_people(tmp_path: Path) -> None:
    frames = translation([(2.0 * k, 0) for k in range(7)])
    flow = compute_flow(frames, np.arange(7) / 25)
    path = write_flow_picture(tmp_path / "new" / "flow.png", frames, flow)
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert picture.shape[0] > 2 * 96
    assert picture.shape[1] > 4 * 128
    lower = picture[22 + 96 + 6 + 20 : 22 + 96 + 6 + 76, 26:114].reshape(-1, 3).mean(axis=0)
    assert lower[0] > 240  # all of it moves right: red
    assert lower[1] < 80
    assert [p.name for p in path.parent.iterdir()] == ["flow.png"]
    with pytest.raises(ConfigError, match="two frames"):
        write_flow_picture(path, frames[:1], Flow(np.zeros((0, 2, 96, 128), np.float32), np.zeros(0)))
