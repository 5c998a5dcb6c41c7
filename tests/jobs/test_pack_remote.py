"""Tars at an address, over a real connection and in fsspec's memory: the same batches, errors without secrets."""

from __future__ import annotations

import http.server
import threading
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch

from marey.cli.main import main
from marey.data.loader import make_loader
from marey.data.manifest import Manifest
from marey.errors import DataError, ManifestError, UsageError, VideoError, VideoNotFoundError
from marey.jobs.pack import PackConfig, pack
from marey.jobs.predict import find_videos
from marey.spec import InputSpec
from marey.video.packed.content import content_hash
from marey.video.packed.remote import HeldMembers, remote_members
from marey.video.reader import open_video
from marey.video.stretch import Stretch, stretches
from marey.video.synthetic import make_motion

SPEC = InputSpec(sampler={"name": "uniform", "n": 4}, size=(24, 24), resize=32)


class _Parts(http.server.SimpleHTTPRequestHandler):
    """A server of files that gives parts of them, as object storage does, and counts."""

    asked: list[str]

    def do_GET(self) -> None:
        data = Path(self.translate_path(self.path))
        if not data.is_file():
            self.send_error(404)
            return
        content, part = data.read_bytes(), self.headers.get("Range")
        self.asked.append(part or "whole")
        if part:
            first, _, last = part.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(int(last or len(content)), len(content) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{end}/{len(content)}")
            content = content[begin : end + 1]
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("remote")
    made = make_motion(folder / "videos", clips=22, size=32, val=0.5)
    report = pack(
        PackConfig(data=str(made), out=str(folder / "pack"), form="tar", size=32, workers=1),
        say=lambda _: None,
    )
    assert not report.failures
    return folder / "pack"


@pytest.fixture
def address(packed, monkeypatch):
    monkeypatch.setattr(_Parts, "asked", [], raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Parts, directory=str(packed)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def batches(manifest: Manifest, workers: int) -> list[torch.Tensor]:
    with make_loader(
        manifest,
        manifest.indices(),
        SPEC,
        class_names=manifest.class_names,
        train=True,
        batch=4,
        workers=workers,
    ) as loader:
        return [batch.inputs["rgb"].clone() for batch in loader]


def test_training_reads_tars_over_http(packed, address):
    """The manifest lies here, the tars there: workers of their own ask for parts of them, and give the same."""
    far = Manifest.read(packed, root=address)
    assert far.sample(0).path.startswith(f"{address}/shards/")
    for one, two in zip(batches(Manifest.read(packed), 0), batches(far, 2), strict=True):
        assert torch.equal(one, two)
    assert _Parts.asked
    assert "whole" not in _Parts.asked


def test_a_manifest_with_addresses_is_read_and_written_back(packed, address, tmp_path, capsys):
    far = Manifest.read(packed, root=address)
    written = far.write(tmp_path / "far.csv")
    again = Manifest.read(written)
    assert [again.sample(i).path for i in range(len(again))] == [far.sample(i).path for i in range(len(far))]
    assert main(["data", "summary", str(written)]) == 0
    assert "22 videos" in capsys.readouterr().out.replace("\n", " ")


def test_other_verbs_take_addresses_too(packed, address):
    far = Manifest.read(packed, root=address)
    path = far.sample(0).path
    assert find_videos((path,)) == [path]
    assert stretches([path, far.sample(0)]) == [Stretch(path)]
    assert content_hash(path) == content_hash(Manifest.read(packed).sample(0).path)


def test_training_from_the_command_line(packed, address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = str(packed / "manifest.csv")
    words = "--model frame_difference --size 32 --frames 4 --epochs 1 --batch 4 --workers 0 --no-audit"
    assert main(["train", "--data", data, "--root", address, *words.split()]) == 0


def test_members_stay_in_memory_up_to_a_bound(packed):
    (tar,) = (packed / "shards").glob("*.tar")
    fsspec.filesystem("memory").pipe_file("/bucket/x.tar", tar.read_bytes())
    there = "memory://bucket/x.tar"
    names = [name for name in remote_members(there) if name.endswith(".mp4")]
    sizes = {name: remote_members(there)[name][1] for name in names}
    held = HeldMembers(most_bytes=sizes[names[0]] + sizes[names[1]])
    first = held.get(there, names[0])
    assert held.get(there, names[0]) is first
    for name in names:
        held.get(there, name)
        assert held.bytes <= held.most_bytes
    assert held.get(there, names[0]) is not first
    assert held.get(there, names[0]) == first
    with open_video(f"{there}/{names[0]}") as far, open_video(tar / names[0]) as near:
        assert far.info.path == f"{there}/{names[0]}"
        assert np.array_equal(far.times, near.times)
        assert np.array_equal(far.frames_at(far.times).frames, near.frames_at(near.times).frames)


def test_what_is_not_there_and_what_cannot_be_asked(packed, address, tmp_path):
    (tar,) = (packed / "shards").glob("*.tar")
    tmp_path.with_name(f"{tmp_path.name}.tar").mkdir()
    with pytest.raises(VideoNotFoundError, match="no such tar"):
        open_video(f"{address}/shards/none.tar/a.mp4")
    with pytest.raises(VideoNotFoundError, match="no such file in this tar"):
        open_video(f"{address}/shards/{tar.name}/none.mp4")
    with pytest.raises(VideoNotFoundError, match="no such file"):
        open_video(f"{address}/manifest.csv")  # an address that leads into no tar is a file's name
    with pytest.raises(VideoNotFoundError, match="nothing answers"):
        open_video("http://127.0.0.1:9/x.tar/a.mp4")
    with pytest.raises(VideoError, match=r"cannot be read from there \(IsADirectoryError\)"):
        open_video(f"file://{tmp_path.parent}/{tmp_path.name}.tar/a.mp4")
    fsspec.filesystem("memory").pipe_file("/bucket/no.tar", b"no tar " * 200)
    with pytest.raises(DataError, match="not readable as a tar"):
        open_video("memory://bucket/no.tar/a.mp4")
    (tmp_path / "m.csv").write_text(f"path,label\n{address}/shards/{tar.name}/none.mp4,x\n")
    with pytest.raises(ManifestError, match="is not there"):
        Manifest.read(tmp_path / "m.csv")


@pytest.mark.parametrize(
    "secret", ["http://me:geheim@127.0.0.1/x.tar/a.mp4", "https://a.b/x.tar?sig=geheim/x.tar/a.mp4", "s3://geheim@b/x.tar/a.mp4"]
)  # fmt: skip
def test_credentials_in_an_address_are_refused_and_not_repeated(secret, tmp_path, capsys):
    with pytest.raises(UsageError, match="carries a user, a password or a signature"):
        open_video(secret)
    (tmp_path / "m.csv").write_text(f"path,label\n{secret},x\n")
    assert main(["data", "summary", str(tmp_path / "m.csv")]) == 2
    told = capsys.readouterr()
    assert "geheim" not in told.out + told.err


def test_a_file_system_that_is_not_installed_is_named():
    with pytest.raises(UsageError, match=r"nothing that reads s3:// is installed.*s3fs"):
        open_video("s3://bucket/x.tar/a.mp4")
