"""What follows from a quantization's numbers: every sentence where it belongs, and nowhere else."""

from __future__ import annotations

import pytest

from galenic.pipeline.advice import advice, comparison_sentences, is_slower, speed_sentence, worst_layers
from galenic.record.measurement import Latency, Ratio
from galenic.record.quant import LayerSensitivity, Observer, QuantRule
from galenic.record.quantization import Explanation, KeptFloat, QuantizedFile
from galenic.record.report import Metric, Parity

ALL_OBSERVERS = {one.value: 0.02 * (number + 1) for number, one in enumerate(Observer)}


def times(value: float, half: float = 0.02) -> Ratio:
    return Ratio(value=value, low=value - half, high=value + half, rounds=25)


def layer(name: str, value: float) -> LayerSensitivity:
    return LayerSensitivity(
        layer=name, weight_bits=8, activation_bits=8, value=value, low=value, high=value, n=10, chosen=True
    )


def file(
    name: str, size_bytes: int, p50: float, agreement: float | None = None, speedup: Ratio | None = None
) -> QuantizedFile:
    agreed = (
        None if agreement is None else Parity(max_difference=0.31, agreement=agreement, n=256, against="its simulation")
    )
    return QuantizedFile(
        id=name,
        title=name,
        path=f"files/{name}.onnx",
        precision="int8" if agreed else "float32",
        sha256="0" * 64,
        size_bytes=size_bytes,
        metrics={},
        latency_ms=Latency(p50=p50, p90=p50, p99=p50, runs=100, threads=1, where="a bench"),
        agreement=agreed,
        speedup=speedup,
        change=Metric(value=-0.002, low=-0.004, high=0.0, n=300) if agreed else None,
    )


def explanation(**given: object) -> Explanation:
    base: dict[str, object] = {
        "name": "small",
        "runtime": "onnxruntime",
        "method": "static_int8",
        "rule": QuantRule(observer=Observer.MIN_MAX),
        "divergence": Metric(value=0.04, low=0.03, high=0.05, n=256),
        "layers": (layer("a", 0.02), layer("b", 0.01), layer("c", 0.01)),
        "kept": (),
        "refused": (),
        "measured": ALL_OBSERVERS,
        "float_file": file("float", 851_000, 0.2),
        "file": file("int8", 320_000, 0.1, 0.999, times(2.0)),
    }
    return Explanation.model_validate(base | given)


def test_size_speed_and_quality_beside_the_float_file() -> None:
    said = comparison_sentences(file("float", 851_000, 0.16), file("int8", 320_000, 0.161, 0.957, times(1.0)))
    assert said == (
        "320 KB instead of 851 KB, 2.7× smaller.",
        "It is about as fast as its own float file here: 1.00× (0.98 to 1.02, timed in turn; p50 0.161 ms, 0.160 ms; "
        "a bench, 1 thread).",
        "AUC beside the float file: −0.002 (−0.004 to 0.000), n = 300.",
        "It decides as its simulation does in 95.7 % of 256 validation rows; logits differ by at most 0.31.",
    )
    assert len(comparison_sentences(file("float", 851_000, 0.16), file("int8", 320_000, 0.16))) == 1


@pytest.mark.parametrize(
    ("speedup", "words"),
    [
        (times(3.3), "faster than its own float file here: 3.30× (3.28 to 3.32"),
        (times(0.69), "slower than its own float file here: 0.69× (0.67 to 0.71"),
        (times(1.05, 0.06), "about as fast"),
        (times(0.95, 0.06), "about as fast"),
    ],
)
def test_faster_slower_or_not_to_be_told(speedup: Ratio, words: str) -> None:
    assert words in speed_sentence(file("float", 9, 0.2).latency_ms, file("int8", 9, 0.1).latency_ms, speedup)
    assert is_slower(speedup) == ("slower" in words)
    assert not is_slower(None)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([0.1, 0.5, 0.1, 0.1], ("1",)),
        ([0.3, 0.3, 0.3, 0.1], ("0", "1")),
        ([0.1] * 6, ("0", "1", "2")),
        ([0.1] * 7, ()),  # three of seven are less than half
        ([0.0, 0.0], ()),
        ([0.4], ()),  # all of it is no few of it
    ],
)
def test_few_layers_are_worth_keeping_where_they_make_up_half(values: list[float], names: tuple[str, ...]) -> None:
    assert worst_layers([layer(str(number), value) for number, value in enumerate(values)]) == names


def test_the_worst_layers_the_observer_and_training_come_in_this_order() -> None:
    kept = KeptFloat(layers=("a", "b"), divergence=Metric(value=0.0123, low=0.011, high=0.014, n=256))
    said = advice(explanation(if_kept=kept))
    assert said[0] == (
        'A few layers make up most of it. keep = ["a", "b"] takes the divergence from 0.040 to 0.012 nats '
        "(0.011 to 0.014, measured)."
    )
    assert said[1] == (
        "The observer min-max is the best of 5 on these rows (0.020 nats, entropy 0.10): another one is no way out."
    )
    assert all("spread over" not in sentence for sentence in said)
    worse = KeptFloat(layers=("a",), divergence=Metric(value=0.05, low=0.05, high=0.05, n=256))
    assert "does not help" in advice(explanation(if_kept=worse))[0]


def test_an_observer_that_was_given_is_no_choice() -> None:
    said = advice(explanation(measured={"min-max": 0.04, "min-max + bias correction": 0.03}))
    assert "The observer min-max was given and not chosen" in said[0]


def test_what_the_runtime_does_comes_first() -> None:
    slow = explanation(refused=("d", "e", "f", "g", "h"), file=file("int8", 9, 0.2, 0.9, times(0.5)))
    said = advice(slow)
    assert said[0].startswith("onnxruntime computes 5 layers in float that were to be integer (d, e, f, g ...)")
    assert "No time is won here" in said[1]
    assert "90.0 % of rows only" in said[2]


def test_where_nothing_is_lost_nothing_is_urgent() -> None:
    fine = explanation(divergence=Metric(value=0.0002, low=0.0, high=0.001, n=256))
    (said,) = advice(fine)
    assert "Nothing is urgent: the whole model is 2.0e-04 nats" in said
    assert "mixed_precision can make it smaller" in said
    assert "mixed_precision" not in advice(fine.model_copy(update={"method": "mixed_precision"}))[0]


def test_few_bits_may_be_spread_otherwise() -> None:
    four = explanation(rule=QuantRule(weight_bits=4, observer=Observer.MIN_MAX))
    assert any("mixed_precision gives the layers that hurt more bits" in sentence for sentence in advice(four))
