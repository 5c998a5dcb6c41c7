"""Workers that die or hang are named with their sample; shared memory is looked at; a large table is there once."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from marey.data.loader import make_loader
from marey.data.manifest import Manifest
from marey.data.mapped import mapped, write_mapped
from marey.data.room import batch_bytes
from marey.errors import ConfigError, WorkerError
from marey.spec import InputSpec
from marey.video.reader import open_video

SPEC = InputSpec(sampler={"name": "uniform", "n": 3}, size=(24, 24), resize=32)
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals and /dev/shm are Linux's")


def dies(path, **how):
    """Killed from outside, as the system does where memory runs out."""
    if path.endswith("05.mp4"):
        os.kill(os.getpid(), signal.SIGKILL)
    return open_video(path, **how)


def hangs(path, **how):
    """A disk that does not answer."""
    if path.endswith("07.mp4"):
        time.sleep(600)
    return open_video(path, **how)


def loader(manifest, **how):
    return make_loader(
        manifest, manifest.indices(), SPEC, class_names=manifest.class_names, train=False, batch=2, **how
    )


@linux
@pytest.mark.parametrize(
    ("opener", "row", "message"),
    [
        (
            dies,
            5,
            "was killed, as the system does when memory runs out, while it loaded this sample",
        ),
        (hangs, 7, "did not come back from this sample for 15 s and was ended"),
    ],
)
def test_a_worker_that_is_gone_is_named_with_its_sample(clips, opener, row, message):
    made = loader(clips, workers=2, patience=15.0, policy="skip")
    made.dataset.opener = opener
    began = time.monotonic()
    seen: list[int] = []
    with pytest.raises(WorkerError, match=message) as error:
        seen.extend(i for batch in made for i in batch.ids)
    assert time.monotonic() - began < 300  # most of it is starting the workers, on a busy machine
    assert error.value.where == f"manifest.csv line {row + 2}"
    assert f"sample {row}: {clips.sample(row).path}" in str(error.value)
    assert made._loader._iterator is None, "the other workers are ended too"


@linux
def test_small_shared_memory_is_said_before_any_worker_starts(clips, monkeypatch):
    usage = shutil.disk_usage("/dev/shm")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=50_000))
    with pytest.raises(
        ConfigError, match=r"4 workers need 103\.7 kB of shared memory .* 50\.0 kB are free"
    ) as error:
        loader(clips, workers=4)
    assert "--shm-size" in str(error.value)
    loader(clips, workers=1)
    loader(clips)


def test_batches_that_are_kept_stay_as_they_are(clips):
    """Places are used over and over, but never one that somebody still looks at."""
    rows = np.tile(clips.indices(), 4)
    plain = list(make_loader(clips, rows, SPEC, class_names=clips.class_names, train=True, batch=2))
    with make_loader(
        clips, rows, SPEC, class_names=clips.class_names, train=True, batch=2, workers=2
    ) as made:
        ring = made._order.ring
        assert ring is not None
        kept = list(made)
        for one, two in zip(plain, kept, strict=True):
            assert torch.equal(one.inputs["rgb"], two.inputs["rgb"])
            assert torch.equal(one.mask, two.mask)
        assert not ring._free, "all of them are looked at"
        part = kept[0].inputs["rgb"][1]
        before = part.clone()
        kept.clear()
        gc.collect()
        lain = set()
        for one, two in zip(plain, made, strict=True):
            assert torch.equal(one.inputs["rgb"], two.inputs["rgb"])
            lain.add(two.inputs["rgb"].data_ptr())
        assert len(lain) < len(plain), "nobody kept these"
        assert torch.equal(part, before)
        del part, two
        gc.collect()
        assert sorted(ring._free) == list(range(6))


def test_the_room_for_a_batch_is_what_a_batch_takes(clips):
    (batch, *_) = loader(clips)
    assert batch_bytes(SPEC, 2) == batch.inputs["rgb"].nbytes


def test_a_mapped_table_is_the_table(tmp_path):
    table = pa.table({"path": pa.chunked_array([["a"], ["b", "c"]]), "start": [None, 1.0, 2.0]})
    for targets in (None, np.array([1, 0, 1])):
        write_mapped(tmp_path / "t", table, np.array([2, 3, 5]), targets)
        back, numbers, classes = mapped(tmp_path / "t")
        assert back.to_pylist() == table.to_pylist()
        assert numbers.tolist() == [2, 3, 5]
        assert (classes is None) == (targets is None)


def many(clips, rows: int, folder: Path) -> Manifest:
    """Segments of the twelve clips, each row another one."""
    lines = [
        f"{clips.root}/{i % 12:02d}.mp4,{('left', 'right')[i % 2]},0,{0.3 + i * 1e-7:.7f}"
        for i in range(rows)
    ]
    (folder / "many.csv").write_text("path,label,start,end\n" + "\n".join(lines) + "\n")
    return Manifest.read(folder / "many.csv", files=False)


def pss(pid: int) -> float:
    """Proportional memory of a process in MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("Pss:")[1].split()[0]) / 1024


@linux
def test_a_large_table_is_mapped_by_the_workers(clips, tmp_path):
    """The same batches, from a table that is not sent; and the file goes with the loader."""
    manifest = many(clips, 20_000, tmp_path)
    rows = np.arange(0, 20_000, 2500)
    options = {"class_names": manifest.class_names, "train": True, "batch": 4}
    made = make_loader(manifest, rows, SPEC, workers=1, **options)
    assert made.dataset.shared is not None
    assert len(pickle.dumps(made.dataset)) < 5_000
    with made:
        helped = list(made)
    for one, two in zip(make_loader(manifest, rows, SPEC, **options), helped, strict=True):
        assert one.ids == two.ids
        assert torch.equal(one.target, two.target)
        assert torch.equal(one.inputs["rgb"], two.inputs["rgb"])
    file = made.dataset.shared
    assert file.is_file()
    del made
    gc.collect()
    assert not file.exists()


@linux
@pytest.mark.slow
def test_memory_of_workers_is_flat_over_epochs(clips, tmp_path):
    """A million rows: the workers together hold little more than the table, and no more after three more epochs."""
    manifest = many(clips, 1_000_000, tmp_path)
    rows = np.random.default_rng(0).permutation(1_000_000)[:1500]
    made = make_loader(manifest, rows, SPEC, class_names=manifest.class_names, train=True, batch=8, workers=2)
    used = []
    with made:
        for epoch in range(4):
            made.set_epoch(epoch)
            for _ in made:
                pass
            used.append([pss(worker.pid) for worker in made._loader._iterator._workers])
    first, last = np.sum(used[1]), np.sum(used[3])
    assert last < 1.05 * first, used
