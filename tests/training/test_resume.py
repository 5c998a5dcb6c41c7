"""A training that is cut off and resumed ends bit-equal to one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file

from marey.config import to_yaml
from marey.data.augment import AugmentConfig
from marey.errors import CheckpointError
from marey.jobs.train import resume_config, train
from marey.training.config import OptimConfig, SystemConfig
from marey.training.log import RunLog
from tests.training.small import config


class Cut(BaseException):
    """Stands for the power going out: nothing catches it."""


def same_weights(a, b):
    first, second = (load_file(run / "weights" / "best.safetensors") for run in (a, b))
    assert first.keys() == second.keys()
    return all(torch.equal(first[key], second[key]) for key in first)


PROGRESSIVE = {"freeze_backbone": 1, "unfreeze": 1, "layer_decay": 0.7}  # cut where half the stages learn


@pytest.mark.parametrize(("batches", "optim"), [(1, {}), (7, PROGRESSIVE), (12, {})])
def test_resuming_is_bit_equal(motion, tmp_path, monkeypatch, batches, optim):
    """Dropout, MixUp, jitter, colour, noise, lost frames, EMA, accumulation: all of them random, none of them
    different after."""
    settings = config(
        motion,
        tmp_path,
        epochs=3,
        optim=OptimConfig(lr=2e-3, ema=0.9, accumulate=2, **optim),
        augment=AugmentConfig(
            brightness=0.3,
            mixup=0.2,
            speed=0.2,
            erasing=0.2,
            noise=0.1,
            randaugment=(2, 9),
            frame_rate=0.3,
            frame_drop=0.2,
            frame_hold=0.2,
        ),
        system=SystemConfig(
            device="cpu", cache_mb=64, save_every=1, augment_on="device" if batches == 7 else "workers"
        ),
    )
    whole = train(settings, quiet=True)
    done = 0
    real = RunLog.progress

    @contextmanager
    def counting(self, text, total, unit="clips"):
        with real(self, text, total, unit) as advance:

            def count(n):
                nonlocal done
                if "epoch" in text and n:
                    done += 1
                    if done > batches:
                        raise Cut
                advance(n)

            yield count

    monkeypatch.setattr(RunLog, "progress", counting)
    with pytest.raises(Cut):
        train(settings, quiet=True)
    monkeypatch.setattr(RunLog, "progress", real)
    cut = tmp_path / "train" / "small-2"
    assert not (cut / "metrics.json").exists()
    again = train(resume_config(cut), resume=cut, quiet=True)
    assert again.run == cut
    assert same_weights(whole.run, cut)
    first, second = (
        [line.split(",")[:7] for line in (run / "results.csv").read_text().splitlines()]
        for run in (whole.run, cut)
    )
    assert first == second
    assert whole.metrics["top1"] == again.metrics["top1"]


def test_resuming_with_other_data_is_refused(motion, tmp_path):
    settings = config(motion, tmp_path, epochs=1)
    run = train(settings, quiet=True).run
    split = run / "split.csv"
    split.write_text(split.read_text().replace(",train", ",val", 1))
    with pytest.raises(CheckpointError, match="data has changed"):
        train(resume_config(run), resume=run, quiet=True)
    with pytest.raises(CheckpointError, match="not the folder of a training"):
        resume_config(tmp_path)


def test_a_damaged_state_is_named(motion, tmp_path):
    run = train(config(motion, tmp_path, epochs=1), quiet=True).run
    state = run / "weights" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="state cannot be read"):
        train(resume_config(run), resume=run, quiet=True)


@pytest.mark.slow
def test_twenty_kills_at_random_moments(motion, tmp_path):
    """SIGKILL, wherever it falls: during a step, while a state is being written, before the first one."""
    settings = config(
        motion,
        tmp_path,
        epochs=4,
        augment=AugmentConfig(brightness=0.3, mixup=0.2, speed=0.2),
        system=SystemConfig(device="cpu", threads=1, cache_mb=64, save_every=1),
    )
    whole = train(settings, quiet=True)
    file = tmp_path / "settings.yaml"
    file.write_text(to_yaml(settings))
    rng = random.Random(0)
    cut = tmp_path / "train" / "small-2"
    kills = 0
    while kills < 20:
        words = ["--resume", str(cut)] if (cut / "split.csv").exists() else ["--config", str(file)]
        process = subprocess.Popen(
            [sys.executable, "-m", "marey", "train", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # from the moment the run folder is known to be in use, some steps and then the end
        log, size = cut / "log.txt", (cut / "log.txt").stat().st_size if (cut / "log.txt").exists() else 0
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if log.exists() and log.stat().st_size > size and "model:" in log.read_text()[-400:]:
                break
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.5))
        if process.poll() is not None:
            break  # it got to the end before its turn came
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= 20, f"the training ended after {kills} kills: give it more steps"
    train(resume_config(cut), resume=cut, quiet=True)
    assert same_weights(whole.run, cut)
