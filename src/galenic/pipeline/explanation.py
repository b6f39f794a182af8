"""``galenic quantize --explain``: which layers hurt, which stayed float and why, and what to try next; all of it measured.

divergence   mean KL divergence (nats) of the simulation from the float model, on the first validation rows
layers       the same with one layer alone quantized
if_kept      the same when the method runs again with the worst layers float
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, fx

from galenic.compress.method import Method
from galenic.compress.quantize.mixed_precision import MixedPrecision
from galenic.compress.quantize.sensitivity import (
    MOST_ROWS,
    first_rows,
    mean_interval,
    measure_layers,
    whole_divergences,
)
from galenic.compress.quantize.simulate import divergence
from galenic.compress.quantize.static_int8 import task_rows
from galenic.pipeline.advice import advice, comparison_sentences, drift_sentences, worst_layers
from galenic.pipeline.card import write_card
from galenic.pipeline.drift import drift
from galenic.pipeline.file_stages import predict_stage
from galenic.pipeline.quantization import Walked, both_files, folder_of, walk
from galenic.pipeline.run_folder import place_file
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import run_phase, torch_threads
from galenic.preprocess.transform import to_inputs
from galenic.record.artifact import Artifact
from galenic.record.base import Record
from galenic.record.progress import Progress, silent
from galenic.record.quant import Arithmetic, LayerSensitivity, Observer, QuantSpec
from galenic.record.quantization import Explanation, KeptFloat
from galenic.record.recipe import Recipe
from galenic.record.report import Metric
from galenic.record.task import SplitName
from galenic.store.files import write_text
from galenic.store.stages import Store
from galenic.zoo.graph import folded, traced
from galenic.zoo.model import Model

HALVES = frozenset({Arithmetic.FLOAT16, Arithmetic.BFLOAT16})
"""Without a grid: no layer of theirs is rounded."""

DRIFT_ROWS = 16
"""Of validation, on which a file's integers are set beside its simulation's."""

RUNTIMES_OWN = HALVES | {Arithmetic.DYNAMIC}
"""What activations are rounded to is found by the runtime, so that its file alone knows."""


@dataclass(frozen=True)
class Explained:
    """What is behind a quantization, and the folder that holds its files and ``explanation.json``."""

    explanation: Explanation
    folder: Path


def explain(recipe: Recipe, store: Store, progress: Progress = silent) -> Explained:
    """Run the recipe up to its phase that quantizes, and measure what it loses layer by layer.

    Raises:
        RecipeError: no phase quantizes.
    """
    walked = walk(recipe, store, progress)
    (float_file, file), artifacts = both_files(walked)
    spec, left = _spec(walked.made), file.integer_ops.left_float if file.integer_ops else ()
    with torch_threads(walked.setting.threads):
        static = spec.rule.arithmetic is Arithmetic.STATIC
        graph = folded(walked.before)[1] if static else traced(walked.before)
        layers = _layers(walked, graph)
        own = spec.rule.arithmetic in RUNTIMES_OWN
        whole = _between_files(walked.setting, *artifacts) if own else _whole(walked, graph, walked.made)
        if_kept = None if own else _if_kept(walked, graph, worst_layers(layers))
        validation = walked.setting.task.validation.inputs[:DRIFT_ROWS]
        drifted = drift(walked.made, artifacts[1], to_inputs(walked.setting.task.preprocessing, validation))
    found = Explanation(
        name=recipe.name,
        runtime=recipe.runtime,
        method=walked.phase.name,
        rule=spec.rule,
        divergence=whole,
        layers=layers,
        kept=spec.stays_float,
        refused=tuple(name for name in left if name not in spec.stays_float),
        if_kept=if_kept,
        drift=drifted,
        measured=spec.measured,
        float_file=float_file,
        file=file,
        sentences=(*comparison_sentences(float_file, file), *drift_sentences(drifted)),
        notes=spec.notes,
    )
    found = found.model_copy(update={"advice": advice(found)})
    folder = folder_of(walked)
    for one, artifact in zip((float_file, file), artifacts, strict=True):
        place_file(artifact.path, folder / one.path)
        write_card(artifact, folder / one.path)
    write_text(folder / "explanation.json", found.model_dump_json(indent=2) + "\n")
    return Explained(found, folder)


def _layers(walked: Walked, graph: fx.GraphModule) -> tuple[LayerSensitivity, ...]:
    """Each layer alone at the bits that it has, the worst first; those that were measured on the way are taken."""
    spec = _spec(walked.made)
    known = [one for one in spec.sensitivities if one.chosen]
    if not known and spec.rule.arithmetic not in HALVES:
        observer = spec.rule.observer or Observer.MSE
        rule = spec.rule.model_copy(update={"keep": (*spec.rule.keep, *spec.stays_float)})
        rows = task_rows(walked.setting.task)
        known = list(measure_layers(graph, [rule], rows, observer, walked.setting.progress))
    chosen = [one.model_copy(update={"chosen": True}) for one in known]
    return tuple(sorted(chosen, key=lambda one: -one.value))


def _whole(walked: Walked, graph: fx.GraphModule, made: Model) -> Metric:
    task = walked.setting.task
    rows = first_rows(task_rows(task).validation, MOST_ROWS)
    return _mean(whole_divergences(graph, traced(made), _spec(made).points, rows, task.kind))


def _between_files(setting: Setting, plain: Artifact, file: Artifact) -> Metric:
    """What two files say, where there is no simulation of the whole."""
    ours, theirs = (predict_stage(setting, one, SplitName.VALIDATION).logits for one in (plain, file))
    return _mean(divergence(torch.from_numpy(ours), torch.from_numpy(theirs), setting.task.kind)[:MOST_ROWS])


def _mean(found: Float[Tensor, " rows"]) -> Metric:
    value, low, high = mean_interval(found)
    return Metric(value=value, low=low, high=high, n=len(found))


def _if_kept(walked: Walked, graph: fx.GraphModule, names: Sequence[str]) -> KeptFloat | None:
    """The whole with these layers float: the same method once more. A training is not repeated for it, nor a budget passed."""
    (method, *others) = walked.phase.methods
    again = _keeping(method, names)
    if not names or others or again is None:
        return None
    made = run_phase(walked.setting, [again], walked.before)[-1]
    return KeptFloat(layers=tuple(names), divergence=_whole(walked, graph, made))


def _keeping(method: Method, names: Sequence[str]) -> Method | None:
    if method.trains or isinstance(method, MixedPrecision) or not isinstance(method, Record):
        return None
    options = dict(method)
    return method.model_copy(update={"keep": (*options["keep"], *names)}) if "keep" in options else None


def _spec(model: Model) -> QuantSpec:
    assert model.quant is not None  # the phase has a rule
    return model.quant
