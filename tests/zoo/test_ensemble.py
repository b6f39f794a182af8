"""The mean of probabilities by hand and in float64; an ensemble that is saved, loaded and run as a file like any net."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import make_task
from galenic.exporters.load import exporter_for
from galenic.preprocess.transform import to_inputs
from galenic.record.errors import ModelError
from galenic.record.quant import QuantRule, QuantSpec
from galenic.record.task import TaskKind
from galenic.runtimes.load import open_session
from galenic.zoo.build import build
from galenic.zoo.ensemble import ensemble, mean_of_classes, mean_of_labels
from galenic.zoo.model import Model, weights_hash
from galenic.zoo.saving import load_model, save_model

SHAPE = (1, 12, 12)


def pair(outputs: int = 2) -> tuple[Model, Model]:
    """Two families, with weights of their own."""
    return build("resnet8", SHAPE, outputs, seed=1, options={"width": 0.25}), build("mlp", SHAPE, outputs, seed=2)


def test_probabilities_are_averaged_and_not_logits() -> None:
    """3/4 and 1/4 beside 1/2 and 1/2 is 5/8 and 3/8, whose logits differ by ln(5/3)."""
    logits = torch.tensor([[[np.log(3), 0.0]], [[0.0, 0.0]]], dtype=torch.float64)
    assert mean_of_classes(logits).exp().tolist()[0] == pytest.approx([5 / 8, 3 / 8])
    assert mean_of_labels(logits).tolist()[0] == pytest.approx([np.log(5 / 3), 0.0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 4), st.floats(0.1, 8))
def test_both_means_are_those_of_numpy(seed: int, members: int, spread: float) -> None:
    logits = np.random.default_rng(seed).normal(0, spread, (members, 5, 3))
    classes = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    labels = 1 / (1 + np.exp(-logits))
    got = torch.softmax(mean_of_classes(torch.from_numpy(logits)), dim=1).numpy()
    np.testing.assert_allclose(got, classes.mean(axis=0), rtol=1e-9)
    got = torch.sigmoid(mean_of_labels(torch.from_numpy(logits))).numpy()
    np.testing.assert_allclose(got, labels.mean(axis=0), rtol=1e-9)


def test_members_that_are_sure_beyond_float32_stay_finite() -> None:
    sure = torch.tensor([[[200.0, -200.0]], [[-200.0, 200.0]]])
    assert mean_of_classes(sure).tolist()[0] == pytest.approx([np.log(0.5)] * 2, rel=1e-6)
    assert mean_of_labels(sure).tolist()[0] == pytest.approx([0.0, 0.0], abs=1e-4)


@pytest.mark.parametrize("kind", [TaskKind.SINGLE_LABEL, TaskKind.MULTI_LABEL])
def test_it_is_saved_and_loaded_bit_for_bit(kind: TaskKind, tmp_path: Path) -> None:
    model = ensemble(pair(), kind)
    loaded = load_model(save_model(model, tmp_path))
    assert (loaded.spec, loaded.lineage) == (model.spec, ("ensemble",))
    assert weights_hash(loaded) == weights_hash(model)
    inputs = torch.randn(3, *SHAPE)
    with torch.no_grad():
        assert torch.equal(loaded.module(inputs), model.module(inputs))


def test_an_ensemble_of_an_ensemble_comes_back(tmp_path: Path) -> None:
    model = ensemble([ensemble(pair()), pair()[0]])
    assert weights_hash(load_model(save_model(model, tmp_path))) == weights_hash(model)


@pytest.mark.parametrize("kind", [TaskKind.SINGLE_LABEL, TaskKind.MULTI_LABEL])
def test_its_onnx_file_answers_the_mean_probability_in_onnx_runtime(kind: TaskKind, tmp_path: Path) -> None:
    task = make_task(rows=6, kind=kind)
    members = pair()
    exporter = exporter_for("onnxruntime")
    artifact = exporter.export(
        ensemble(members, kind),
        tmp_path / "ensemble.onnx",
        preprocessing=task.preprocessing,
        classes=task.classes,
    )
    rows = to_inputs(task.preprocessing, task.test.inputs)
    with torch.no_grad():
        each = [model.module(torch.from_numpy(rows)).double() for model in members]
    if kind is TaskKind.MULTI_LABEL:
        expected = torch.logit(torch.stack(each).sigmoid().mean(dim=0))
    else:
        expected = torch.stack(each).softmax(dim=2).mean(dim=0).log()
    np.testing.assert_allclose(open_session(artifact).run(rows), expected.numpy(), atol=1e-4)
    assert artifact.parameters == sum(p.numel() for model in members for p in model.module.parameters())


def test_built_members_have_seeds_of_their_own() -> None:
    member = {"architecture": "mlp", "options": {"hidden": [4]}}
    built = build("ensemble", SHAPE, 2, seed=5, options={"members": [member, member]})
    for index, part in enumerate(built.module.members):
        alone = build("mlp", SHAPE, 2, seed=5 + index, options={"hidden": [4]})
        assert torch.equal(part.classifier.weight, alone.module.classifier.weight)


def test_what_does_not_belong_together_is_refused() -> None:
    first, second = pair()
    with pytest.raises(ModelError, match="two models or more"):
        ensemble([first])
    with pytest.raises(ModelError, match="3 outputs in one ensemble with resnet8"):
        ensemble([first, build("mlp", SHAPE, 3)])
    with pytest.raises(ModelError, match="which is quantized"):
        ensemble([first, dataclasses.replace(second, quant=QuantSpec(rule=QuantRule()))])
    with pytest.raises(ModelError, match="multi-label"):
        ensemble([dataclasses.replace(first, task=make_task(kind=TaskKind.MULTI_LABEL)), second])
    for options in ({}, {"members": [{"architecture": "mlp"}]}, {"members": [{"net": "mlp"}, {"architecture": "mlp"}]}):
        with pytest.raises(ModelError, match="two or more"):
            build("ensemble", SHAPE, 2, options=options)
    with pytest.raises(ModelError, match="did you mean"):
        build("ensemble", SHAPE, 2, options={"member": []})
