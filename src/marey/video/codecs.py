"""What the packets of a codec tell without decoding: where decoding may start, what nobody refers to, and
which pictures are never shown.

References: H.264 is ITU-T H.264 §7.3 (NAL units) and §D.2.8 (recovery point); HEVC is ITU-T H.265 §7.4.2.2
(NAL unit types); VP8 is RFC 6386 §9.1; VP9 is the VP9 bitstream specification §6.2 and annex B (superframes).
"""

from __future__ import annotations

from collections.abc import Iterator

CLEAN_KEYFRAMES = frozenset({
    "h264", "hevc", "vp8", "vp9", "av1", "mpeg1video", "mpeg2video", "mpeg4", "h263", "mjpeg", "png", "prores",
    "dnxhd", "ffv1", "rawvideo", "huffyuv", "ffvhuff", "utvideo", "jpeg2000", "dvvideo", "theora", "flv1",
})  # fmt: skip
"""Codecs whose keyframes start anew: what is shown from a keyframe on refers to nothing before it. Of all
others only the first packet is trusted, so they are decoded from the start."""

DROPPABLE = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4"})
"""Codecs whose decoder can leave out exactly the pictures that no other refers to: by `nal_ref_idc` for
H.264, B pictures for MPEG. (HEVC needs a look at the temporal layers: `hevc_droppable`.)"""


def nal_length_size(codec: str, extradata: bytes | None) -> int:
    """Bytes of the length before every NAL unit (avcC, hvcC), or 0 where start codes separate them."""
    if not extradata or extradata[:3] == b"\0\0\1" or extradata[:4] == b"\0\0\0\1":
        return 0
    at = {"h264": 4, "hevc": 21}.get(codec, len(extradata))
    return (extradata[at] & 3) + 1 if len(extradata) > at else 0


def nal_units(data: bytes, length_size: int) -> Iterator[bytes]:
    """The NAL units of a packet, without lengths or start codes."""
    at = 0
    if length_size:
        while at + length_size < len(data):
            size = int.from_bytes(data[at : at + length_size], "big")
            at += length_size
            yield data[at : at + size]
            at += size
        return
    at = data.find(b"\0\0\1")
    while at >= 0:
        following = data.find(b"\0\0\1", at + 3)
        yield data[at + 3 : following if following >= 0 else None]
        at = following


def starts_clean(codec: str, data: bytes, length_size: int) -> bool:
    """Whether decoding may start at this keyframe and be bit-exact for all that is shown from it on.

    A container's keyframe flag is not enough. H.264 marks recovery points as well: pictures from which an
    intra refresh *gradually* mends the image. Those count only where the stream promises an exact match at
    once (`recovery_frame_cnt` 0 and `exact_match_flag`), as open groups of pictures do.
    """
    if codec == "h264":
        for unit in nal_units(data, length_size):
            kind = unit[0] & 31 if unit else 0
            if kind == 5:
                return True
            if kind == 6 and _exact_recovery_point(unit[1:]):
                return True
            if kind == 1:
                return False
        return False
    if codec == "hevc":
        return any(16 <= (unit[0] >> 1 & 63) <= 21 for unit in nal_units(data, length_size) if unit)
    return codec in CLEAN_KEYFRAMES


def h264_unreferenced(data: bytes, length_size: int) -> bool:
    """Whether the packet holds one picture that no other refers to, and nothing else.

    That is: slices whose `nal_ref_idc` is 0, access unit delimiters and filler (§7.4.1). Parameter sets and
    messages (SEI) may concern later pictures. False where the lengths do not fill the packet, which is damage.
    """
    if length_size:
        heads, at = [], 0
        while at + length_size < len(data):
            heads.append(data[at + length_size])
            at += length_size + int.from_bytes(data[at : at + length_size], "big")
            if heads[-1] not in (1, 9, 12):  # what is referred to has higher bits set
                return False
        return 1 in heads and at == len(data)
    heads = [unit[0] if unit else 0 for unit in nal_units(data, 0)]
    return 1 in heads and set(heads) <= {1, 9, 12}


def hevc_droppable(data: bytes, length_size: int) -> tuple[bool, int]:
    """Whether the picture is a sub-layer non-reference one, and its temporal layer.

    Pictures of *higher* layers may still refer to it, so it can be dropped only in the highest layer.
    """
    for unit in nal_units(data[:4096], length_size):
        kind = unit[0] >> 1 & 63 if len(unit) > 1 else 63
        if kind < 32:
            return kind < 16 and kind % 2 == 0, unit[1] & 7
    return False, 0


def is_shown(codec: str, data: bytes | memoryview) -> bool:
    """Whether the packet gives a picture to show: VP8 and VP9 also carry references that are never shown."""
    if not data:
        return False
    if codec == "vp8":
        return bool(data[0] & 0x10)
    if codec == "vp9" and data[-1] & 0xE0 != 0xC0:  # a superframe always ends in the picture that is shown
        bits = f"{int.from_bytes(bytes(data[:2]).ljust(2, bytes(1)), 'big'):016b}"
        at = 5 if bits[2:4] == "11" else 4  # profile 3 has a reserved bit
        return bits[at] == "1" or bits[at + 2] == "1"  # show_existing_frame, or show_frame
    return True


def _exact_recovery_point(payload: bytes) -> bool:
    """Whether an H.264 SEI message is a recovery point that promises an exact match at once."""
    data = payload.replace(b"\0\0\3", b"\0\0")
    at = 0
    while at + 2 < len(data):
        kind = size = 0
        while at < len(data) and data[at] == 255:
            kind, at = kind + 255, at + 1
        kind, at = kind + data[at], at + 1
        while at < len(data) and data[at] == 255:
            size, at = size + 255, at + 1
        if at >= len(data):
            return False
        size, at = size + data[at], at + 1
        if kind == 6 and at < len(data):
            # recovery_frame_cnt ue(v) = 0 is a single 1 bit; exact_match_flag 1; broken_link_flag 0
            return data[at] >> 5 == 0b110
        at += size
    return False
