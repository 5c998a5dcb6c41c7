"""What packets tell without decoding, byte by byte."""

from __future__ import annotations

import pytest

from marey.video.codecs import (
    h264_unreferenced,
    hevc_droppable,
    is_shown,
    nal_length_size,
    nal_units,
    starts_clean,
)


@pytest.mark.parametrize(
    ("bits", "shown"),
    [
        ("10 00 0 1 1 0", True),
        ("10 00 0 1 0 0", False),
        ("10 00 1 000", True),  # an earlier picture is shown again
        ("10 11 0 0 1 1 0", True),  # profile 3 has a reserved bit
        ("10 11 0 0 1 0 0", False),
    ],
)
def test_vp9_shown(bits, shown):
    digits = bits.replace(" ", "").ljust(16, "0")
    assert is_shown("vp9", int(digits, 2).to_bytes(2, "big") + b"\x00") is shown


def test_vp9_superframes_and_vp8():
    assert is_shown("vp9", b"\x84\x00\xc1")  # a superframe ends in the picture that is shown
    assert is_shown("vp8", b"\x10")
    assert not is_shown("vp8", b"\x00")
    assert not is_shown("vp8", b"")
    assert is_shown("h264", b"\x00")


def _avc(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def test_nal_units_of_both_kinds():
    units = [b"\x67abc", b"\x65xyz"]
    assert list(nal_units(_avc(*units), 4)) == units
    assert list(nal_units(b"\0\0\1" + units[0] + b"\0\0\1" + units[1], 0)) == units
    assert list(nal_units(b"", 0)) == []
    assert nal_length_size("h264", b"\1\x64\0\x1f\xff") == 4
    assert nal_length_size("h264", b"\0\0\0\1\x67") == 0
    assert nal_length_size("h264", None) == 0


RECOVERY_NOW, RECOVERY_LATER, BROKEN = 0b1_1_0_00_100, 0b010_1_0_00_1, 0b1_1_1_00_100


@pytest.mark.parametrize(
    ("units", "clean"),
    [
        ([b"\x65slice"], True),
        ([b"\x06\x06\x01" + bytes([RECOVERY_NOW]) + b"\x80", b"\x41slice"], True),
        ([b"\x06\x05\x02ab\x06\x01" + bytes([RECOVERY_NOW]) + b"\x80", b"\x41slice"], True),
        ([b"\x06\x06\x01" + bytes([RECOVERY_LATER]) + b"\x80", b"\x41slice"], False),
        ([b"\x06\x06\x01" + bytes([BROKEN]) + b"\x80", b"\x41slice"], False),
        ([b"\x41slice"], False),
        ([], False),
    ],
)
def test_h264_clean_starts(units, clean):
    assert starts_clean("h264", _avc(*units), 4) is clean


@pytest.mark.parametrize(
    ("units", "alone"),
    [
        ([b"\x01slice"], True),
        ([b"\x09\xf0", b"\x01slice", b"\x01second slice", b"\x0c\xff\x80"], True),
        ([b"\x21slice"], False),  # nal_ref_idc 1
        ([b"\x01one field", b"\x21the other"], False),
        ([b"\x06message", b"\x01slice"], False),
        ([b"\x68parameters", b"\x01slice"], False),
        ([b"\x09\xf0"], False),
        ([], False),
    ],
)
def test_h264_packets_that_nothing_else_needs(units, alone):
    assert h264_unreferenced(_avc(*units), 4) is alone
    assert h264_unreferenced(b"".join(b"\0\0\1" + unit for unit in units), 0) is alone
    assert not h264_unreferenced(_avc(*units)[:-1], 4), "it was cut short"


def test_hevc():
    def unit(kind: int, layer: int) -> bytes:
        return bytes([kind << 1, layer + 1, 0])

    assert starts_clean("hevc", _avc(unit(32, 0), unit(21, 0)), 4)
    assert not starts_clean("hevc", _avc(unit(1, 0)), 4)
    assert hevc_droppable(_avc(unit(35, 0), unit(0, 2)), 4) == (True, 3)
    assert hevc_droppable(_avc(unit(1, 2)), 4)[0] is False
    assert hevc_droppable(_avc(unit(19, 0)), 4)[0] is False


def test_codecs_of_which_nothing_is_known_start_only_at_the_first_packet():
    assert not starts_clean("gif", b"anything", 0)
    assert starts_clean("vp9", b"anything", 0)
