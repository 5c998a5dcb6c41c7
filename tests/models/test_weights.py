"""Pretrained weights: what a file says of itself is honoured, and what does not fit is refused."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import video as torchvision_video

from marey.errors import CheckpointError, UnknownNameError
from marey.models import create_model, save_model
from marey.models.fit import LoadReport
from marey.models.weights import facts_from_config, facts_from_metadata
from tests.models.small import randomise, small_model
from tests.shared import SHARED, needs_shared

MOBILENET = SHARED / "weights" / "mobilenetv2_100_imagenet.safetensors"


@pytest.fixture
def timm_file(tmp_path: Path) -> Path:
    """A timm classifier's state dict with the facts that decide how it must be fed."""
    import timm

    torch.manual_seed(0)
    network = randomise(timm.create_model("mobilenetv3_small_050", num_classes=9, pad_type="same"))
    path = tmp_path / "net.safetensors"
    save_file(
        network.state_dict(),
        path,
        metadata={
            "pad_type": "same",
            "normalisation": "x/127.5-1 (mean=(0.5,0.5,0.5), std=(0.25, 0.5, 0.5) on [0,1])",
            "batchnorm": "folded into bias",
            "num_classes": "9",
        },
    )
    return path


def report_of(model: Any) -> LoadReport:
    assert isinstance(model.load_report, LoadReport)
    return model.load_report


@torch.no_grad()
def test_a_backbones_facts_are_applied(timm_file: Path) -> None:
    import timm

    model = create_model(
        "cnn_gru", num_classes=2, backbone="mobilenetv3_small_050", size=65, pretrained=timm_file
    )
    assert model.spec.mean == (0.5, 0.5, 0.5)
    assert model.spec.std == (0.25, 0.5, 0.5)
    assert model.kwargs["backbone_kwargs"] == {"pad_type": "same"}
    by_hand = timm.create_model("mobilenetv3_small_050", num_classes=9, pad_type="same")
    by_hand.load_state_dict(load_file(timm_file))
    by_hand.reset_classifier(0)
    by_hand.eval()
    frame = torch.randint(0, 256, (1, 3, 65, 65), dtype=torch.uint8)
    expected = by_hand((frame / 255 - 0.5) / torch.tensor([0.25, 0.5, 0.5]).view(3, 1, 1))
    model.train()  # folded batch norm must hold still even now
    assert torch.allclose(model.backbone(model.normalise("rgb", frame[None])[0]), expected, atol=1e-5)
    report = report_of(model)
    assert set(report.unexpected) == {"backbone.classifier.weight", "backbone.classifier.bias"}
    assert all(not k.startswith("backbone") for k in report.missing)
    assert "folded" in str(report)


def test_frozen_norms_are_not_among_the_parameters_to_train(timm_file: Path) -> None:
    free = create_model("frame_average", num_classes=2, backbone="mobilenetv3_small_050", size=64)
    held = create_model(
        "frame_average", num_classes=2, backbone="mobilenetv3_small_050", size=64, pretrained=str(timm_file)
    )
    assert len(list(held.backbone_parameters())) < len(list(free.backbone_parameters()))
    assert all(p.ndim > 1 or "bn" not in n for n, p in held.named_parameters() if p.requires_grad)


def test_the_head_goes_along_where_the_classes_are_the_same(timm_file: Path) -> None:
    keywords: dict[str, Any] = {"backbone": "mobilenetv3_small_050", "size": 64, "pretrained": timm_file}
    same = create_model("frame_average", num_classes=9, **keywords)
    assert torch.equal(same.head.weight, load_file(timm_file)["classifier.weight"])  # type: ignore[union-attr, arg-type]
    other = create_model("frame_average", num_classes=2, **keywords)
    assert set(report_of(other).dropped) == {"head.weight", "head.bias"}


def test_a_whole_models_file_of_every_kind(tmp_path: Path) -> None:
    reference = torchvision_video.r2plus1d_18(num_classes=11).state_dict()
    for name, content in (
        ("plain.pth", reference),
        ("wrapped.pt", {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in reference.items()}}),
        ("older.bin", {"model": {k: v for k, v in reference.items() if "num_batches" not in k}}),
    ):
        torch.save(content, tmp_path / name)
        model = create_model("r2plus1d_18", num_classes=3, pretrained=tmp_path / name)
        assert torch.equal(
            model.state_dict()["layer4.1.conv2.0.3.weight"], reference["layer4.1.conv2.0.3.weight"]
        )
        assert set(report_of(model).dropped) == set(report_of(model).missing) == {"fc.weight", "fc.bias"}


def test_a_marey_checkpoint_starts_another_model(tmp_path: Path) -> None:
    first = small_model("r2plus1d_tiny")
    first.spec = type(first.spec).from_dict({**first.spec.to_dict(), "mean": [0.3, 0.3, 0.3]})
    file = tmp_path / "run/weights/best.safetensors"
    file.parent.mkdir(parents=True)
    save_model(file, first, class_names="abcde")
    for source in (file, tmp_path / "run"):  # a file, or the folder of its run
        second = create_model("r2plus1d_tiny", num_classes=2, pretrained=source)
        assert second.spec.mean == (0.3, 0.3, 0.3)
        state = second.state_dict()
        assert all(torch.equal(v, state[k]) for k, v in first.state_dict().items() if "fc" not in k)
    with pytest.raises(CheckpointError, match="this folder is no run"):
        create_model("r2plus1d_tiny", num_classes=2, pretrained=tmp_path)


