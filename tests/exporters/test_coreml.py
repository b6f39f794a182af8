"""Core ML packages, read back by code that shares nothing with what writes them (``galenic.runtimes.coreml_*``)."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.half import HalfPrecision, to_half
from galenic.compress.quantize.int4 import quantize_weights
from galenic.compress.quantize.places import logits
from galenic.compress.quantize.simulate import simulated
from galenic.exporters.coreml import EXPORTER, check_rule
from galenic.exporters.coreml_grids import Held, held_weights, hold_weights
from galenic.exporters.coreml_package import MODEL
from galenic.exporters.coreml_program import identifier, import_coremltools, quiet, to_program
from galenic.exporters.matching import activations, weights
from galenic.record.artifact import Artifact
from galenic.record.card import Card
from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.preprocessing import Modality, Preprocessing, WordPieces
from galenic.record.quant import Arithmetic, LayerRule, QuantRule
from galenic.runtimes.card import card_inside
from galenic.runtimes.coreml_evaluate import Evaluator
from galenic.runtimes.coreml_package import WEIGHTS_PATH, opened
from galenic.runtimes.coreml_proto import Program, program_of
from galenic.runtimes.load import artifact_of_file, open_session
from galenic.zoo.build import build
from galenic.zoo.graph import graph_tensor, layers, traced
from galenic.zoo.model import Model

with quiet():
    import_coremltools()
    from coremltools.proto import Model_pb2

WEIGHTS = Arithmetic.WEIGHTS


def program_in(artifact: Artifact) -> Program:
    package = opened(artifact.path.read_bytes())
    return program_of(package.model, package.weights, WEIGHTS_PATH)


def spec_in(artifact: Artifact):
    return Model_pb2.Model.FromString(opened(artifact.path.read_bytes()).model)


def answers_of(model: Model, inputs: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model.module(torch.from_numpy(inputs)).numpy()


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest one, over the largest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet8", (3, 16, 16)),
        ("resnet1d", (2, 40)),
        ("efficientnet_b0", (3, 32, 32)),
        ("densenet121", (3, 32, 32)),
    ],
)
def test_float32_answers_as_torch_does(name, shape, wrap, ends, rows, tmp_path) -> None:
    """As ``test_exporter`` asks of other nets."""
    model = wrap(build(name, shape, 3).module, shape, 3)
    artifact, inputs = EXPORTER.export(model, tmp_path / "model.mlpackage.zip", **ends(model)), rows(2, shape)
    assert difference(open_session(artifact).run(inputs), answers_of(model, inputs)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv", "ds_conv1d", "mlp"])
def test_float16_is_half_as_large_and_answers_nearly_as_torch_does(name, exported, ends, rows, tmp_path) -> None:
    model, whole = exported(EXPORTER, name)
    inputs = rows(5, model.spec.input_shape)
    half = EXPORTER.export(to_half(model, HalfPrecision().rule), tmp_path / "half.mlpackage.zip", **ends(model))
    assert 0 < difference(open_session(half).run(inputs), answers_of(model, inputs)) < 1e-2
    assert (whole.precision, half.precision) == ("float32", "float16")
    weights_of = [len(opened(one.path.read_bytes()).weights) for one in (whole, half)]
    assert weights_of[1] < 0.75 * weights_of[0]


def conv_net() -> nn.Module:
    """Every kind of layer that has weights, and a batch norm that no layer takes in."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.Hardswish(),
        nn.Conv2d(8, 16, 1), nn.ReLU(),
        nn.ConvTranspose2d(16, 6, 2, 2), nn.BatchNorm2d(6), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 16), nn.SiLU(), nn.Linear(16, 3),
    )  # fmt: skip


SHAPE = (3, 8, 8)
LAYERS = ("0", "3", "6", "8", "13", "15")


def rule(bits: int, **changes: object) -> QuantRule:
    return QuantRule(arithmetic=WEIGHTS, weight_bits=bits, activation_bits=32, **changes)


