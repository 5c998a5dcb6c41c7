"""Wrong files: typed errors that name the path and the reason, no hang, no crash, little memory, no reach
beyond the file."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from marey.errors import (
    EmptyVideoError,
    ForbiddenFormatError,
    NotAVideoFileError,
    NoVideoTrackError,
    TruncatedVideoError,
    UndecodableVideoError,
    VideoError,
    VideoNotFoundError,
    VideoTooLargeError,
)
from marey.video import open_video
from tests.shared import SHARED, needs_shared
from tests.video.encoded import decode_all, encode

GIB = 1 << 30


def test_missing_directory_empty_and_no_media(tmp_path):
    cases: list[tuple[Path, type[VideoError], str]] = [
        (tmp_path / "none.mp4", VideoNotFoundError, "no such file"),
        (tmp_path, NotAVideoFileError, "a directory"),
        (tmp_path / "empty.mp4", EmptyVideoError, "0 bytes"),
        (tmp_path / "text.mp4", NoVideoTrackError, "not a media file"),
        (tmp_path / "sound.mp4", NoVideoTrackError, "holds audio"),
        (tmp_path / "text.mp4" / "below.mp4", VideoNotFoundError, "no such file"),
    ]
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("just words\n" * 500)
    with av.open(str(tmp_path / "sound.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    for path, error, says in cases:
        with pytest.raises(error, match=says) as caught:
            open_video(path)
        assert str(caught.value).startswith(str(path))
        assert caught.value.exit_code == 1
        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), str(again), again.path) == (error, str(caught.value), str(path))


def test_fifos_sockets_and_devices_are_refused_before_opening(tmp_path):
    """Opening a FIFO without a writer would block for ever."""
    os.mkfifo(tmp_path / "fifo.mp4")
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(tmp_path)  # a socket's name may be no longer than 107 bytes
        try:
            bound.bind("socket.mp4")
        finally:
            os.chdir(here)
        for path, says in (
            (tmp_path / "fifo.mp4", "a FIFO"),
            (tmp_path / "socket.mp4", "a socket"),
            (Path(os.devnull), "a device"),
        ):
            with pytest.raises(NotAVideoFileError, match=says):
                open_video(path)


PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile {secret}\n",
    "ffconcat after a blank line": "\n ffconcat version 1.0\nfile {secret}\n",
    "ffconcat after a comment": "# words\nffconcat version 1.0\nfile {secret}\n",
    "ffconcat of an address": "ffconcat version 1.0\nfile http://127.0.0.1:{port}/a.mp4\n",
    "HLS of a file": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n",
    "HLS of an address": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
    "DASH": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
        'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>http://127.0.0.1:{port}/a.mp4'
        "</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ),
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
    "PLS": "[playlist]\nFile1=http://127.0.0.1:{port}/a.mp4\n",
    "an address": "http://127.0.0.1:{port}/a.mp4\n",
}


@pytest.fixture
def listener():
    """A listening socket that must see no connection."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0.05)
        yield listening
        with pytest.raises(TimeoutError):
            listening.accept()


