"""Flow on disk."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from marey.errors import DataError, SegmentError
from marey.video.flow import FlowWriter, StoredFlow, dequantise, error_bound, quantise

BOUNDS = st.sampled_from([1.0, 8.0, 20.0, 64.0])


@given(data=st.data(), bound=BOUNDS)
def test_what_lies_inside_comes_back_within_the_stated_error(data: st.DataObject, bound: float) -> None:
    values = hnp.arrays(np.float32, (2, 2, 3, 3), elements=st.floats(-bound, bound, width=32))
    fields = data.draw(values)
    back = dequantise(quantise(fields, bound), bound)
    rounding = 4 * np.finfo(np.float32).eps * bound
    assert np.abs(back - fields).max() <= error_bound(bound) + rounding


@given(value=st.floats(-1e6, 1e6, width=32), bound=BOUNDS)
def test_what_lies_outside_is_cut_off_and_signs_are_kept(value: float, bound: float) -> None:
    field = np.full((1, 2, 1, 1), value, np.float32)
    code = quantise(field, bound)
    assert code.min() >= 1
    back = dequantise(code, bound)
    assert np.abs(back).max() <= bound * (1 + 1e-6)
    if abs(value) >= bound:
        assert np.allclose(back, np.sign(value) * bound)
    assert np.array_equal(quantise(-field, bound).astype(int) - 128, 128 - code.astype(int))


def test_stillness_is_exact_and_the_bound_is_as_the_page_says() -> None:
    zero = np.zeros((1, 2, 2, 2), np.float32)
    assert (quantise(zero) == 128).all()
    assert not dequantise(quantise(zero)).any()
    assert error_bound(20.0) == pytest.approx(0.0787, abs=1e-4)
    # halfway between two levels the stated error is reached: no smaller one would be true
    halfway = np.full((1, 2, 1, 1), 20 / 127 * 10.5, np.float32)
    assert np.abs(dequantise(quantise(halfway)) - halfway).max() == pytest.approx(error_bound(20.0), rel=1e-4)


TIMES = np.array([8.333, 8.353, 8.353, 8.453, 8.4535, 9.0, 9.1, 9.2, 9.3, 9.4, 9.5, 9.6, 9.7, 9.8, 9.9, 9.95])


def some_fields(count: int = 15) -> np.ndarray:
    rng = np.random.default_rng(1)
    smooth = rng.uniform(-25, 25, (count, 2, 4, 5)).astype(np.float32)
    return np.stack([[cv2.resize(c, (37, 29)) for c in field] for field in smooth])


def write(folder: Path, fields: np.ndarray) -> None:
    with FlowWriter(folder, size=(29, 37), times=TIMES, info={"method": "made up"}) as writer:
        writer.write(fields[:4])
        writer.write(fields[4:])


def test_written_and_read_back(tmp_path: Path) -> None:
    fields = some_fields()
    write(tmp_path / "a", fields)
    stored = StoredFlow(tmp_path / "a")
    assert np.array_equal(stored.times, TIMES)  # to the last bit, whatever the container's clock
    assert np.array_equal(stored.intervals, np.diff(TIMES))
    whole = stored.read()
    assert np.array_equal(whole.fields, dequantise(quantise(fields)))
    some = stored.read([14, 0, 3, 3, 13])
    assert np.array_equal(some.fields, whole.fields[[14, 0, 3, 3, 13]])
    assert np.array_equal(some.intervals, whole.intervals[[14, 0, 3, 3, 13]])
    beyond = (np.abs(fields) > 20).any(axis=1).mean()
    assert 0 < stored.info["share_beyond_bound"] == pytest.approx(beyond)


def test_fields_at_times(tmp_path: Path) -> None:
    write(tmp_path / "a", some_fields())
    stored = StoredFlow(tmp_path / "a")
    whole = stored.read().fields
    got = stored.at(np.array([8.333, 9.05, 9.95]), length=3)
    assert np.array_equal(got.fields, whole[[0, 1, 2, 5, 6, 7, 12, 13, 14]])
    with pytest.raises(SegmentError, match="before the first"):
        stored.at(np.array([1.0]))
    with pytest.raises(SegmentError, match="consecutive"):
        stored.at(np.array([9.0]), length=16)
    with pytest.raises(SegmentError, match="0…14"):
        stored.read([15])


def test_other_tools_read_it(tmp_path: Path) -> None:
    fields = some_fields()
    write(tmp_path / "a", fields)
    for component, name in enumerate(("flow_x.mkv", "flow_y.mkv")):
        capture = cv2.VideoCapture(str(tmp_path / "a" / name), cv2.CAP_FFMPEG)
        pictures = []
        while (read := capture.read())[0]:
            pictures.append(read[1][..., 0])
        assert np.array_equal(np.stack(pictures), quantise(fields)[:, component])


def fail_after_three(folder: Path) -> None:
    with FlowWriter(folder, size=(29, 37), times=TIMES, info={}) as writer:
        writer.write(some_fields()[:3])
        raise ValueError("the decoder gave up")


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gave up"):
        fail_after_three(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_the_faster_of_two_writers_wins(tmp_path: Path) -> None:
    fields = some_fields()
    with FlowWriter(tmp_path / "a", size=(29, 37), times=TIMES, info={"method": "slow"}) as slow:
        slow.write(fields)
        (tmp_path / "b").mkdir()
        write(tmp_path / "b" / "a", fields)
        (tmp_path / "b" / "a").rename(tmp_path / "a")
    assert StoredFlow(tmp_path / "a").info["method"] == "made up"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_damage_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a", some_fields())
    path = tmp_path / "a" / "flow_y.mkv"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"damaged"):
        StoredFlow(tmp_path / "a").read()
    path.unlink()
    with pytest.raises(DataError, match="whole folder"):
        StoredFlow(tmp_path / "a")
