"""``galenic quantize``: what is shown of a comparison and of an explanation, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from galenic.cli.main import app
from galenic.pipeline import explanation, quantization
from galenic.pipeline.recipes import parse_recipe
from galenic.record.artifact import IntegerOps
from galenic.record.errors import GalenicError, RecipeError
from galenic.record.measurement import Latency
from galenic.record.quant import LayerSensitivity, Observer, QuantRule
from galenic.record.quantization import Explanation, QuantizationResult, QuantizedFile
from galenic.record.report import Metric, Parity

RECIPE = """
name = "small"
[task]
source = "wisconsin"
[reference]
model = "mlp"
[reference.training]
[gate.margins]
auc = 0.1
[[phase]]
method = "{}"
{}
"""
INT8 = RECIPE.format("static_int8", "")
AUC = {"auc": Metric(value=0.951, low=0.94, high=0.96, n=269)}
FLOAT = QuantizedFile(
    id="float",
    title="mlp + supervised",
    path="files/float.onnx",
    precision="float32",
    sha256="0" * 64,
    size_bytes=851_000,
    metrics=AUC,
    latency_ms=Latency(p50=0.11, p90=0.12, p99=0.2, runs=20, threads=1, where="here"),
)
FILE = FLOAT.model_copy(
    update={
        "id": "1-static_int8",
        "title": "mlp + supervised + static_int8",
        "size_bytes": 320_000,
        "integer_ops": IntegerOps(integer=9, floating=2, expected=10, left_float=("a.1", "b")),
        "agreement": Parity(max_difference=0.1, agreement=0.996, n=256, against="its simulation"),
        "change": Metric(value=-0.002, low=-0.004, high=0.0, n=269),
    }
)
LAYERS = tuple(
    LayerSensitivity(
        layer=f"a.{number}",
        weight_bits=8,
        activation_bits=8,
        value=0.01 / (number + 1),
        low=0.009 / (number + 1),
        high=0.011 / (number + 1),
        n=256,
        chosen=True,
    )
    for number in range(11)
)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("galenic.cli.quantize.output.width", 200)


def quantize(folder: Path, recipe: str, *options: str) -> Result:
    path = folder / "r.toml"
    path.write_text(recipe)
    return CliRunner().invoke(app, ["quantize", str(path), "--store", str(folder / "store"), *options])


def test_the_file_stands_beside_its_float_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = QuantizationResult(
        name="small",
        runtime="onnxruntime",
        split="validation",
        files=(FLOAT, FILE),
        sentences=("It is slower.",),
        notes=("a.1 has 2 dead channels",),
        recipe=parse_recipe(INT8, "r.toml"),
    )
    monkeypatch.setattr(quantization, "quantize", lambda *given: quantization.Quantized(result, tmp_path))
    text = quantize(tmp_path, INT8).output
    assert "the test set was not read" in text
    rows = {line.split("  ")[0]: line.split() for line in text.splitlines()}
    assert rows["mlp + supervised"][3:7] == ["851", "KB", "0.110", "ms"]
    assert rows["mlp + supervised + static_int8"][-4:] == ["%", "9", "of", "10"]
    assert "99.6 %" in text
    assert "−0.002 (−0.004 to 0.000)" in text
    assert "• It is slower." in text
    assert "• a.1 has 2 dead channels" in text
    assert str(tmp_path / "files") in text


def test_an_explanation_is_one_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Explanation(
        name="small",
        runtime="onnxruntime",
        method="static_int8",
        rule=QuantRule(observer=Observer.MSE, calibration_rows=34),
        divergence=Metric(value=0.0312, low=0.03, high=0.0324, n=256),
        layers=LAYERS,
        kept=tuple(f"k{number}" for number in range(10)),
        refused=("a.1", "b"),
        float_file=FLOAT,
        file=FILE,
        sentences=("It is slower than its own float file here.",),
        advice=('keep = ["a.0"]',),
    )
    monkeypatch.setattr(explanation, "explain", lambda *given: explanation.Explained(found, tmp_path))
    text = quantize(tmp_path, INT8, "--explain").output
    assert "static_int8: static, weights 8 bits per channel, activations 8 bits, ranges by mse over 34" in text
    assert "0.031 nats (0.030 to 0.032), n = 256" in text
    assert [line.split()[:3] for line in text.splitlines() if line.startswith("a.")] == [
        [one.layer, "8", f"{one.value:#.2g}"] for one in LAYERS[:8]
    ]
    assert "and 3 more, in explanation.json" in text
    assert "float, as asked for: k0, k1, k2, k3, k4, k5, k6, k7 and 2 more" in text
    assert "float, since onnxruntime has no integers for it: a.1, b" in text
    assert '• keep = ["a.0"]' in text
    assert len(text.splitlines()) < 40


def test_a_recipe_that_does_not_quantize_is_refused_before_any_work(tmp_path: Path) -> None:
    for options in ((), ("--explain",)):
        result = quantize(tmp_path, RECIPE.format("supervised", "[phase.training]"), *options)
        assert isinstance(result.exception, GalenicError)
        assert isinstance(result.exception, RecipeError)
        assert "nothing quantizes (supervised)" in result.exception.given
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("budget = {}", "exactly one of size_ratio, size_bytes and latency_ms"),
        ("budget = { size_ratio = 0.2 }\nweight_bits = [8]", "two different ones"),
        ("budget = { size = 0.2 }", "unknown key 'budget.size'"),
        ("", "'budget' is missing"),
    ],
)
def test_a_wrong_budget_names_its_key(tmp_path: Path, options: str, words: str) -> None:
    table = f"[phase.options.mixed_precision]\n{options}"
    error = quantize(tmp_path, RECIPE.format("mixed_precision", table)).exception
    assert isinstance(error, RecipeError)
    assert words in str(error)