def test_what_does_not_fit_or_cannot_be_read(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.zeros(3, 3)}, tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"model": small_model("r2plus1d_tiny")}, tmp_path / "pickle.pt")
    (tmp_path / "noise.pth").write_bytes(b"\x80\x02noise" * 20)
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    narrow = small_model("r2plus1d_tiny", widths=(16, 32, 64, 80))
    torch.save(narrow.state_dict(), tmp_path / "narrow.pt")
    for name, words in (
        ("other.pt", "they cover 0% of it"),
        ("list.pt", "no state dict"),
        ("pickle.pt", "could run code"),
        ("noise.pth", "could run code|not a whole"),
        ("cut.safetensors", "not a whole"),
        ("absent.pt", "no such file"),
        ("narrow.pt", "of another shape"),
    ):
        with pytest.raises(CheckpointError, match=words) as caught:
            create_model("r2plus1d_tiny", num_classes=2, pretrained=tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(CheckpointError, match="no public weights are known"):
        create_model("r2plus1d_tiny", num_classes=2, pretrained=True)
    with pytest.raises(UnknownNameError, match=r"Did you mean 'R2Plus1D_18_Weights\.KINETICS400_V1'"):
        create_model("r2plus1d_18", num_classes=2, pretrained="R2Plus1D_18_Weights.KINETICS_V1")
    with pytest.raises(UnknownNameError, match="weights name"):
        create_model("r2plus1d_18", num_classes=2, pretrained="kinetics")


def test_without_a_network_the_hub_is_a_typed_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="could not be fetched"):
        create_model("frame_average", num_classes=2, size=64, pretrained=True)
    with pytest.raises(CheckpointError, match="could not be fetched"):
        create_model("r2plus1d_18", num_classes=2, pretrained="nobody/nothing")


def test_a_file_at_an_address_is_fetched_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over a real connection; a hash in the file's name is held against what came."""
    place, served = tmp_path / "hub", tmp_path / "served"
    served.mkdir()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(place))
    state = {"model_state": small_model("r2plus1d_tiny").state_dict()}
    torch.save(state, served / "NET.pyth")
    content = (served / "NET.pyth").read_bytes()
    (served / f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth").write_bytes(content)
    (served / "net-00000000.pth").write_bytes(content)
    handler = functools.partial(Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        named = next(p.name for p in served.glob("net-*.pth") if "00000000" not in p.name)
        for name in ("NET.pyth", named):
            model = create_model("r2plus1d_tiny", num_classes=2, pretrained=f"{root}/{name}")
            assert report_of(model).where == f"{root}/{name}"
            assert (place / "checkpoints" / name).is_file()
            assert f"downloading {root}/{name}" in capsys.readouterr().err
        for name, words in (
            ("net-00000000.pth", "invalid hash"),
            ("none.pth", "404"),
            ("net.html", "must end in"),
        ):
            with pytest.raises(CheckpointError, match=words):
                create_model("r2plus1d_tiny", num_classes=2, pretrained=f"{root}/{name}")
            assert not (place / "checkpoints" / name).exists()
        server.shutdown()
    capsys.readouterr()
    create_model("r2plus1d_tiny", num_classes=2, pretrained=f"{root}/NET.pyth")  # from the disk
    assert "downloading" not in capsys.readouterr().err


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


def test_facts_of_the_usual_neighbours() -> None:
    timm_config = {"architecture": "resnet18", "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.4] * 3}}
    assert facts_from_config(timm_config).std == (0.4, 0.4, 0.4)
    processor = {"image_mean": [0.45, 0.45, 0.45], "image_std": [0.225] * 3}
    assert facts_from_config(processor).mean == (0.45, 0.45, 0.45)
    assert facts_from_metadata({"mean": "[0.1, 0.2, 0.3]"}).mean == (0.1, 0.2, 0.3)
    assert facts_from_metadata({"format": "pt"}).mean is None
    with pytest.raises(CheckpointError, match="damaged"):
        facts_from_metadata({"marey": "{"})


@needs_shared
@torch.no_grad()
def test_the_real_mobilenet_gives_its_own_logits() -> None:
    """ImageNet logits as from timm's network built by hand, padding and normalising included."""
    import timm

    model = create_model(
        "frame_average", num_classes=1001, backbone="mobilenetv2_100", pretrained=MOBILENET
    ).eval()
    by_hand = timm.create_model("mobilenetv2_100", num_classes=1001, pad_type="same").eval()
    by_hand.load_state_dict(load_file(MOBILENET))
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 8, 8, generator=generator)
    frames = (torch.nn.functional.interpolate(coarse, (224, 224), mode="bicubic").clamp(0, 1) * 255).byte()
    expected = by_hand(frames / 127.5 - 1)
    assert torch.allclose(model(rgb=frames[:, None]), expected, atol=1e-3)
    assert expected.softmax(dim=1).max() > 5 / 1001  # it knows something: far from uniform
    plain = timm.create_model("mobilenetv2_100", num_classes=1001).eval()
    plain.load_state_dict(load_file(MOBILENET))
    assert not torch.allclose(plain(frames / 127.5 - 1), expected, atol=0.1)
