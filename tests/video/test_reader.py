"""Exact frames: bit-equal to decoding the whole file in order and picking, on videos encoded here."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from marey.errors import ConfigError, SegmentError, UnknownNameError, UsageError
from marey.types import Clip
from marey.video import VideoReader, open_video
from marey.video import index as index_module
from marey.video import packets as packets_module
from marey.video.picture import Orientation, target_size
from tests.video.encoded import decode_all, encode, pictures


def _x264(text: str) -> dict[str, str]:
    return {"x264-params": text + ":scenecut=0"}


def _x265(text: str) -> dict[str, str]:
    return {"x265-params": text + ":log-level=none:pools=none:frame-threads=1"}


_RNG = np.random.default_rng(7)
_UNEVEN = np.cumsum(_RNG.integers(2, 90, 40)).tolist()

KINDS: dict[str, Callable[[Path], Path]] = {
    "h264 without B": lambda d: encode(d / "a.mp4", options=_x264("keyint=12:bframes=0")),
    "h264 pyramid": lambda d: encode(d / "a.mp4", options=_x264("keyint=20:bframes=7:b-pyramid=normal:ref=4")),
    "h264 open groups": lambda d: encode(d / "a.mp4", options=_x264("keyint=10:bframes=3:open-gop=1:ref=5"), count=50),
    "h264 open groups mkv": lambda d: encode(d / "a.mkv", options=_x264("keyint=10:bframes=3:open-gop=1"), count=50),
    "h264 intra refresh": lambda d: encode(d / "a.mp4", options=_x264("keyint=10:intra-refresh=1:bframes=0")),
    "h264 interlaced": lambda d: encode(
        d / "a.mp4", options={"flags": "+ildct+ilme", **_x264("interlaced=1:keyint=12:bframes=3")}
    ),
    "h264 slices": lambda d: encode(d / "a.mp4", options=_x264("slices=4:keyint=12:bframes=3")),
    "h264 fragments": lambda d: encode(
        d / "a.mp4", options=_x264("keyint=12:bframes=3"), mux={"movflags": "frag_keyframe+empty_moov"}
    ),
    "h264 ts": lambda d: encode(d / "a.ts", options=_x264("keyint=12:bframes=3:open-gop=1")),
    "h264 flv": lambda d: encode(d / "a.flv", options=_x264("keyint=12:bframes=3")),
    "h264 avi": lambda d: encode(d / "a.avi", options=_x264("keyint=12:bframes=0")),
    "h264 avi with B": lambda d: encode(d / "a.avi", options=_x264("keyint=12:bframes=3")),
    "h264 raw": lambda d: encode(d / "a.h264", options=_x264("keyint=12:bframes=3")),
    "h264 uneven": lambda d: encode(
        d / "a.mp4", pts=_UNEVEN, time_base=Fraction(1, 1000), options=_x264("keyint=12:bframes=3")
    ),
    "h264 uneven late mkv": lambda d: encode(
        d / "a.mkv", pts=[5000 + t for t in _UNEVEN], time_base=Fraction(1, 1000), options=_x264("keyint=12")
    ),
    "h264 10 bit odd": lambda d: encode(
        d / "a.mp4", pix_fmt="yuv444p10le", height=65, width=97, options=_x264("keyint=12:bframes=3"), count=25
    ),
    "hevc open groups": lambda d: encode(
        d / "a.mp4", "libx265", options=_x265("keyint=12:min-keyint=12:bframes=4:open-gop=1"), height=96, width=128
    ),
    "hevc layers": lambda d: encode(
        d / "a.mkv", "libx265", options=_x265("keyint=12:bframes=4:temporal-layers=3:open-gop=0"), height=96, width=128
    ),
    "vp8": lambda d: encode(
        d / "a.webm", "libvpx", gop=20, options={"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "5"}
    ),
    "vp9": lambda d: encode(
        d / "a.webm", "libvpx-vp9", gop=20,
        options={"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime", "cpu-used": "8"},
    ),
    "mpeg4 avi": lambda d: encode(d / "a.avi", "mpeg4", gop=12, bframes=2),
    "mpeg4 mp4": lambda d: encode(d / "a.mp4", "mpeg4", gop=12, bframes=2),
    "mpeg2 ts": lambda d: encode(d / "a.ts", "mpeg2video", gop=12, bframes=2),
    "mpeg2 program": lambda d: encode(d / "a.mpg", "mpeg2video", gop=12, bframes=2),
    "ffv1": lambda d: encode(d / "a.mkv", "ffv1", gop=5, count=20),
    "mjpeg": lambda d: encode(d / "a.avi", "mjpeg", pix_fmt="yuvj420p", count=20),
    "prores": lambda d: encode(d / "a.mov", "prores", pix_fmt="yuv422p10le", count=10),
    "gif": lambda d: encode(d / "a.gif", "gif", pix_fmt="rgb8", count=12),
}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory) -> Path:
    return KINDS[request.param](tmp_path_factory.mktemp("kind"))


def _same_as_whole(
    video: VideoReader, whole: np.ndarray, size: int | None, seed: int, requests: int = 8
) -> None:
    rng = np.random.default_rng(seed)
    for request in range(requests):
        chosen = rng.integers(0, len(whole), rng.integers(1, 6)) if request else np.arange(len(whole))
        clip = video.frames_at(video.times[chosen], size=size)
        np.testing.assert_array_equal(clip.times, video.times[chosen])
        assert clip.mask.all()
        different = [
            int(i) for i, picture in zip(chosen, clip.frames, strict=True) if (picture != whole[i]).any()
        ]
        assert not different, f"request {request}, frames {chosen.tolist()}: {different} differ"


@pytest.mark.parametrize("size", [None, 32])
def test_frames_are_those_of_decoding_everything(kind, size):
    stamps, whole = decode_all(kind, size)
    with open_video(kind) as video:
        assert video.info.frames == len(video.times) == len(whole)
        if not video.index.counted:
            base = video._source.stream.time_base
            np.testing.assert_allclose(video.times, [float(stamp * base) for stamp in stamps], atol=1e-9)
        assert (np.diff(video.times) > 0).all()
        _same_as_whole(video, whole, size, seed=0)
    for seed in range(1, 4):  # from a cold start
        with open_video(kind) as video:
            _same_as_whole(video, whole, size, seed, requests=2)


def test_files_too_large_to_hold_are_sought_in(kind, monkeypatch):
    monkeypatch.setattr(index_module, "HELD_BYTES", 0)
    monkeypatch.setattr(packets_module, "HELD_TRUSTED", 0)
    _, whole = decode_all(kind)
    with open_video(kind, threads=2) as video:
        assert not video._source.held
        _same_as_whole(video, whole, None, seed=3, requests=5)


def test_a_distant_frame_is_sought_and_not_decoded_to(tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "HELD_BYTES", 0)
    monkeypatch.setattr(packets_module, "HELD_TRUSTED", 0)
    for name in ("a.mp4", "a.mkv"):
        path = encode(tmp_path / name, options=_x264("keyint=10:bframes=3"), count=400, height=16, width=16)
        with open_video(path) as video:
            fed: list[int] = []
            feed = video._decoder._feed
            monkeypatch.setattr(video._decoder, "_feed", lambda **how: (fed.append(1), feed(**how))[1])  # noqa: B023
            opened = video._source.container
            video.frames_at(video.times[[355, 15]])
            assert len(fed) <= 20
            assert video._source.container is opened, "it was opened anew instead of sought in"


def test_pictures_that_nobody_refers_to_are_left_out(tmp_path):
    path = encode(tmp_path / "a.mp4", options=_x264("keyint=50:bframes=3:b-adapt=0:b-pyramid=none"), count=50)
    with open_video(path) as video:
        decoded = 0
        emit = video._decoder._emit

        def count(pictures, *args, **kwargs):
            nonlocal decoded
            decoded += len(pictures)
            emit(pictures, *args, **kwargs)

        video._decoder._emit = count
        video.frames_at(video.times[[40]])
    assert decoded <= 15, "with three of four pictures not referred to, a quarter of 41 is enough"


@pytest.mark.parametrize("pyramid", ["none", "strict", "normal"])
def test_leaving_pictures_out_changes_no_pixel_of_the_others(tmp_path, pyramid):
    """Every frame asked for alone, and pairs: with and without pictures between that others refer to."""
    path = encode(
        tmp_path / "a.mp4",
        options=_x264(f"keyint=50:bframes=3:b-adapt=0:b-pyramid={pyramid}:ref=3"),
        count=33,
    )
    _, whole = decode_all(path)
    with open_video(path) as video:
        for frame in range(len(whole)):
            for chosen in ([frame], [frame, min(frame + 5, len(whole) - 1)]):
                clip = video.frames_at(video.times[chosen])
                np.testing.assert_array_equal(clip.frames, whole[chosen])
        fed, decoder = [], video._decoder
        decoder.forget()
        decode = decoder._codec.decode

        class Counting:
            def __getattr__(self, name):
                return getattr(source, name)

            def decode(self, packet):
                fed.append(packet)
                return decode(packet)

        source, decoder._codec = decoder._codec, Counting()
        video.frames_at(video.times[[28]])
    assert len(fed) <= (11 if pyramid == "none" else 18), (
        "three of four (two of four) pictures are referred to by none"
    )


def test_reading_forward_goes_on_instead_of_starting_over(tmp_path):
    path = encode(tmp_path / "a.mp4", options=_x264("keyint=200:bframes=3"), count=120, height=16, width=16)
    _, whole = decode_all(path)
    with open_video(path) as video:
        fed = 0
        feed = video._decoder._feed

        def count(**how):
            nonlocal fed
            fed += 1
            return feed(**how)

        video._decoder._feed = count
        for at in range(0, 120, 4):
            np.testing.assert_array_equal(
                video.frames_at(video.times[at : at + 4]).frames, whole[at : at + 4]
            )
    assert fed < 2 * 120


def test_the_frame_shown_is_the_last_that_is_not_later(tmp_path):
    path = encode(tmp_path / "a.mkv", pts=[100, 140, 500, 520], time_base=Fraction(1, 1000), count=4)
    with open_video(path) as video:
        times = video.times
        assert times.tolist() == pytest.approx([0.100, 0.140, 0.500, 0.520])
        clip = video.frames_at([0.499, times[2], np.nextafter(times[2], 0), 0.1, 0.1399, 0.53, 0.1])
        assert clip.times.tolist() == pytest.approx([0.140, 0.500, 0.140, 0.100, 0.100, 0.520, 0.100])
        assert video.info.start == pytest.approx(0.1)
        assert video.info.end > 0.52
        assert video.info.duration == pytest.approx(video.info.end - 0.1)
        assert video.info.variable_rate
        assert "variable" in repr(video.info)
        for wrong in (0.09, video.info.end, -1.0, np.nan):
            with pytest.raises(SegmentError, match="outside the video"):
                video.frames_at([0.2, wrong])


def test_no_times_give_an_empty_clip(tmp_path):
    with open_video(encode(tmp_path / "a.mp4", count=5)) as video:
        assert video.frames_at([]).frames.shape == (0, 64, 96, 3)


def test_edit_lists_and_discarded_frames_are_honoured(tmp_path):
    """An edit list that starts within a group: the frames before it are decoded and not shown."""
    path = encode(tmp_path / "whole.mp4", options=_x264("keyint=10:bframes=2"), count=30)
    with av.open(str(path)) as source, av.open(str(tmp_path / "cut.mp4"), "w") as out:
        origin = source.streams.video[0]
        stream = out.add_stream_from_template(origin)
        for packet in source.demux(origin):
            if packet.dts is None:
                continue
            shift = int(Fraction(4, 25) / origin.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = stream
            out.mux(packet)
    stamps, whole = decode_all(tmp_path / "cut.mp4")
    with open_video(tmp_path / "cut.mp4") as video:
        assert len(video.index.packet_pts) == 30
        assert video.info.frames == len(stamps) < 30
        assert video.times[0] >= 0
        _same_as_whole(video, whole, None, seed=1)


def test_hidden_pictures_are_no_frames(tmp_path):
    """VP8's references that are never shown have packets of their own: here two packets lose `show_frame`."""
    path = encode(tmp_path / "a.mkv", "libvpx", count=20, gop=10, options={"deadline": "realtime"})
    with av.open(str(path)) as source, av.open(str(tmp_path / "hidden.mkv"), "w") as out:
        origin = source.streams.video[0]
        stream = out.add_stream_from_template(origin)
        for number, packet in enumerate(source.demux(origin)):
            if packet.dts is None:
                continue
            if number in (4, 13):
                data = bytearray(bytes(packet))
                assert data[0] & 0x10
                data[0] &= ~0x10
                packet.update(bytes(data))
            packet.stream = stream
            out.mux(packet)
    _, whole = decode_all(tmp_path / "hidden.mkv")
    with open_video(tmp_path / "hidden.mkv") as video:
        assert (len(video.index.packet_pts), video.info.frames, len(whole)) == (20, 18, 18)
        _same_as_whole(video, whole, None, seed=4)


