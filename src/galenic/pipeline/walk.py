"""A recipe's chain as torch models alone: what is in the store is read from there, and nothing is run on the test set.

The recipe's runtime is needed where a teacher answers in it, or a method measures a latency in it (``plan.runs_files``).
"""

from __future__ import annotations

from dataclasses import dataclass

from galenic.pipeline.chain import measured_phase, teachers_of, written_back
from galenic.pipeline.costs import LatencyCost
from galenic.pipeline.plan import Plan
from galenic.pipeline.reference import Trusted, build_model, make_model, prepare_reference, prepare_teachers
from galenic.pipeline.rehearsal import rehearse
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import run_phase
from galenic.record.recipe import PhaseRecipe, Recipe
from galenic.zoo.model import Model


@dataclass(frozen=True)
class LastModel:
    """What the phases of a recipe made last, and the recipe with every choice that was made by measuring."""

    model: Model
    recipe: Recipe


def last_model(setting: Setting, plan: Plan) -> LastModel:
    """Run the phases of ``plan``, or build and train what they would begin with where there are none."""
    recipe = plan.recipe
    rehearse(setting, plan)
    if not plan.phases:
        return _without_phases(setting, recipe)
    trusted: tuple[Trusted, ...] = ()
    if any(method.needs_teacher for phase in plan.phases for method in phase.methods):
        named = prepare_teachers(setting, recipe)
        trusted = named or (prepare_reference(setting, recipe.reference, recipe.runtime),)
    teachers = teachers_of(setting, plan, trusted)
    # a net: the plan has refused a file without a student
    model = build_model(setting, recipe.student)[0] if recipe.student else make_model(setting, recipe.reference).model
    cost, resolved = LatencyCost(setting, recipe.runtime, recipe.measure), list[PhaseRecipe]()
    for planned, own in zip(plan.phases, recipe.phase, strict=True):
        phase = measured_phase(setting, planned, model)
        model = run_phase(setting, phase.methods, model, phase.training, teachers.taught_by, cost)[-1]
        resolved.append(written_back(own, planned, phase))
    return LastModel(model, recipe.model_copy(update={"phase": tuple(resolved)}))


def _without_phases(setting: Setting, recipe: Recipe) -> LastModel:
    wanted = recipe.student or recipe.reference  # a net: the plan has refused a file without a student
    made = make_model(setting, wanted)
    key = "student" if recipe.student else "reference"
    return LastModel(made.model, recipe.model_copy(update={key: made.recipe}))
