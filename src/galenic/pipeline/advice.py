"""What follows from a quantization's numbers, in words: how its file stands beside the float one, and what to try next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from galenic.compress.quantize import METHODS
from galenic.compress.quantize.mixed_precision import MixedPrecision
from galenic.record.measurement import Latency, Ratio
from galenic.record.quant import LayerSensitivity, Observer
from galenic.record.quantization import Explanation, QuantizedFile, TensorDrift
from galenic.record.report import Parity
from galenic.reporting.layers import divergence, divergence_range
from galenic.reporting.numbers import milliseconds, ratio, size
from galenic.reporting.words import gain
from galenic.zoo.model import Model, removed_share

FEW_LAYERS = 3
MOST = 0.5
"""So few layers are worth keeping float where they make up so much of what all layers lose."""

AGREES = 0.99
"""A file that decides less often as its simulation does has another fault than rounding."""

SMALL = 1e-3
"""Nats: decisions hardly change where the whole model loses no more."""

BEGINS = 1e-3
"""Fewer integers that differ are values in the middle of two of them."""

NAMED = 4
"""Layers that a sentence names."""


def comparison_sentences(plain: QuantizedFile, file: QuantizedFile) -> tuple[str, ...]:
    """Size, speed and quality of a quantized file beside its own float file."""
    smaller = ratio(plain.size_bytes, file.size_bytes)
    said = [f"{size(file.size_bytes)} instead of {size(plain.size_bytes)}{f', {smaller} smaller' if smaller else ''}."]
    if file.speedup is not None:
        said.append(speed_sentence(plain.latency_ms, file.latency_ms, file.speedup))
    if file.change is not None:
        said.append(f"AUC beside the float file: {gain(file.change, 'auc')}, n = {file.change.n:,}.")
    if file.agreement is not None:
        said.append(agreement_sentence(file.agreement))
    return tuple(said)


def speed_sentence(plain: Latency, file: Latency, speedup: Ratio) -> str:
    """Whether a file is faster than its own float file; neither is said where the interval holds 1."""
    before, after = milliseconds(plain.p50), milliseconds(file.p50)
    where = f"{file.where}, {file.threads} thread{'s' if file.threads > 1 else ''}"
    numbers = (
        f"{speedup.value:.2f}× ({speedup.low:.2f} to {speedup.high:.2f}, timed in turn; p50 {after}, {before}; {where})"
    )
    if is_slower(speedup):
        return f"It is slower than its own float file here: {numbers}. Only its size speaks for it."
    if speedup.low > 1:
        return f"It is faster than its own float file here: {numbers}."
    return f"It is about as fast as its own float file here: {numbers}."


def sparsity_sentences(title: str, model: Model) -> list[str]:
    """What a model's zeros are worth, and what its pruning had to say; nothing where no weight was removed."""
    if model.sparsity is None:
        return []
    worth = "No speed-up in this runtime: it computes with zeros as with other numbers."
    found = [f"{title}: {removed_share(model) * 100:.1f} % of its prunable weights are zero. {worth}"]
    if model.sparsity.training_flops is not None:
        share = model.sparsity.training_flops * 100
        found.append(f"{title}: {share:.0f} % of the dense training's arithmetic, counted as if zeros cost nothing.")
    return [*found, *(f"{title}: {note}." for note in model.sparsity.notes)]


def is_slower(speedup: Ratio | None) -> bool:
    """Whether a file surely takes more time than its float file."""
    return speedup is not None and speedup.high < 1


def agreement_sentence(found: Parity) -> str:
    """How often a file decides as its simulation does, or whatever it was compared with."""
    return (
        f"It decides as {found.against} does in {found.agreement * 100:.1f} % of {found.n:,} validation rows; logits "
        f"differ by at most {found.max_difference:.2g}."
    )


def drift_sentences(found: Sequence[TensorDrift]) -> tuple[str, ...]:
    """Where a file begins to differ from its simulation, and how far it comes."""
    if not found:
        return ()
    first = next((one for one in found if one.share > BEGINS), None)
    same = f"Inside, its integers are those of the simulation in all {len(found)} tensors that the runtime shows"
    if first is None:
        return (f"{same}, but for {max(one.share for one in found):.2%} of one at most.",)
    worst = max(found, key=lambda one: one.share)
    return (
        f"Inside, its integers begin to differ from the simulation's at {first.tensor} ({first.share:.1%} of them, by "
        f"{first.most_steps} at most), and differ most at {worst.tensor} ({worst.share:.1%}).",
    )