@pytest.mark.parametrize("name", ["x.mp4", "x.m3u8", "x.mkv", "x.ffconcat"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlists_open_no_other_file_and_no_socket(tmp_path, listener, kind, name):
    secret = encode(tmp_path / "secret.mp4", count=3)
    text = PLAYLISTS[kind].format(secret=secret, port=listener.getsockname()[1])
    (tmp_path / name).write_text(text)
    with pytest.raises((ForbiddenFormatError, NoVideoTrackError)) as caught:
        open_video(tmp_path / name)
    if kind not in ("ffconcat after a comment", "an address"):  # these FFmpeg itself takes for plain text
        assert caught.type is ForbiddenFormatError


def test_the_playlist_would_have_been_followed(tmp_path):
    """The attack is real: FFmpeg itself does read the other file."""
    secret = encode(tmp_path / "secret.mp4", count=3)
    (tmp_path / "x.mp4").write_text(PLAYLISTS["ffconcat"].format(secret=secret.name, port=0))
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert len(list(container.decode(video=0))) == 3


def test_formats_off_the_list_are_refused(tmp_path):
    (tmp_path / "x.mp4").write_text("1\n00:00:00,000 --> 00:00:01,000\nwords\n")  # FFmpeg knows subtitles
    with pytest.raises(ForbiddenFormatError, match="not among those"):
        open_video(tmp_path / "x.mp4")


def test_a_path_is_never_an_address(tmp_path, listener):
    secret = encode(tmp_path / "secret.mp4", count=3)
    for path in (
        f"concat:{secret}|{secret}",
        f"subfile,,start,0,end,0,,:{secret}",
        f"file:{secret}",
        f"http://127.0.0.1:{listener.getsockname()[1]}/a.mp4",
        "pipe:0",
        "fd:0",
        "data:video/mp4;base64,AAAA",
    ):
        with pytest.raises(VideoNotFoundError):
            open_video(path)
    odd = tmp_path / "concat:a|b 100% #é.mp4"
    odd.write_bytes(secret.read_bytes())
    with open_video(odd) as video:
        assert video.info.frames == 3


def _box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def _replace_box(data: bytes, path: list[bytes], new: bytes) -> bytes:
    """`data` with the box at `path` replaced, and all boxes around it resized."""
    at = 0
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == path[0]:
            skip = 8 + (8 if kind == b"dref" else 0)
            inner = (
                new
                if len(path) == 1
                else _box(
                    kind, data[at + 8 : at + skip] + _replace_box(data[at + skip : at + size], path[1:], new)
                )
            )
            return data[:at] + inner + data[at + size :]
        at += size
    raise AssertionError(f"no box {path[0]!r}")


def test_external_media_of_an_mp4_is_not_followed(tmp_path):
    """A QuickTime data reference (an alias record) says that the samples lie in another file."""
    secret = encode(tmp_path / "secret.mp4", count=3)
    target = str(secret).encode()
    target += b"\0" * (len(target) % 2)
    alias = (
        bytes(4) + bytes(10) + b"\x01" + b"v".ljust(27, b"\0") + bytes(12) + b"\x0a" + b"secret.mp4".ljust(63, b"\0")
        + bytes(16) + (1).to_bytes(2, "big") * 2 + bytes(16)
        + (2).to_bytes(2, "big") + len(target).to_bytes(2, "big") + target + b"\xff\xff\0\0"
    )  # fmt: skip
    dinf = [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"]
    moved = _replace_box(secret.read_bytes(), [*dinf, b"url "], _box(b"alis", alias))
    (tmp_path / "x.mov").write_bytes(moved)
    empty = bytearray(moved)  # its own samples are gone: whatever decodes comes from the other file
    start = moved.index(b"mdat") + 4
    empty[start : start + int.from_bytes(moved[start - 8 : start - 4], "big") - 8] = bytes(
        int.from_bytes(moved[start - 8 : start - 4], "big") - 8
    )
    (tmp_path / "x.mov").write_bytes(bytes(empty))
    with av.open(
        str(tmp_path / "x.mov"), container_options={"enable_drefs": "1", "use_absolute_path": "1"}
    ) as followed:
        assert len(list(followed.decode(video=0))) == 3, "the attack is real"
    with pytest.raises(VideoError):
        open_video(tmp_path / "x.mov")


def test_too_large_is_refused_before_decoding(tmp_path):
    path = encode(tmp_path / "a.mp4", count=3, height=128, width=256)
    with pytest.raises(VideoTooLargeError, match=r"256×128 .* limit of 32767 pixels"):
        open_video(path, max_pixels=256 * 128 - 1)
    with open_video(path, max_pixels=256 * 128) as video:
        assert video.info.width == 256
    data = bytearray(path.read_bytes())
    entry = data.index(b"avc1", data.index(b"stsd"))
    data[entry + 28 : entry + 32] = (16).to_bytes(2, "big") * 2
    (tmp_path / "lie.mp4").write_bytes(data)
    with pytest.raises(VideoTooLargeError, match="256×128"):
        open_video(tmp_path / "lie.mp4", max_pixels=10_000)


_GOP = {"x264-params": "keyint=20:bframes=3:scenecut=0"}
CUT = {
    "faststart.mp4": {"mux": {"movflags": "faststart"}, "options": _GOP},
    "a.mkv": {"options": _GOP},
    "a.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "a.avi": {"codec": "mpeg4"},
    "a.flv": {"options": _GOP},
    "a.gif": {"codec": "gif", "pix_fmt": "rgb8"},
}


@pytest.mark.parametrize("name", CUT)
def test_files_that_were_cut_short(tmp_path, name, caplog):
    """Refused by default; on request what precedes the cut, counted and said, and bit-equal to the whole file."""
    path = encode(tmp_path / name, count=100, **CUT[name])
    _, whole = decode_all(path)
    cut = tmp_path / f"cut_{name}"
    whole_size = path.stat().st_size
    with av.open(str(path)) as container:  # within a frame: FLV does not tell of a cut between two
        places = [packet.pos + packet.size // 2 for packet in container.demux(video=0) if packet.size]
    cut.write_bytes(path.read_bytes()[: min(places, key=lambda place: abs(place - 0.6 * whole_size))])
    with pytest.raises(TruncatedVideoError, match=r"decoded \d+ of \d+ frames") as caught:
        open_video(cut)
    assert 20 < caught.value.decoded < caught.value.expected
    if name not in ("a.flv", "a.gif"):  # those do not say how many there were
        assert caught.value.expected == 100
    assert not caplog.records
    with open_video(cut, truncated="use-prefix") as video:
        info = video.info
        assert 20 < info.frames <= caught.value.decoded
        assert info.frames_listed == caught.value.expected
        assert info.truncated
        assert f"{info.frames} of {info.frames_listed} frames" in repr(info)
        np.testing.assert_array_equal(video.frames_at(video.times).frames, whole[: info.frames])
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        kept = video.index
    with open_video(cut, truncated="use-prefix", index=kept) as video:
        assert video.info == info


def test_an_intact_file_is_whole_under_either_policy(tmp_path, caplog):
    path = encode(tmp_path / "a.mkv", count=30, options=_GOP)
    with open_video(path, truncated="use-prefix") as video:
        assert video.info.frames == video.info.frames_listed == 30
        assert video.index.verified
    assert not caplog.records


def test_damage_is_found_where_it_is_reached(tmp_path):
    """A packet in the middle is overwritten: no header tells. What precedes it is exact; what follows is refused."""
    path = encode(tmp_path / "a.mp4", count=60, options=_GOP)
    _, whole = decode_all(path)
    with open_video(path) as video:
        at, size = int(video.index.packet_pos[40]), int(video.index.packet_size[40])
    data = bytearray(path.read_bytes())
    data[at : at + size] = b"\xff" * size
    path.write_bytes(data)
    with open_video(path) as video:
        np.testing.assert_array_equal(video.frames_at(video.times[:30]).frames, whole[:30])
        with pytest.raises(TruncatedVideoError):
            video.frames_at(video.times[[59]])
        np.testing.assert_array_equal(video.frames_at(video.times[[3]]).frames, whole[[3]])
    with open_video(path, truncated="use-prefix") as video:
        assert 30 <= video.info.frames <= 40
        np.testing.assert_array_equal(video.frames_at(video.times).frames, whole[: video.info.frames])


def test_nothing_decodes(tmp_path):
    path = encode(tmp_path / "a.mkv", count=20, options=_GOP)
    with open_video(path) as video:
        spans = list(zip(video.index.packet_pos.tolist(), video.index.packet_size.tolist(), strict=True))
    data = bytearray(path.read_bytes())
    for at, size in spans:
        body = data.index(bytes(data[at : at + 4]), at) + 4
        data[body + 4 : at + size] = b"\xff" * (at + size - body - 4)
    path.write_bytes(data)
    with pytest.raises(UndecodableVideoError, match="none of the 20 frames"):
        open_video(path)


def test_an_index_of_another_file_is_refused(tmp_path):
    one, other = encode(tmp_path / "a.mp4", count=10), encode(tmp_path / "b.mp4", count=12)
    with open_video(one) as video:
        index = video.index
    with pytest.raises(VideoError, match="not the one"):
        open_video(other, index=index)


READ_ALL = """
import json, resource, sys
from marey.errors import MareyError
from marey.video import open_video
resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
for path in sys.argv[1:]:
    for policy in ("error", "use-prefix"):
        try:
            with open_video(path, truncated=policy) as video:
                for at in range(0, len(video.times), 8):
                    video.frames_at(video.times[at : at + 8])
                said = f"{video.info.frames} of {video.info.frames_listed} frames"
        except MareyError as error:
            said = type(error).__name__
        print(json.dumps([path, policy, said]))
try:  # the peak of this program alone: getrusage still remembers the process that it was forked from
    with open("/proc/self/status") as status:
        peak = next(line.split()[1] for line in status if line.startswith("VmHWM:"))
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps(["peak", "", str(peak)]))
"""


def _read_apart(paths: list[Path], seconds: float) -> list[list[str]]:
    """Read every frame of every file in a process of its own, with 1 GiB of memory and a time limit."""
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, *map(str, paths)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"it died with {done.returncode}: {done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[-1][0] == "peak"
    assert int(rows[-1][2]) * 1024 < GIB
    assert len(rows) == 2 * len(paths) + 1
    return rows[:-1]


@needs_shared
def test_no_shared_file_hangs_crashes_or_takes_a_gigabyte():
    for folder in ("malformed", "decord", "torchcodec"):
        endings = {".mp4", ".mkv", ".mov", ".gif", ".avi", ".webm"}
        paths = sorted(path for path in (SHARED / "videos" / folder).iterdir() if path.suffix in endings)
        rows = _read_apart(paths, seconds=120)
        if folder == "malformed":
            assert {said for _, _, said in rows} == {
                "EncryptedVideoError", "UndecodableVideoError", "NoVideoTrackError", "1 of 1 frames",
            }  # fmt: skip


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.webm", "a.gif"])
def test_random_damage_never_crashes_hangs_or_takes_a_gigabyte(tmp_path, name):
    """Bytes overwritten, removed and cut off anywhere: frames or a typed error, nothing else."""
    codec = {"a.avi": "mpeg4", "a.webm": "libvpx-vp9", "a.gif": "gif"}.get(name, "libx264")
    options = {"libx264": _GOP, "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"}}.get(codec, {})
    path = encode(
        tmp_path / name, codec, count=24, pix_fmt="rgb8" if codec == "gif" else "yuv420p", options=options
    )
    intact = path.read_bytes()
    rng = np.random.default_rng(len(name))
    paths = []
    for number in range(25):
        data = bytearray(intact)
        head = number % 2 == 0
        for _ in range(rng.integers(1, 12)):
            at = int(rng.integers(0, min(len(data), 2048) if head else len(data)))
            if rng.random() < 0.7:
                data[at] = int(rng.integers(0, 256))
            elif rng.random() < 0.5:
                del data[at : at + int(rng.integers(1, 40))]
            else:
                data[at : at + 4] = b"\xff\xff\xff\xff"
        if number % 5 == 0:
            del data[int(rng.integers(1, len(data))) :]
        paths.append(tmp_path / f"{number}_{name}")
        paths[-1].write_bytes(data)
    rows = _read_apart(paths, seconds=120)
    assert any("frames" in said for _, _, said in rows)
    assert any(said.endswith("Error") for _, _, said in rows) or name in ("a.ts", "a.gif")