def test_a_recording_cut_within_an_open_group_lacks_only_what_cannot_be_decoded(tmp_path):
    """What a camera or a cutter leaves: the file starts at a keyframe whose leading pictures refer back."""
    path = encode(tmp_path / "whole.mkv", options=_x264("keyint=10:bframes=3:open-gop=1:b-adapt=0"), count=40)
    with av.open(str(path)) as source, av.open(str(tmp_path / "cut.mkv"), "w") as out:
        origin = source.streams.video[0]
        stream = out.add_stream_from_template(origin)
        keyframes = 0
        for packet in source.demux(origin):
            keyframes += packet.is_keyframe
            if packet.dts is None or keyframes < 3:
                continue
            packet.stream = stream
            out.mux(packet)
    stamps, whole = decode_all(tmp_path / "cut.mkv")
    with open_video(tmp_path / "cut.mkv") as video:
        assert video.info.frames == len(stamps) < len(video.index.packet_pts)
        _same_as_whole(video, whole, None, seed=2)


@pytest.mark.parametrize(("stored", "clockwise"), [(0, 0), (90, 270), (180, 180), (-90, 90)])
def test_frames_come_upright(tmp_path, stored, clockwise):
    """The display matrix counts counter-clockwise; what is applied is said clockwise."""
    flat = encode(tmp_path / "flat.mp4", count=6)
    turned = encode(tmp_path / "turned.mp4", count=6, rotate=stored)
    with open_video(flat) as plain, open_video(turned) as video:
        assert video.info.rotation == clockwise
        assert not video.info.mirrored
        upright = np.rot90(plain.frames_at(plain.times).frames, -clockwise // 90, (1, 2))
        clip = video.frames_at(video.times)
        np.testing.assert_array_equal(clip.frames, upright)
        assert (video.info.height, video.info.width) == upright.shape[1:3]
        short = video.frames_at(video.times[:1], size=32).frames.shape[1:3]
        assert short == ((48, 32) if clockwise in (90, 270) else (32, 48))
        for size in (None, (30, 34)):
            for decode in ("rgb", "gray"):
                whole = video.frames_at(video.times, size=size, decode=decode).frames
                part = video.frames_at(video.times, size=size, decode=decode, box=(3, 5, 20, 11)).frames
                np.testing.assert_array_equal(part, whole[:, 3:23, 5:16])


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("flip_x", [False, True])
@pytest.mark.parametrize("flip_y", [False, True])
def test_every_display_matrix_of_quarter_turns_and_mirrors(transpose, flip_x, flip_y):
    """A pixel lands where the matrix sends it, and rotation and mirror say the same in words."""
    orientation = Orientation(transpose, flip_x, flip_y)
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    upright = orientation.upright(picture)
    assert upright.shape[:2] == orientation.stored(2, 3)
    a, b, c, d = (0, 1, 1, 0) if transpose else (1, 0, 0, 1)
    a, c, b, d = ((-a, -c) if flip_x else (a, c)) + ((-b, -d) if flip_y else (b, d))
    height, width = upright.shape[:2]
    for y in range(2):
        for x in range(3):
            to_x, to_y = (
                a * x + c * y,
                b * x + d * y,
            )  # a mirrored axis runs from -1 down: Python counts so too
            at = to_y - flip_y, to_x - flip_x
            assert -height <= at[0] < height
            assert -width <= at[1] < width
            assert upright[at] == picture[y, x]
    turned = np.rot90(picture, -orientation.rotation // 90)
    mirrored = [turned[:, ::-1], turned[::-1]] if orientation.mirrored else [turned]
    assert any(m.shape == upright.shape and (m == upright).all() for m in mirrored)


def test_sizes():
    assert target_size(None, 241, 321) == (241, 321)
    assert target_size(128, 360, 640) == (128, 228)
    assert target_size(128, 640, 360) == (228, 128)
    assert target_size((7, 9), 360, 640) == (7, 9)
    assert target_size(2, 1, 3) == (2, 6)
    for wrong in (0, -3, (4, 0), (1, 2, 3)):
        with pytest.raises(ConfigError, match="size"):
            target_size(wrong, 10, 10)


def test_scaling_keeps_the_picture(tmp_path):
    """Scaled by area: the mean of the source's pixels. Chroma is as coarse as in 4:2:2 of the result."""
    path = encode(tmp_path / "a.mp4", "libx264", count=3, height=128, width=192, options=_x264("qp=0"))
    with open_video(path) as video:
        for decode, wide, close in (("gray", 1, 1.5), ("rgb", 2, 6)):
            full = video.frames_at(video.times, decode=decode).frames.astype(float)
            small = video.frames_at(video.times, size=(16, 24), decode=decode).frames.astype(float)
            mean = full.reshape(3, 16, 8, 24, 8, -1).mean((2, 4))
            assert small.shape == mean.shape
            error = (small - mean).reshape(3, 16, 24 // wide, wide, -1).mean(3)
            assert abs(error).mean() < close
            assert abs(error.mean()) < 1.5


BT709, BT601, BT2020 = (1, 1), (6, 5), (9, 9)
WEIGHTS = {BT709: (0.2126, 0.0722), BT601: (0.299, 0.114), BT2020: (0.2627, 0.0593)}
"""Kr and Kb of ITU-R BT.709, BT.601 and BT.2020; keys are FFmpeg's and swscale's numbers of the matrix."""


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", WEIGHTS, ids=["709", "601", "2020"])
def test_colours_come_back_by_matrix_and_range(tmp_path, matrix, full, pix_fmt):
    """Y'CbCr planes of known values, tagged, against the formulas of the recommendations, within the 3
    levels to which swscale's own arithmetic is exact. Gray is BT.601 luma whatever the video's matrix is."""
    kr, kb = WEIGHTS[matrix]
    bits = 10 if "10" in pix_fmt else 8
    colours = np.array(
        [[235, 235, 235], [16, 16, 16], [200, 40, 60], [30, 180, 70], [50, 60, 210], [128, 128, 128]]
    )
    rows = []
    for red, green, blue in colours / 255:
        luma = kr * red + (1 - kr - kb) * green + kb * blue
        chroma = ((blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr))
        scale = (2**bits - 1) if full else 2 ** (bits - 8)
        foot, luma_span, chroma_span = (0, 1, 1) if full else (16, 219, 224)
        values = [
            scale * (foot + luma_span * luma),
            *(scale * chroma_span * c + 2 ** (bits - 1) for c in chroma),
        ]
        rows.append([round(value) for value in values])
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width = stream.height = 16
        stream.pix_fmt = pix_fmt
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix[0], 2 if full else 1
        for number, values in enumerate(rows):
            frame = av.VideoFrame(16, 16, pix_fmt)
            for plane, value in zip(frame.planes, values, strict=True):
                dtype = np.uint16 if bits == 10 else np.uint8
                plane.update(np.full(plane.buffer_size // dtype().itemsize, value, dtype).tobytes())
            frame.pts = number
            frame.colorspace, frame.color_range = matrix[0], 2 if full else 1
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with open_video(path) as video:
        for size in (None, 8):
            got = video.frames_at(video.times, size=size).frames[:, 4, 4]
            assert abs(got.astype(int) - colours).max() <= 3, f"size {size}: {got.tolist()}"
        gray = video.frames_at(video.times, decode="gray").frames
        assert gray.shape == (6, 16, 16, 1)
        assert abs(gray[:, 4, 4, 0] - colours @ (0.299, 0.587, 0.114)).max() <= 3


def test_info(tmp_path):
    path = encode(tmp_path / "a.mp4", audio=True, count=50, options=_x264("keyint=25:bframes=3"))
    with open_video(path) as video:
        info = video.info
        assert isinstance(video, VideoReader)
        assert (info.codec, info.pix_fmt, info.width, info.height, info.frames) == (
            "h264",
            "yuv420p",
            96,
            64,
            50,
        )
        assert (info.video_tracks, info.audio_tracks, info.track) == (1, 1, 0)
        assert (info.start, info.end, info.fps) == (0.0, pytest.approx(2.0), pytest.approx(25))
        assert not info.variable_rate
        assert not info.truncated
        assert video.keyframes.tolist() == pytest.approx([0.0, 1.0])
        assert repr(info) == "VideoInfo(a.mp4: 96×64 h264 yuv420p, 50 frames, 0.000–2.000 s, 25 fps)"
        assert repr(video) == f"PyAVReader({info!r})"


def test_tracks(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as out:
        streams = []
        for width in (32, 64):
            stream = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, 32, "yuv420p"
            streams.append(stream)
        for number in range(10):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(pictures(10, 32, stream.width)[number], format="rgb24")
                frame.pts = number
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    for track, width in ((None, 32), (0, 32), (1, 64)):
        with open_video(path, track=track) as video:
            assert (video.info.width, video.info.video_tracks) == (width, 2)
            np.testing.assert_array_equal(
                video.frames_at(video.times).frames, decode_all(path, track=track or 0)[1]
            )
    with pytest.raises(UsageError, match="track 2"):
        open_video(path, track=2)


def test_an_index_can_be_kept(kind):
    _, whole = decode_all(kind)
    with open_video(kind) as video:
        kept = pickle.loads(pickle.dumps(video.index))
    with open_video(kind, index=kept) as video:
        assert repr(video.index) == repr(kept)
        _same_as_whole(video, whole, None, seed=5, requests=3)


def test_wrong_arguments(tmp_path):
    path = encode(tmp_path / "a.mp4", count=3)
    with pytest.raises(UnknownNameError, match="Did you mean 'pyav'"):
        open_video(path, decoder="pyva")
    with pytest.raises(ConfigError, match="policy"):
        open_video(path, truncated="ignore")  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        open_video(path, threads=-1)
    with open_video(path) as video, pytest.raises(SegmentError, match="shape"):
        video.frames_at(0.1)


def test_a_clip_is_what_the_types_say(tmp_path):
    with open_video(encode(tmp_path / "a.mp4", count=5)) as video:
        clip = video.frames_at(video.times[[3, 1, 3]])
        assert isinstance(clip, Clip)
        assert clip.frames.dtype == np.uint8
        assert clip.frames.flags["C_CONTIGUOUS"]
        np.testing.assert_array_equal(clip.frames[0], clip.frames[2])