def worst_layers(layers: Sequence[LayerSensitivity]) -> tuple[str, ...]:
    """The fewest layers, the worst first, that make up half of what all of them lose alone; none where that takes many."""
    whole = sum(one.value for one in layers)
    found, lost = list[str](), 0.0
    for one in sorted(layers, key=lambda one: -one.value)[:FEW_LAYERS]:
        found.append(one.layer)
        lost += one.value
        if whole > 0 and lost >= MOST * whole and len(found) < len(layers):
            return tuple(found)
    return ()


def advice(found: Explanation) -> tuple[str, ...]:
    """What to try next, the most urgent first.

    Args:
        found: everything that was measured; its own ``advice`` is not looked at.
    """
    trains = any(method.name in found.method.split(" + ") for method in METHODS if method.trains)
    said = [*_refused(found), *_slower(found), *_disagrees(found)]
    harmful = found.divergence.value > SMALL
    if harmful:
        said += [*_few(found), *_observer(found.measured, found.rule.observer)]
    if harmful and not trains:
        said += _training(found)
    return tuple(said) or (
        f"Nothing is urgent: the whole model is {divergence(found.divergence.value)} nats from the float one, where decisions "
        f"hardly change. {_smaller(found)}".strip(),
    )


def _refused(found: Explanation) -> list[str]:
    if not found.refused:
        return []
    named = ", ".join(found.refused[:NAMED]) + (" ..." if len(found.refused) > NAMED else "")
    return [
        f"{found.runtime} computes {len(found.refused)} layers in float that were to be integer ({named}): keep them "
        "(keep = [...]), so that nothing is rounded for them in vain, or export for another runtime."
    ]


def _slower(found: Explanation) -> list[str]:
    if not is_slower(found.file.speedup):
        return []
    return [
        "No time is won here: measure another runtime (`galenic runtimes`) and the device itself, or ship the float file "
        "unless size decides."
    ]


def _disagrees(found: Explanation) -> list[str]:
    agreement = found.file.agreement
    if agreement is None or agreement.agreement >= AGREES:
        return []
    return [
        f"The file decides as its simulation in {agreement.agreement * 100:.1f} % of rows only: what is lost is not lost by "
        "rounding alone, so look at the layers that the runtime refused before anything else."
    ]


def _few(found: Explanation) -> list[str]:
    kept = found.if_kept
    if kept is None:
        return []
    names = ", ".join(f'"{name}"' for name in kept.layers)
    before, after = found.divergence.value, kept.divergence.value
    if after >= before:
        return [f"Keeping the worst layers float (keep = [{names}]) was measured and does not help."]
    return [
        f"A few layers make up most of it. keep = [{names}] takes the divergence from {divergence(before)} to "
        f"{divergence(after)} nats ({divergence_range(kept.divergence.low, kept.divergence.high)}, measured)."
    ]


def _observer(measured: Mapping[str, float], observer: Observer | None) -> list[str]:
    known = {name: value for name, value in measured.items() if name in set(Observer)}
    if observer is None:
        return []
    if len(known) < len(Observer):
        return [f"The observer {observer.value} was given and not chosen: leave it out, and all of them are measured."]
    farthest = max(known, key=lambda name: known[name])
    return [
        f"The observer {observer.value} is the best of {len(known)} on these rows ({divergence(known[observer.value])} nats, "
        f"{farthest} {divergence(known[farthest])}): another one is no way out."
    ]


def _training(found: Explanation) -> list[str]:
    aware = next((method.name for method in METHODS if method.trains), None)
    said = []
    if aware is not None:
        why = "" if found.if_kept else "The loss is spread over many layers. "
        said.append(f"{why}Train with integers in the forward pass ({aware}), with the teacher if there is one.")
    if found.rule.weight_bits < 8 and found.method != MixedPrecision.name:
        said.append(f"{MixedPrecision.name} gives the layers that hurt more bits at the same size.")
    return said


def _smaller(found: Explanation) -> str:
    if found.method == MixedPrecision.name or not found.layers or found.rule.weight_bits < 8:
        return ""
    return f"{MixedPrecision.name} can make it smaller: fewer bits for layers that stand them."
