"""Flow against motion that is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.errors import CheckpointError, ConfigError, UnknownNameError
from marey.video.flow import BOUND, METHODS, compute_flow
from marey.video.flow.sparse import best_corners, fill, sparse_flow
from marey.video.synthetic import render_motion
from tests.video.moving import endpoint_error, translation

CLASSICAL = [name for name, row in METHODS.items() if not row.learned and name != "diff"]
TIMES = np.array([0.0, 0.04])


@pytest.mark.parametrize("method", CLASSICAL)
@pytest.mark.parametrize("shift", [(0.4, -0.7), (-3.3, 2.2), (6.5, 4.0)])
def test_translation_by_parts_of_a_pixel(method: str, shift: tuple[float, float]) -> None:
    frames = translation([(0, 0), shift])
    flow = compute_flow(frames, TIMES, method)
    assert flow.fields.shape == (1, 2, 96, 128)
    assert flow.fields.dtype == np.float32
    assert endpoint_error(flow.fields[0], shift) < 0.2


@pytest.mark.parametrize("method", CLASSICAL)
def test_an_object_before_a_still_wall(method: str) -> None:
    video = render_motion("right", np.random.default_rng(3), size=96, frames=12, fps=12)
    flow = compute_flow(video.frames[4:6], video.times[4:6], method)
    inside = cv2.erode(video.masks[4].astype(np.uint8), np.ones((9, 9))) > 0
    assert inside.sum() > 100
    found, true = flow.fields[0][:, inside].mean(axis=1), video.flow[4][:, inside].mean(axis=1)
    assert np.linalg.norm(true) > 2
    assert np.linalg.norm(found - true) < 0.25 * np.linalg.norm(true)


@pytest.mark.parametrize("method", [*CLASSICAL, "diff"])
def test_a_field_depends_on_its_two_frames_alone_and_is_the_same_each_time(method: str) -> None:
    frames = translation([(0, 0), (2, 1), (5, 1), (4, -2)], height=64, width=64)
    times = np.array([0.0, 0.1, 0.2, 0.3])
    whole = compute_flow(frames, times, method)
    assert np.array_equal(whole.fields, compute_flow(frames, times, method).fields)
    assert np.array_equal(whole.fields[2:], compute_flow(frames[2:], times[2:], method).fields)


@pytest.mark.parametrize("method", [*CLASSICAL, "diff"])
@pytest.mark.parametrize("size", [(1, 1), (9, 9), (12, 200), (200, 17), (31, 33)])
def test_frames_of_any_size(method: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, *size, 3), dtype=np.uint8)
    fields = compute_flow(frames, TIMES, method).fields
    assert fields.shape == (1, 2, *size)
    assert np.isfinite(fields).all()


@pytest.mark.parametrize("method", [*CLASSICAL, "diff"])
def test_gray_frames_give_what_their_rgb_gives(method: str) -> None:
    gray = translation([(0, 0), (2, 1)], height=64, width=64)[..., :1]
    from_rgb = compute_flow(np.repeat(gray, 3, axis=-1), TIMES, method)
    assert np.array_equal(compute_flow(gray, TIMES, method).fields, from_rgb.fields)


@pytest.mark.parametrize("method", ["dis-medium", "dis-fast", "farneback"])
def test_a_change_of_light_is_not_motion(method: str) -> None:
    frames = translation([(0, 0), (2.0, 1.0)])
    frames[1] = np.clip(frames[1] * 1.05 + 4, 0, 255)
    assert endpoint_error(compute_flow(frames, TIMES, method).fields[0], (2.0, 1.0)) < 0.25


def test_the_intervals_of_a_variable_frame_rate() -> None:
    # one speed, 50 pixels a second, seen at uneven times
    times = np.array([8.333, 8.353, 8.413, 8.433])
    frames = translation([(50 * (t - times[0]), 0) for t in times])
    flow = compute_flow(frames, times)
    assert np.array_equal(flow.intervals, np.diff(times))
    assert np.allclose(flow.fields[:, 0, 20:-20, 20:-20].mean(axis=(1, 2)), [1, 3, 1], atol=0.1)
    assert np.allclose(flow.velocity[:, 0, 20:-20, 20:-20].mean(axis=(1, 2)), 50, atol=3)


def test_a_frame_shown_twice_does_not_move() -> None:
    frames = translation([(0, 0), (2, 0), (2, 0)])
    frames[2] = 0  # padding: zeros at a repeated time
    flow = compute_flow(frames, np.array([0.0, 0.04, 0.04]))
    assert flow.fields[0].any()
    assert not flow.fields[1].any()
    assert not flow.velocity[1].any()


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_frames_give_no_fields(count: int) -> None:
    flow = compute_flow(np.zeros((count, 20, 30, 3), np.uint8), np.arange(count, dtype=float))
    assert flow.fields.shape == (0, 2, 20, 30)
    assert len(flow) == len(flow.intervals) == 0


def test_diff_is_the_change_of_gray_on_the_scale_of_the_bound() -> None:
    frames = np.zeros((2, 4, 6, 1), np.uint8)
    frames[1, :2] = 255
    frames[0, 2:] = 51
    fields = compute_flow(frames, TIMES, "diff").fields[0]
    assert np.allclose(fields[0, :2], BOUND)
    assert np.allclose(fields[0, 2:], -51 / 255 * BOUND)
    assert not fields[1].any()


def test_wrong_calls_say_what_would_be_right() -> None:
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    with pytest.raises(UnknownNameError, match="Did you mean 'dis-medium'"):
        compute_flow(frames, TIMES, "dis-mediun")
    with pytest.raises(ConfigError, match="float32"):
        compute_flow(frames.astype(np.float32), TIMES)
    with pytest.raises(ConfigError, match="one finite time"):
        compute_flow(frames, np.zeros(3))
    with pytest.raises(ConfigError, match="raft"):
        compute_flow(frames, TIMES, "tvl1", weights="x.pth")


# -- sparse Lucas-Kanade -------------------------------------------------------------------------------------


def test_sparse_flow_of_plain_frames_is_zero() -> None:
    plain = np.full((50, 70), 90, np.uint8)
    assert not sparse_flow(plain, plain).any()


def test_corners_lie_in_their_cells_and_on_corners() -> None:
    gray = np.zeros((47, 63), np.uint8)
    gray[23:, 31:] = 200
    corners, _, cells = best_corners(gray)
    assert np.abs(corners - (31, 23)).max(axis=1).min() <= 1
    assert np.array_equal(corners[:, 1] // 10 * 7 + corners[:, 0] // 10, cells)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 13), columns=st.integers(1, 13), seed=st.integers(0, 10_000))
def test_filling_keeps_what_is_known_and_stays_in_its_range(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    motion = rng.uniform(-9, 9, (rows, columns, 2)).astype(np.float32)
    trust = (rng.random((rows, columns)) < 0.3).astype(np.float32)
    trust[rng.integers(rows), rng.integers(columns)] = 1
    filled = fill(motion, trust)
    known = trust > 0
    assert filled.shape == motion.shape
    assert np.allclose(filled[known], motion[known], atol=1e-5)
    for component in (0, 1):
        values = motion[known][:, component]
        assert filled[..., component].min() >= values.min() - 1e-4
        assert filled[..., component].max() <= values.max() + 1e-4


# -- RAFT ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raft_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from torchvision.models.optical_flow import raft_small

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("raft") / "small.pth"
    torch.save(raft_small(weights=None).state_dict(), path)
    return path


def test_raft_is_torchvisions_network(raft_weights: Path) -> None:
    import torch
    from torchvision.models.optical_flow import raft_small

    frames = translation([(0, 0), (2, 1), (3, 1)], height=128, width=136)
    flow = compute_flow(frames, np.array([0, 0.1, 0.2]), "raft-small", weights=raft_weights, device="cpu")
    network = raft_small(weights=None).eval()
    network.load_state_dict(torch.load(raft_weights, weights_only=True))
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255 * 2 - 1
    with torch.inference_mode():
        expected = network(x[:-1], x[1:])[-1].numpy()
    assert np.allclose(flow.fields, expected, atol=1e-3)


def test_raft_takes_odd_and_small_gray_frames(raft_weights: Path) -> None:
    frames = translation([(0, 0), (2, 1)], height=51, width=67)[..., :1]
    flow = compute_flow(frames, TIMES, "raft-small", weights=raft_weights, device="cpu")
    assert flow.fields.shape == (1, 2, 51, 67)
    assert np.isfinite(flow.fields).all()


def test_wrong_weights_are_a_typed_error(raft_weights: Path, tmp_path: Path) -> None:
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    with pytest.raises(CheckpointError, match="no such file"):
        compute_flow(frames, TIMES, "raft-small", weights=tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="not those of raft-large"):
        compute_flow(frames, TIMES, "raft-large", weights=raft_weights, device="cpu")
    junk = tmp_path / "junk.pth"
    junk.write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="cannot be read"):
        compute_flow(frames, TIMES, "raft-small", weights=junk)


def test_without_a_connection_the_error_says_what_to_fetch(tmp_path: Path) -> None:
    program = (
        "import numpy as np; from marey.video.flow import compute_flow\n"
        "from marey.errors import CheckpointError\n"
        "try: compute_flow(np.zeros((2, 16, 16, 3), np.uint8), np.array([0, 1.0]), 'raft-small')\n"
        "except CheckpointError as error: print(error)\n"
    )
    closed = "http://127.0.0.1:9"
    environment = {
        "TORCH_HOME": str(tmp_path),
        "https_proxy": closed,
        "http_proxy": closed,
        "PATH": "/usr/bin:/bin",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert "cannot be downloaded" in done.stdout
    assert "raft_small" in done.stdout
    assert "weights=PATH" in done.stdout
