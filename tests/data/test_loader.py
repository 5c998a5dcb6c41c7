"""The loader: the same batches whatever the workers, exact resuming, masks, failures by policy, memory."""

from __future__ import annotations

import dataclasses
import gc
import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from marey.data.augment import AugmentConfig
from marey.data.clips import load_clip
from marey.data.collate import collate
from marey.data.dataset import ClipDataset
from marey.data.loader import make_loader
from marey.data.manifest import Manifest
from marey.data.memory import FrameMemory
from marey.data.origin import DataWarning
from marey.data.sending import Fetched, Loaded, Ring
from marey.errors import ConfigError, ManifestError, SegmentError, VideoError, WorkerError
from marey.spec import InputSpec
from marey.video.synthetic import make_motion
from tests.data.conftest import frame_numbers, ramp

SPEC = InputSpec(sampler={"name": "adaptive", "ratio": 0.5, "min": 2, "max": 16}, size=(24, 24), resize=32)
AUGMENT = AugmentConfig(
    scale=(0.4, 1.0), brightness=0.3, flip=True, flip_map=("auto",), speed=0.2, erasing=0.5
)


def loader(manifest, indices=None, **how):
    how = {
        "class_names": manifest.class_names,
        "train": True,
        "batch": 4,
        "augment": AUGMENT,
        "seed": 3,
        **how,
    }
    rows = manifest.indices() if indices is None else indices
    return make_loader(manifest, rows, how.pop("spec", SPEC), **how)


def same(one, two):
    assert [b.ids for b in one] == [b.ids for b in two]
    assert [b.number for b in one] == [b.number for b in two]
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.mask, b.mask)
        assert torch.equal(a.target, b.target)
        assert list(a.inputs) == list(b.inputs)
        for name in a.inputs:
            assert torch.equal(a.inputs[name], b.inputs[name])


def test_a_batch(clips):
    made = loader(clips)
    batches = list(made)
    assert len(made) == len(batches) == 3
    assert sorted(i for b in batches for i in b.ids) == list(range(12))
    first = batches[0]
    assert first.inputs["rgb"].dtype == torch.uint8
    assert first.inputs["rgb"].shape == (4, int(first.mask.sum(1).max()), 3, 24, 24)
    assert first.mask.dtype == torch.bool
    assert first.target.dtype == torch.long
    assert "Batch(number 0" in repr(first)
    assert not made.failures


def test_any_number_of_workers_and_epochs_that_differ(clips):
    alone, helped = loader(clips), loader(clips, workers=2)
    epochs = []
    for epoch in (0, 1):
        alone.set_epoch(epoch)
        helped.set_epoch(epoch)
        one, two = list(alone), list(helped)
        same(one, two)
        epochs.append(one)
    assert [b.ids for b in epochs[0]] != [b.ids for b in epochs[1]]
    of_row = [{i: x for b in epoch for i, x in zip(b.ids, b.inputs["rgb"], strict=True)} for epoch in epochs]
    differ = [
        r
        for r in range(12)
        if of_row[0][r].shape != of_row[1][r].shape or (of_row[0][r] != of_row[1][r]).any()
    ]
    assert len(differ) >= 11, "another epoch draws anew"
    helped.set_epoch(0, start_batch=1)  # the same workers, in the middle of an earlier epoch
    same(epochs[0][1:], list(helped))
    next(iter(helped))  # left in the middle: nothing of it is met again
    helped.set_epoch(1)
    same(epochs[1], list(helped))
    helped.close()
    same(epochs[1], list(helped))
    helped.close()


def test_resuming_loads_nothing_before(clips):
    whole = list(loader(clips, epoch=2))
    opened = []

    def spy(path, **how):
        from marey.video.reader import open_video

        opened.append(path)
        return open_video(path, **how)

    for k in (0, 1, 2, 3):
        rest = loader(clips, epoch=2, start_batch=k)
        rest.dataset.opener = spy
        opened.clear()
        same(whole[k:], list(rest))
        assert opened == [clips.sample(i).path for b in whole[k:] for i in b.ids]


