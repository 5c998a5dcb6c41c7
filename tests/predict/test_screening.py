"""Artifacts from elsewhere: whatever is wrong with one is said, and nothing of it is run or opened."""

from __future__ import annotations

import json
import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import marey
from marey.errors import CheckpointError, UsageError
from marey.predict.about import Description
from marey.predict.artifact import KEY, WHOLE, artifact_of, read_artifact
from marey.predict.runtimes.onnx_runtime import OnnxRuntime
from marey.predict.runtimes.open_vino import OpenVino
from marey.spec import InputSpec

SPEC = InputSpec(sampler={"name": "uniform", "n": 2}, frames=2, size=(4, 6), resize=8)


def small_artifact() -> onnx.ModelProto:
    """Two classes: the mean brightness of the real frames, and its opposite."""
    nodes = [
        helper.make_node("Cast", ["rgb"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x", "pixels"], ["frames"], keepdims=0),
        helper.make_node("Mul", ["frames", "m"], ["real"]),
        helper.make_node("ReduceMean", ["real", "time"], ["mean"], keepdims=1),
        helper.make_node("MatMul", ["mean", "weight"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    weights = [
        helper.make_tensor("pixels", TensorProto.INT64, [3], [2, 3, 4]),
        helper.make_tensor("time", TensorProto.INT64, [1], [1]),
        onnx.numpy_helper.from_array(np.array([[0.01, -0.01]], dtype=np.float32), "weight"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info("rgb", TensorProto.UINT8, ["batch", "frames", 3, 4, 6]),
            helper.make_tensor_value_info("mask", TensorProto.BOOL, ["batch", "frames"]),
        ],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2]),
        ],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    about = Description("bright", marey.__version__, SPEC, ("light", "dark"))
    model.metadata_props.add(key=KEY, value=about.to_json())
    return model


def opened(model: onnx.ModelProto):
    return artifact_of(model.SerializeToString(), path="there.onnx")


def described(**changes) -> onnx.ModelProto:
    """The artifact with other metadata: keys of the specification begin with `spec.`."""
    model = small_artifact()
    plain = json.loads(model.metadata_props[0].value)
    for key, value in changes.items():
        place = plain["spec"] if key.startswith("spec_") else plain
        place[key.removeprefix("spec_")] = value
    model.metadata_props[0].value = json.dumps(plain)
    return model


def test_a_sound_one_runs():
    artifact = opened(small_artifact())
    clip = np.full((1, 2, 3, 4, 6), 200, dtype=np.uint8)
    for runtime in (OnnxRuntime(artifact), OpenVino(artifact)):
        logits = runtime({"rgb": clip}, np.ones((1, 2), dtype=bool))
        assert np.allclose(logits, [[2, -2]], atol=1e-3)


def test_no_artifact_at_all(tmp_path):
    for name, content, words in (
        ("empty.onnx", b"", "at least one"),
        ("text.onnx", b"not a model at all", "not a whole ONNX file|not an ONNX file"),
        ("cut.onnx", small_artifact().SerializeToString()[:-40], "not a whole ONNX file|holds no|damaged"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=words):
            marey.load(tmp_path / name)
    with pytest.raises(CheckpointError, match="no such file"):
        marey.load(tmp_path / "absent.onnx")
    other = small_artifact()
    del other.metadata_props[:]
    with pytest.raises(CheckpointError, match="not exported by marey"):
        opened(other)


@pytest.mark.parametrize("kind", ["outside", "symbolic link", "hard link"])
def test_data_in_other_files_are_not_opened(tmp_path, kind):
    """Wherever they lie and whatever the name: a link inside the folder is a file outside of it."""
    secret = tmp_path / "elsewhere" / "secret.bin"
    secret.parent.mkdir()
    secret.write_bytes(np.array([1.0, 2.0], dtype=np.float32).tobytes())
    folder = tmp_path / "artifact"
    folder.mkdir()
    location = "../elsewhere/secret.bin"
    if kind != "outside":
        location = "weights.bin"
        if kind == "hard link":
            os.link(secret, folder / location)
        else:
            (folder / location).symlink_to(secret)
    model = small_artifact()
    weight = model.graph.initializer[2]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    (folder / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="lie in another file") as caught:
        read_artifact(folder / "x.onnx")
    assert location in str(caught.value)


def test_data_in_other_files_are_found_in_attributes_and_inner_graphs():
    inner = helper.make_graph([], "inner", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])])
    hidden = inner.initializer.add(name="y", data_type=TensorProto.FLOAT, dims=[1])
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="/etc/passwd")
    model = small_artifact()
    model.graph.node.add().CopyFrom(
        helper.make_node("If", ["c"], ["unused"], then_branch=inner, else_branch=inner)
    )
    with pytest.raises(CheckpointError, match="passwd"):
        opened(model)
    model = small_artifact()
    node = model.graph.node.add(op_type="Constant", output=["unused"])
    attribute = node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    attribute.t.CopyFrom(hidden)
    with pytest.raises(CheckpointError, match="another file"):
        opened(model)