def held_in(artifact: Artifact) -> list[tuple[np.ndarray, np.ndarray]]:
    """The integers and the scales of every integer weight of a file, in order."""
    found = []
    for operation in program_in(artifact).operations:
        values = {**operation.attributes, **{name: bound[0] for name, bound in operation.inputs.items()}}
        if operation.kind == "constexpr_affine_dequantize":
            assert values["zero_point"] == 0
            side = [1] * values["quantized_data"].ndim
            side[int(values["axis"])] = -1
            found.append((values["quantized_data"], values["scale"].reshape(side)))
        elif operation.kind == "constexpr_blockwise_shift_scale":
            assert "offset" not in values
            found.append((values["data"], values["scale"]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "ios", "precision"),
    [
        (rule(8), 16, "weights-int8"),
        (rule(6, per_channel=False), 16, "weights-int6"),
        (rule(4), 18, "weights-int4"),
        (rule(3), 18, "weights-int3"),
        (rule(8, group_size=8, keep=("0", "3", "8")), 18, "weights-int8"),
        (
            rule(4, group_size=4, keep=("0", "3", "8"), layers=(LayerRule(layer="13", weight_bits=8),)),
            18,
            "weights-int4",
        ),
    ],
    ids=["8", "6-per-tensor", "4", "3", "8-groups", "4-groups-and-8"],
)
def test_the_weights_in_the_file_are_the_points_and_nothing_is_rounded_again(
    asked, ios, precision, wrap, ends, rows, tmp_path
) -> None:
    model = quantize_weights(wrap(conv_net(), SHAPE, 3), asked, in_batches(rows(16, SHAPE)))
    artifact = EXPORTER.export(model, tmp_path / "model.mlpackage.zip", **ends(model))
    points, held, graph = weights(model.quant.points), held_in(artifact), traced(model)
    assert len(held) == len(points) == len(LAYERS) - len(asked.keep)
    nodes = layers(graph)
    for (layer, point), (integers, scales) in zip(points.items(), held, strict=True):
        node, steps = nodes[layer], scales
        for side, size in enumerate(integers.shape):
            steps = np.repeat(steps, size // scales.shape[side], axis=side)
        np.testing.assert_array_equal(integers * steps, graph_tensor(graph, node.args[1]).detach().numpy())
        assert scales.reshape(-1).tolist() == list(point.scale)
        assert np.abs(integers).max() == 2 ** (point.bits - 1) - 1
    assert difference(open_session(artifact).run(rows(9, SHAPE, 3)), answers_of(model, rows(9, SHAPE, 3))) < 1e-5
    assert spec_in(artifact).specificationVersion == ios - 9
    assert (artifact.precision, artifact.quant.points) == (precision, model.quant.points)
    assert (artifact.integer_ops.integer, artifact.integer_ops.expected) == (0, 0)


@pytest.mark.slow
def test_the_sizes_are_those_of_the_bits(wrap, ends, rows, tmp_path) -> None:
    shape = (64,)
    model = wrap(build("mlp", shape, 5, options={"hidden": [256, 256]}).module, shape, 5)
    bits = {32: model, **{n: quantize_weights(model, rule(n), in_batches(rows(8, shape))) for n in (8, 4)}}
    sizes = {
        n: EXPORTER.export(one, tmp_path / f"{n}.mlpackage.zip", **ends(model)).size_bytes for n, one in bits.items()
    }
    count, scales = 64 * 256 + 256 * 256 + 256 * 5, 256 + 256 + 5
    assert abs(sizes[32] - sizes[8] - (3 * count - 4 * scales)) < 1_000
    assert abs(sizes[8] - sizes[4] - count / 2) < 500


@pytest.mark.slow
def test_a_layer_in_float16_is_stored_so_and_computed_in_float32(wrap, ends, rows, tmp_path) -> None:
    asked = rule(8, layers=(LayerRule(layer="13", weight_bits=16), LayerRule(layer="15", weight_bits=32)))
    model = quantize_weights(wrap(conv_net(), SHAPE, 3), asked, in_batches(rows(8, SHAPE)))
    artifact = EXPORTER.export(model, tmp_path / "model.mlpackage.zip", **ends(model))
    halves = [one for one in program_in(artifact).operations if one.kind == "constexpr_cast"]
    assert [one.attributes["source_val"].shape for one in halves] == [(16, 6)]
    assert halves[0].attributes["source_val"].dtype == np.float16
    assert difference(open_session(artifact).run(rows(5, SHAPE, 3)), answers_of(model, rows(5, SHAPE, 3))) < 1e-5


@pytest.mark.slow
def test_groups_that_are_no_blocks_are_refused_with_those_that_would_be(wrap, ends, rows, tmp_path) -> None:
    model = quantize_weights(wrap(conv_net(), SHAPE, 3), rule(4, group_size=3), in_batches(rows(8, SHAPE)))
    with pytest.raises(ModelError, match=r"0 with one scale for each 3 weights, of windows of 9.*choose group_size 9"):
        EXPORTER.export(model, tmp_path / "model.mlpackage.zip", **ends(model))
    assert not list(tmp_path.iterdir())


class Twins(nn.Module):
    """One weight that two layers use, and two layers whose weights are equal."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.other.weight.data.copy_(self.one.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.head(self.other(self.one(self.one(x)).relu()).relu())
        return answer


@pytest.mark.slow
@pytest.mark.parametrize("static", [False, True])
def test_weights_that_are_used_twice_or_are_equal_are_held_for_each(
    static, wrap, integers, ends, rows, tmp_path
) -> None:
    plain = wrap(Twins(), (6,), 3)
    if static:
        model = integers(plain, rows(64, (6,)))
    else:
        model = quantize_weights(
            plain, rule(8, layers=(LayerRule(layer="other", weight_bits=4),)), in_batches(rows(8, (6,)))
        )
    artifact = EXPORTER.export(model, tmp_path / "model.mlpackage.zip", **ends(model))
    assert len(held_in(artifact)) == 3, "the weight that is used twice is there once"
    inputs, graph = rows(20, (6,), 3), traced(model)
    with torch.no_grad():
        points = model.quant.points if static else ()
        expected = simulated(graph, points, torch.from_numpy(inputs), (logits(graph),)).numpy()
    assert difference(open_session(artifact).run(inputs), expected) < 1e-5


@pytest.mark.slow
def test_static_integers_are_on_the_points_and_answer_as_their_simulation(wrap, integers, ends, rows, tmp_path) -> None:
    model = integers(wrap(conv_net(), SHAPE, 3), rows(64, SHAPE))
    artifact = EXPORTER.export(model, tmp_path / "model.mlpackage.zip", **ends(model))
    operations = program_in(artifact).operations
    constants = {one.outputs[0].name: one.attributes["val"] for one in operations if one.kind == "const"}
    quantizes = [one for one in operations if one.kind == "quantize"]
    grids = {
        (float(constants[one.inputs["scale"][0]]), int(constants.get(one.inputs.get("zero_point", ("",))[0], 0)))
        for one in quantizes
    }
    used = activations(artifact.quant.points)
    assert grids == {(point.scale[0], point.zero_point[0]) for point in used.values()}
    assert {one.outputs[0].type.dtype for one in quantizes} == {np.dtype(np.uint8)}
    assert len(held_in(artifact)) == len(LAYERS)
    counted = artifact.integer_ops
    assert (counted.integer, counted.floating, counted.expected, counted.left_float) == (6, 0, 6, ())
    assert (artifact.precision, spec_in(artifact).specificationVersion) == ("int8", 8)
    graph, inputs = traced(model), rows(50, SHAPE, 3)
    with torch.no_grad():
        expected = simulated(graph, artifact.quant.points, torch.from_numpy(inputs), (logits(graph),)).numpy()
    differences = np.abs(open_session(artifact).run(inputs) - expected) / np.abs(expected).max()
    assert np.median(differences) < 1e-6
    assert differences.max() < 0.03, "a value in the middle of two integers may round either way"


@pytest.mark.slow
def test_layers_that_stay_float_are_counted_by_name_and_four_bits_need_ios_18(
    wrap, integers, ends, rows, tmp_path
) -> None:
    asked = QuantRule(weight_bits=4, keep=("15",))
    model = integers(wrap(conv_net(), SHAPE, 3), rows(64, SHAPE), asked)
    artifact = EXPORTER.export(model, tmp_path / "model.mlpackage.zip", **ends(model))
    counted = artifact.integer_ops
    assert (counted.integer, counted.expected, counted.left_float) == (5, 5, ("15",))
    assert (artifact.precision, spec_in(artifact).specificationVersion) == ("w4a8", 9)


def test_what_core_ml_cannot_hold_is_refused_before_any_work() -> None:
    for arithmetic in (Arithmetic.DYNAMIC, Arithmetic.BFLOAT16):
        with pytest.raises(ModelError, match=f"{arithmetic.value} arithmetic for coreml; expected one of static"):
            check_rule(QuantRule(arithmetic=arithmetic))
    with pytest.raises(ModelError, match="12-bit weights with 8-bit activations for coreml"):
        check_rule(QuantRule(weight_bits=12))
    for accepted in (QuantRule(), rule(4, group_size=32), HalfPrecision().rule):
        check_rule(accepted)


@pytest.mark.slow
def test_the_file_is_a_package_for_xcode_with_its_preprocessing_and_classes_inside(exported, ends) -> None:
    model, artifact = exported(EXPORTER, "mlp")
    card = Card(**ends(model))
    with zipfile.ZipFile(artifact.path) as file:
        entries = file.infolist()
        manifest = json.loads(file.read("model.mlpackage/Manifest.json"))
    assert [entry.filename for entry in entries] == [
        "model.mlpackage/Data/com.apple.CoreML/model.mlmodel",
        "model.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
        "model.mlpackage/Manifest.json",
    ]
    assert {(entry.date_time, entry.compress_type) for entry in entries} == {
        ((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED)
    }
    root = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
    assert (root["path"], root["author"]) == ("com.apple.CoreML/model.mlmodel", "com.apple.CoreML")
    spec = spec_in(artifact)
    assert [one.name for one in (*spec.description.input, *spec.description.output)] == ["input", "logits"]
    assert spec.description.output[0].shortDescription == "one logit for each of class 0, class 1, class 2"
    assert not [key for key in spec.description.metadata.userDefined if "date" in key]
    assert spec.specificationVersion == 6, "iOS 15"
    assert card_inside(artifact.path) == card
    made = artifact_of_file(artifact.path, card.preprocessing, card.classes)
    assert (made.runtime, made.classes) == ("coreml", card.classes)
    with pytest.raises(ModelError, match="in that order"):
        artifact_of_file(artifact.path, card.preprocessing, card.classes[::-1])


@pytest.mark.slow
def test_coremltools_loads_the_package_as_one_of_its_own(exported, tmp_path) -> None:
    _, artifact = exported(EXPORTER, "conv")
    with zipfile.ZipFile(artifact.path) as file:
        file.extractall(tmp_path)
    with quiet():
        loaded = import_coremltools().models.MLModel(str(tmp_path / "model.mlpackage"), skip_model_load=True)
        assert loaded.get_spec().SerializeToString(deterministic=True) == (tmp_path / MODEL).read_bytes()


@pytest.mark.slow
def test_operations_bear_the_paths_of_their_modules(exported) -> None:
    _, artifact = exported(EXPORTER, "mobilenet_v3_small")
    made = [value.name for one in program_in(artifact).operations for value in one.outputs if one.kind != "const"]
    assert "features_3_body_expand_activation_relu" in made
    assert "features_1_body_gate_mul" in made
    assert made[-1] == "logits"
    assert all(identifier(name) == name for name in made)


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["none", "half", "weights"])
def test_a_text_net_reads_token_ids(quantization, rows, tmp_path) -> None:
    pytest.importorskip("transformers")
    options = {"layers": 2, "hidden": 16, "heads": 4, "intermediate": 32, "vocabulary": 40}
    model = build("bert", (12,), 3, options=options)
    model = Model(model.module.eval(), model.spec, model.lineage)
    ids = torch.randint(1, 40, (5, 12), generator=torch.Generator().manual_seed(0))
    ids[0, 7:] = 0
    if quantization == "half":
        model = to_half(model, HalfPrecision().rule)
    elif quantization == "weights":
        model = quantize_weights(model, rule(4), in_batches(ids.numpy()))
    pieces = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{number}" for number in range(36)))
    text = WordPieces(vocabulary=pieces)
    preprocessing = Preprocessing(modality=Modality.TEXT, raw_shape=(12,), scale=1.0, mean=(), std=(), text=text)
    artifact = EXPORTER.export(
        model, tmp_path / "model.mlpackage.zip", preprocessing=preprocessing, classes=("a", "b", "c")
    )
    with torch.no_grad():
        expected = model.module(ids).numpy()
    found = open_session(artifact).run(ids.numpy())
    assert difference(found, expected) < (1e-2 if quantization == "half" else 1e-5)


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


class Wrong(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.unsqueeze(1) * 2


class Double(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.double()


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x + 1


class Odd(nn.Module):
    """An operation that coremltools does not know, inside of a module."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleDict({"odd": Bessel()})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.body["odd"](x)
        return found


class Bessel(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "why"),
    [
        (Branching(), "torch cannot trace it"),
        (Wrong(), r"it answers float32 of shape \(1, 1, 3\)"),
        (Double(), r"it answers float64 of shape \(1, 3\)"),
        (Pair(), "it answers 2 tensors"),
        (Odd(), r"Core ML has no special_bessel_j0 in body\.odd"),
    ],
)
def test_a_module_that_cannot_be_a_file_is_refused(module, why, ends, tmp_path, capfd) -> None:
    spec = ModelSpec(architecture="made here", input_shape=(3,), outputs=3)
    model = Model(module.eval(), spec, ("made here",))
    with pytest.raises(ModelError, match=f"made here cannot become a Core ML file: {why}"):
        EXPORTER.export(model, tmp_path / "model.mlpackage.zip", **ends(model))
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_weights_that_are_not_in_the_program_or_not_on_their_grid_are_refused(wrap, rows, known) -> None:
    model = quantize_weights(wrap(known, (2,), 3), rule(8), in_batches(rows(8, (2,))))
    program = to_program(model, traced(model), ios=16)
    graph = traced(model)
    held = held_weights(graph, model.quant)
    other = {name: Held(one.values + 1, one.integers, one.scales, one.bits) for name, one in held.items()}
    with pytest.raises(ModelError, match="a Core ML program without the weight of 0 as it is"):
        hold_weights(program, other, 16)
    with torch.no_grad():
        graph_tensor(graph, layers(graph)["0"].args[1]).add_(1e-3)
    with pytest.raises(ModelError, match="a weight of 0 that is not on the grid of its point"):
        held_weights(graph, model.quant)
    lost = model.quant.model_copy(update={"points": model.quant.points[1:]})
    with pytest.raises(ModelError, match="a quantization without a point for the weight of 0"):
        held_weights(graph, lost)


@pytest.mark.slow
def test_points_of_a_tensor_decide_where_the_file_rounds(wrap, integers, ends, rows, tmp_path) -> None:
    """Another grid for one tensor changes that grid in the file, and nothing else."""
    model = integers(wrap(conv_net(), SHAPE, 3), rows(64, SHAPE))
    first = next(point for point in model.quant.points if point.tensor == "input")
    wider = first.model_copy(update={"scale": (first.scale[0] * 2,)})
    points = tuple(wider if point is first else point for point in model.quant.points)
    changed = replace(model, quant=model.quant.model_copy(update={"points": points}))
    one, two = (
        EXPORTER.export(each, tmp_path / f"{n}.mlpackage.zip", **ends(model)) for n, each in enumerate((model, changed))
    )
    theirs = [[c.attributes["val"] for c in program_in(each).operations if c.kind == "const"] for each in (one, two)]
    different = [(a, b) for a, b in zip(*theirs, strict=True) if not np.array_equal(a, b)]
    assert {(float(a), float(b)) for a, b in different} == {(first.scale[0], wider.scale[0])}
    assert Evaluator(program_in(two)).outputs == ("logits",)
    assert io.BytesIO(one.path.read_bytes()).read(2) == b"PK"
