"""Folders of pictures as videos: nothing is encoded anew."""

from __future__ import annotations

import av
import numpy as np
import pytest

from marey.cli.main import main
from marey.errors import DataError
from marey.video.pictures import join_pictures
from marey.video.reader import open_video


def picture(path, seed, codec="mjpeg", pix_fmt="yuvj420p", size=(48, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as out:
        stream = out.add_stream(codec)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        out.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        out.mux(stream.encode(None))
    with av.open(str(path)) as made:
        return next(made.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt"), [("mjpeg", "jpg", "yuvj420p"), ("png", "png", "rgb24")]
)
def test_every_picture_is_a_frame_bit_for_bit(tmp_path, codec, suffix, pix_fmt):
    pixels = [picture(tmp_path / "a" / f"img_{i:05d}.{suffix}", i, codec, pix_fmt) for i in range(1, 12)]
    assert join_pictures(tmp_path / "a", tmp_path / "a.mov", fps=12) == 11
    with open_video(tmp_path / "a.mov") as video:
        assert np.allclose(video.times, np.arange(11) / 12, atol=1e-6)
        assert video.info.end == pytest.approx(11 / 12)
        frames = np.asarray(video.frames_at(video.times).frames)
    assert np.array_equal(frames, np.stack(pixels))


def test_what_cannot_be_joined(tmp_path):
    for number in (1, 2, 4):
        picture(tmp_path / "gap" / f"{number:05d}.jpg", number)
    with pytest.raises(DataError, match="picture 3 is not there, but 1 to 4"):
        join_pictures(tmp_path / "gap", tmp_path / "gap.mov", 12)
    picture(tmp_path / "sizes" / "1.jpg", 0)
    picture(tmp_path / "sizes" / "2.jpg", 0, size=(32, 32))
    with pytest.raises(
        DataError, match=r"2.jpg: this picture is mjpeg 32×32 yuvj420p, the first one mjpeg 64×48"
    ):
        join_pictures(tmp_path / "sizes", tmp_path / "sizes.mov", 12)
    picture(tmp_path / "names" / "cover.jpg", 0)
    with pytest.raises(DataError, match=r"cover.jpg: this picture has no number"):
        join_pictures(tmp_path / "names", tmp_path / "names.mov", 12)
    assert not list(tmp_path.glob("*.mov")) + list(tmp_path.glob(".*.part"))


def test_the_verb_goes_on_past_a_bad_folder_and_is_resumed(tmp_path, capsys):
    picture(tmp_path / "in/b/x/1.jpg", 0)
    picture(tmp_path / "in/a/1.jpg", 0)
    picture(tmp_path / "in/a/3.jpg", 0)
    assert main(["data", "frames", str(tmp_path / "in"), str(tmp_path / "out"), "--fps", "12"]) == 1
    said = capsys.readouterr()
    assert "1 videos made, 0 were there, 1 folders gave none" in said.out
    assert "picture 2 is not there" in said.err
    picture(tmp_path / "in/a/2.jpg", 0)
    assert main(["data", "frames", str(tmp_path / "in"), str(tmp_path / "out"), "--fps", "12"]) == 0
    assert "1 videos made, 1 were there" in capsys.readouterr().out
    assert (tmp_path / "out/b/x.mov").exists()
