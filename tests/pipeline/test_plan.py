"""Impossible recipes are refused before any work starts."""

from __future__ import annotations

import dataclasses

import pytest

from galenic.pipeline.plan import check_plan_against, make_plan, method_named
from galenic.pipeline.recipes import parse_recipe
from galenic.record.errors import InputError, MissingPackage, RecipeError
from galenic.record.recipe import Recipe
from galenic.runtimes import runtime as runtime_module

HEAD = """
name = "r"
[task]
source = "digits"
[gate.margins]
auc = 0.02
"""
REFERENCE = '[reference]\nmodel = "resnet8"\n[reference.training]\n'
STUDENT = '[student]\nmodel = "resnet8"\n'
TAUGHT = '[[phase]]\nmethod = "soft_target"\n[phase.training]\nepochs = 1\n'
INT8 = '[[phase]]\nmethod = "static_int8"\n'


def recipe(*parts: str) -> Recipe:
    return parse_recipe(HEAD + "".join(parts), "r.toml")


def test_a_possible_recipe_gives_typed_phases() -> None:
    plan = make_plan(recipe(REFERENCE, STUDENT, TAUGHT, INT8))
    assert [phase.name for phase in plan.phases] == ["soft_target", "static_int8"]
    assert plan.phases[0].training is not None
    assert plan.phases[0].training.epochs == 1


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((REFERENCE, STUDENT, INT8, TAUGHT), "trains after static_int8"),
        ((REFERENCE, STUDENT, TAUGHT, INT8, INT8), "quantizes what static_int8 has quantized"),
        ((REFERENCE, TAUGHT), "without a student"),
        ((REFERENCE, STUDENT, INT8), "the student resnet8 is never trained"),
        ((REFERENCE, STUDENT, '[[phase]]\nmethod = "soft_target"\n'), "no training table"),
        (('[reference]\nmodel = "resnet8"\n', INT8), "neither weights nor training"),
        (('[reference]\nmodel = "file:m.onnx"\n', INT8), "a file, and no student"),
        (('[reference]\nmodel = "file:m.onnx"\nweights = "w"\n', STUDENT, TAUGHT), "a file, with training or weights"),
        ((REFERENCE, '[[phase]]\nmethod = ["static_int8", "supervised"]\n[phase.training]\n'), "together"),
        ((REFERENCE, '[[phase]]\nmethod = "static_int8"\n[phase.options.soft_target]\n'), "options for soft_target"),
    ],
)
def test_an_impossible_recipe_is_refused(parts: tuple[str, ...], words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_plan(recipe(*parts))
    assert words in caught.value.given
    assert caught.value.todo


def test_a_misspelt_method_and_option_name_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'soft_target'"):
        method_named("soft_targets")
    wrong = '[[phase]]\nmethod = "soft_target"\n[phase.options.soft_target]\ntemprature = 2\n[phase.training]\n'
    with pytest.raises(RecipeError, match="did you mean 'temperature'"):
        make_plan(recipe(REFERENCE, STUDENT, wrong))


def test_nothing_declared_for_the_gate_is_refused() -> None:
    silent = parse_recipe(HEAD.replace("[gate.margins]\nauc = 0.02", "") + REFERENCE + INT8, "r.toml")
    with pytest.raises(RecipeError, match="declares no margin and no floor"):
        make_plan(silent)


def test_an_unknown_runtime_or_profile_is_refused() -> None:
    with pytest.raises(InputError, match="tensorflow"):
        make_plan(recipe(REFERENCE, INT8).model_copy(update={"runtime": "tensorflow"}))
    with pytest.raises(InputError, match="'watch'"):
        make_plan(recipe(REFERENCE, INT8).model_copy(update={"profile": "wach"}))


def test_a_missing_runtime_names_the_one_command_that_installs_it(monkeypatch) -> None:
    monkeypatch.setattr(runtime_module, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match="pip install"):
        make_plan(recipe(REFERENCE, INT8))


def test_sensitivity_needs_a_positive_class(task) -> None:
    plan = make_plan(recipe(REFERENCE, INT8, "[gate.floors]\nsensitivity = 0.8\n"))
    check_plan_against(task, plan)
    with pytest.raises(RecipeError, match="no positive class"):
        check_plan_against(dataclasses.replace(task, positive=()), plan)