def test_operators_of_a_library():
    model = small_artifact()
    model.graph.node[0].domain = "com.evil"
    with pytest.raises(CheckpointError, match=r"not ONNX's own: com\.evil\.Cast"):
        opened(model)
    model = small_artifact()
    model.opset_import.add(domain="com.evil", version=1)
    with pytest.raises(CheckpointError, match="not ONNX's own"):
        opened(model)
    model = small_artifact()
    model.functions.add(name="Cast", domain="")
    with pytest.raises(CheckpointError, match="functions of its own"):
        opened(model)


def test_sizes_beyond_what_is_there():
    for dims in ([1 << 40, 1 << 20], [1, 2, 1 << 30], [-1, 2], [1]):
        model = small_artifact()
        del model.graph.initializer[2].dims[:]
        model.graph.initializer[2].dims.extend(dims)
        with pytest.raises(CheckpointError, match=r"holds 8 bytes in place of|negative size"):
            opened(model)


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": []},
        {"class_names": ["a", "a"]},
        {"class_names": "ab"},
        {"class_names": [1, 2]},
        {"temperature": 0},
        {"temperature": True},
        {"temperature": "1"},
        {"outputs": ["logits", "probabilities"]},
        {"certificate": []},
        {"unheard": 1},
        {"spec": None},
        {"spec_size": [100_000, 100_000]},
        {"spec_size": [4]},
        {"spec_size": ["4", "6"]},
        {"spec_size": [4, 8]},
        {"spec_frames": 10**9},
        {"spec_frames": 2.5},
        {"spec_frames_multiple": 0},
        {"spec_mean": [1e400] * 3 + [0]},
        {"spec_modalities": ["rgb", "sound"]},
        {"spec_modalities": ["flow"]},
        {"spec_sampler": {"name": "uniform", "n": 10**12}},
        {"spec_unheard": 1},
    ],
    ids=str,
)
def test_metadata_that_cannot_be(changes):
    with pytest.raises(CheckpointError):
        opened(described(**changes))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"spec": 1}', "[" * 100_000], ids=lambda text: text[:12]
)
def test_metadata_that_are_no_description(text):
    model = small_artifact()
    model.metadata_props[0].value = text
    with pytest.raises(CheckpointError, match="metadata"):
        opened(model)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"graph": "AAAA", "shared": {}}',
        '{"graph": "eJwDAAAAAAE=", "shared": {"a": "no such weights"}}',
    ],
)
def test_a_second_graph_that_cannot_be(text):
    model = small_artifact()
    model.metadata_props.add(key=WHOLE, value=text)
    with pytest.raises(CheckpointError, match=r"second graph|inputs"):
        opened(model)


def test_a_graph_that_no_runtime_takes():
    """Screened, and then refused by the runtime: an error of ours, with the file's name."""
    model = small_artifact()
    model.graph.node[3].op_type = "Nonsense"
    artifact = opened(model)
    clip, mask = {"rgb": np.zeros((1, 2, 3, 4, 6), np.uint8)}, np.ones((1, 2), dtype=bool)
    for runtime in (OnnxRuntime(artifact), OpenVino(artifact)):
        with pytest.raises(CheckpointError, match=r"there\.onnx: .* cannot load it"):
            runtime(clip, mask)


@pytest.mark.parametrize(
    ("inputs", "mask", "words"),
    [
        ({}, np.ones((1, 2), bool), "takes rgb, got nothing"),
        ({"flow": np.zeros((1, 1, 2, 4, 6), np.float32)}, np.ones((1, 2), bool), "takes rgb, got flow"),
        ({"rgb": np.zeros((1, 2, 3, 4, 6), np.float32)}, np.ones((1, 2), bool), "must be uint8"),
        ({"rgb": np.zeros((1, 2, 3, 6, 4), np.uint8)}, np.ones((1, 2), bool), r"= \(1, 2, 3, 4, 6\), got"),
        ({"rgb": np.zeros((1, 3, 3, 4, 6), np.uint8)}, np.ones((1, 2), bool), r"got uint8 \(1, 3, 3, 4, 6\)"),
        ({"rgb": np.zeros((2, 3, 4, 6), np.uint8)}, np.ones((1, 2), bool), "of shape"),
        ({"rgb": np.zeros((1, 2, 3, 4, 6), np.uint8)}, np.ones((1, 2), np.uint8), "must be bool"),
        ({"rgb": np.zeros((1, 2, 3, 4, 6), np.uint8)}, np.array([[False, True]]), "real frames first"),
    ],
)
def test_wrong_inputs(inputs, mask, words):
    with pytest.raises(UsageError, match=words):
        OnnxRuntime(opened(small_artifact()))(inputs, mask)