def test_the_global_generators_are_left_alone(clips):
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    one = list(loader(clips))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    torch.manual_seed(99)
    same(one, list(loader(clips)))


def test_mixed_lengths_are_padded_and_exactly_masked(clips):
    made = loader(clips, train=False, augment=None, spec=dataclasses.replace(SPEC, frames_multiple=3))
    batches = list(made)
    assert [i for b in batches for i in b.ids] == list(range(12)), "not shuffled"
    for b in batches:
        wanted = [int(np.clip(round(0.5 * (9 + i)), 2, 16)) for i in b.ids]
        assert b.lengths.tolist() == wanted
        assert b.mask.shape[1] == -(-max(wanted) // 3) * 3
        for row, length in enumerate(wanted):
            assert b.mask[row].tolist() == [True] * length + [False] * (b.mask.shape[1] - length)
            assert not b.inputs["rgb"][row, length:].any()
            clip = load_clip(clips.sample(b.ids[row]), SPEC)
            assert np.array_equal(
                b.inputs["rgb"][row, :length].numpy(), clip.frames[:length].transpose(0, 3, 1, 2)
            )
        assert b.target.tolist() == [i % 2 for i in b.ids]


def test_rows_class_order_and_the_last_batch(clips):
    rows = clips.indices("val")
    made = loader(clips, rows, train=False, augment=None, class_names=["right", "up", "left"], batch=3)
    batches = list(made)
    assert [b.ids for b in batches] == [[8, 9, 10], [11]]
    assert batches[0].target.tolist() == [2, 0, 2]
    assert [b.ids for b in loader(clips, rows, train=False, batch=3, drop_last=True)] == [[8, 9, 10]]
    assert len(loader(clips, rows, batch=3, drop_last=True)) == 1
    with pytest.raises(ManifestError, match=r"manifest.csv line 3: 'right' is not a known class"):
        loader(clips, class_names=["left", "up"], augment=None)


def test_several_labels(make_video, tmp_path):
    make_video("a.mp4", ramp(8))
    (tmp_path / "m.csv").write_text("path,label,start,end\na.mp4,x|z,,\na.mp4,y,0,0.2\n")
    m = Manifest.read(tmp_path / "m.csv")
    (b,) = loader(m, train=False, augment=None)
    assert b.target.dtype == torch.float32
    assert b.target.tolist() == [[1, 0, 1], [0, 1, 0]]


def test_a_mirror_takes_the_label_along(clips):
    """Each clip is the mirror of what it was exactly where its target is not what it was."""
    spec = InputSpec(sampler={"name": "uniform", "n": 4}, size=(32, 32), resize=32)
    augment = AugmentConfig(scale=(1, 1), flip=True, flip_map=("left=right",))
    flipped = 0
    for epoch in range(3):
        for b in loader(clips, spec=spec, augment=augment, epoch=epoch):
            for row, x, target in zip(b.ids, b.inputs["rgb"], b.target.tolist(), strict=True):
                plain = next(
                    iter(loader(clips, [row], spec=spec, augment=AugmentConfig(scale=(1, 1)), epoch=epoch))
                ).inputs["rgb"][0]
                assert torch.equal(x, plain if target == row % 2 else plain.flip(-1))
                flipped += target != row % 2
    assert 6 < flipped < 30


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_stops_with_its_typed_error(broken, workers):
    with pytest.raises(VideoError, match=r"cut\.mp4") as error:
        list(loader(broken, workers=workers))
    assert "sample 3: broken.csv line 5" in str(error.value)
    assert error.value.path.endswith("cut.mp4")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_is_left_out_and_listed(broken, workers):
    made = loader(broken, workers=workers, policy="skip", shuffle=False)
    batches = list(made)
    assert [b.ids for b in batches] == [[0, 1, 2], [4, 5, 6, 7], [8, 9, 10, 11]], "no other takes its place"
    assert [(f.id, f.path.endswith("cut.mp4"), f.where) for f in made.failures] == [
        (3, True, "broken.csv line 5")
    ]
    assert isinstance(made.failures[0].error, VideoError)
    assert "cut.mp4" in made.failures[0].to_dict()["error"]
    list(made)
    assert len(made.failures) == 1, "counted once"
    made.close()
    whole = list(loader(broken, [0, 1, 2, 4], shuffle=False))
    assert torch.equal(whole[0].inputs["rgb"][:3, : batches[0].mask.shape[1]], batches[0].inputs["rgb"])


def test_a_batch_of_nothing_keeps_the_numbers(broken):
    made = loader(broken, [0, 3, 5], batch=1, policy="skip", shuffle=False)
    assert [(b.number, b.ids) for b in made] == [(0, [0]), (2, [5])]


def test_a_segment_outside_its_video_names_the_row(make_video, tmp_path):
    make_video("a.mp4", ramp(10))
    (tmp_path / "m.csv").write_text("path,label,start,end\na.mp4,x,0,0.41\na.mp4,y,0.2,0.43\na.mp4,y,0.3,9\n")
    m = Manifest.read(tmp_path / "m.csv")
    with pytest.raises(SegmentError, match=r"m\.csv line 4: the segment 0.300–9.000 s lies outside"):
        list(loader(m, train=False, augment=None))
    made = loader(m, train=False, augment=None, policy="skip")
    (b,) = list(made)
    assert b.ids == [0, 1]
    assert made.clamped == {0, 1}


def test_memory_gives_the_same_and_opens_once(clips):
    opened = []

    def spy(path, **how):
        from marey.video.reader import open_video

        opened.append(path)
        return open_video(path, **how)

    plain, held = loader(clips), loader(clips, cache_bytes=10**8)
    memory = held.dataset.opener
    memory._opener = spy
    for epoch in range(3):
        plain.set_epoch(epoch)
        held.set_epoch(epoch)
        same(list(plain), list(held))
    assert sorted(opened) == sorted(clips.sample(i).path for i in range(12))
    assert len(memory) == 12
    assert memory.used == sum((9 + i) * 32 * 32 * 3 for i in range(12))


def test_memory_is_bounded_and_serves_cues(clips, make_video):
    small = FrameMemory(8 * 20 * 32 * 32 * 3 // 2, SPEC)
    for i in range(12):
        sample = clips.sample(i)
        assert np.array_equal(load_clip(sample, SPEC, opener=small).frames, load_clip(sample, SPEC).frames)
    assert 0 < len(small) < 12
    assert small.used <= small.limit
    path = make_video("a.mp4", ramp(20))
    memory = FrameMemory(10**7, SPEC)
    for name in ("codec", "motion"):
        spec = dataclasses.replace(SPEC, sampler={"name": "keyframes", "n": 3, "by": name})
        one = load_clip(path, spec, opener=memory)
        two = load_clip(path, spec)
        assert np.array_equal(one.frames, two.frames)
        assert np.array_equal(one.times, two.times)
    assert frame_numbers(load_clip(path, SPEC, opener=memory, start=0.4, end=0.48).frames) == [10, 11]
    with pytest.warns(DataWarning, match="nothing is held"):
        loader(clips, cache_bytes=100, workers=1)


def test_flow_and_differences_are_of_the_moved_frames(clips):
    spec = dataclasses.replace(SPEC, modalities=("rgb", "flow", "diff"), size=(32, 32))
    (b, *_) = loader(clips, spec=spec, augment=AugmentConfig(scale=(0.5, 1.0)))
    rgb, flow, diff = b.inputs["rgb"], b.inputs["flow"], b.inputs["diff"]
    count, frames = b.mask.shape
    assert flow.shape == (count, frames - 1, 2, 32, 32)
    assert diff.shape == (count, frames - 1, 3, 32, 32)
    assert flow.dtype == diff.dtype == torch.float32
    assert flow.abs().max() <= 1
    both = b.mask[:, 1:]
    assert not flow[~both].any()
    assert not diff[~both].any()
    expected = (rgb[:, 1:].float() - rgb[:, :-1].float()) / 255
    assert torch.allclose(diff[both], expected[both])
    # an object that moves left over a still ground: the mean flow says so, also in the mirror
    for augment in (AugmentConfig(scale=(1, 1)), AUGMENT):
        augment = dataclasses.replace(augment, scale=(1, 1), speed=0.0, erasing=0.0, brightness=0.0)
        for batch in loader(clips, spec=dataclasses.replace(spec, modalities=("flow",)), augment=augment):
            for field, target in zip(batch.inputs["flow"], batch.target.tolist(), strict=True):
                along = field[:, 0].flatten()
                strong = along[along.abs() > 0.02]
                assert (strong.mean() > 0) == (clips.class_names[target] == "right")
    evaluated = next(iter(loader(clips, spec=spec, train=False, augment=None)))
    assert evaluated.inputs["flow"].shape[1] == evaluated.mask.shape[1] - 1


def test_numbers_that_cannot_be(clips):
    for bad in ({"batch": 0}, {"workers": -1}, {"seed": -1}, {"start_batch": -1}, {"policy": "ignore"}):
        with pytest.raises(ConfigError):
            loader(clips, **bad)
    with pytest.raises(ConfigError, match="gives 16 frames, but this model takes exactly 8"):
        loader(clips, spec=dataclasses.replace(SPEC, frames=8, fixed_frames=True), workers=2)
    with pytest.raises(ConfigError, match="no samples"):
        loader(clips, [])


def test_items_by_row(clips):
    dataset = ClipDataset(clips, SPEC)
    item = dataset[3]
    assert (item.id, item.target, len(dataset)) == (3, 1, 12)
    assert item.inputs["rgb"].shape[0] == len(item.mask)
    moved = next(iter(loader(clips, [3]))).to("cpu")
    assert moved.ids == [3]


HELD = """
import sys, time
from marey.data import Manifest, make_loader
from marey.spec import InputSpec

if __name__ == "__main__":
    m = Manifest.read(sys.argv[1])
    made = make_loader(m, m.indices(), InputSpec(), class_names=m.class_names, train=True, batch=2, workers=2)
    next(iter(made))
    print(*(worker.pid for worker in made._loader._iterator._workers), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_workers_do_not_outlive_a_killed_training(clips, tmp_path):
    script = tmp_path / "held.py"
    script.write_text(HELD)
    with subprocess.Popen(
        [sys.executable, str(script), str(clips.root)], stdout=subprocess.PIPE, text=True
    ) as training:
        workers = [int(pid) for pid in training.stdout.readline().split()]
        assert len(workers) == 2
        assert all(alive(pid) for pid in workers)
        training.kill()
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in workers)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    "how",
    [
        # longer than the place was made for
        {"sampler": {"name": "rate", "fps": 6.0, "max": None}, "frames": 4},
        # one frame has no differences, and nothing of them lies anywhere
        {"sampler": {"name": "uniform", "n": 1}, "frames": 1},
    ],
)
def test_a_batch_of_which_one_input_alone_lies_in_its_place_stays_as_it_is(tmp_path, how):
    made = Manifest.read(make_motion(tmp_path, clips=40, size=32))
    spec = InputSpec(modalities=("rgb", "diff"), size=(24, 24), resize=32, **how)
    with loader(made, spec=spec, batch=2, workers=2) as parallel:
        same(list(parallel), list(loader(made, spec=spec, batch=2)))


def test_a_batch_that_outlives_its_ring_is_a_typed_error(clips):
    """What was on its way when a loader was thrown away is not laid anywhere."""
    ring = Ring(1, 1 << 20)
    place = ring.take()
    room = ring.memory[place]
    spec = dataclasses.replace(SPEC, sampler={"name": "uniform", "n": 4})
    fetched = Fetched([ClipDataset(clips, spec).load(0)], ring, place)
    batch, failures, clamped = collate(fetched.items, spec, room=room)
    sent = pickle.dumps(Loaded(batch, failures, clamped, fetched))
    assert torch.equal(pickle.loads(sent).batch.inputs["rgb"], batch.inputs["rgb"])
    del ring, fetched, room, batch
    gc.collect()
    with pytest.raises(WorkerError, match="its loader was closed"):
        pickle.loads(sent)
