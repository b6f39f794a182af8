"""The public names are frozen, and importing the package (or a device's rooms) brings no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import galenic as gx

PUBLIC = [
    "Artifact", "Floors", "Margins", "Predictions", "Recipe", "Task", "TrainingConfig", "Verdict",
    "__version__", "build", "distill", "export", "gate", "load_task", "measure", "methods", "predict", "prune", "quantize",
    "sparsify", "train",
]  # fmt: skip


METHODS = [
    "AttentionMatrices",
    "AttentionTransfer",
    "ChannelPruning",
    "ClassPrior",
    "DKD",
    "DST",
    "DynamicInt8",
    "FeatureMatching",
    "GradualMagnitude",
    "HalfPrecision",
    "HiddenStates",
    "LayerPruning",
    "LogitStandardization",
    "MagnitudePruning",
    "MixedPrecision",
    "MultiTeacher",
    "NOfM",
    "Progressive",
    "QAT",
    "RigL",
    "SET",
    "SoftTarget",
    "StaticInt8",
    "StaticRandom",
    "StaticW4A8",
    "Supervised",
    "VirtualTeacher",
    "WeightInt4",
]


OPTIONS = [
    "AdaRound",
    "Assistant",
    "Budget",
    "ChannelScope",
    "ChannelScore",
    "Distribution",
    "HalfFormat",
    "Matching",
    "Pair",
    "Precision",
    "Reduction",
    "Rounding",
    "Shape",
    "Threshold",
    "WeightScore",
    "Weighting",
]


def test_the_public_names_are_these() -> None:
    assert dir(gx) == sorted(PUBLIC)
    assert all(getattr(gx, name) is not None for name in PUBLIC)


def test_the_methods_are_these() -> None:
    assert {name for name in vars(gx.methods) if name[0].isupper()} == {*METHODS, *OPTIONS}


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(AttributeError, match="quantize"):
        _ = gx.quantise


ON_A_DEVICE = """
import sys
import galenic
from galenic import Margins, Predictions
import galenic.runtimes.load, galenic.measuring.latency, galenic.measuring.predict, galenic.preprocess.transform
import galenic.store.stages, galenic.store.ledger
heavy = {"torch", "scipy", "sklearn", "pandas", "monai", "accelerate"} & set(sys.modules)
assert not heavy, heavy
"""


def test_what_runs_on_a_device_needs_no_torch_scipy_or_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", ON_A_DEVICE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
