"""What the plan checks about models: where weights come from, what an ensemble is made of, who teaches whom."""

from __future__ import annotations

from collections.abc import Sequence

from galenic.compress.method import Method, TeacherNeed
from galenic.compress.supervised import Supervised
from galenic.record.errors import RecipeError
from galenic.record.recipe import ENSEMBLE, ModelRecipe, Recipe
from galenic.zoo.build import find_architecture


def check_models(recipe: Recipe, phases: Sequence[Sequence[Method]]) -> None:
    """Refuse models that cannot be made, and teachers that do not suit the methods of the ``phases``.

    Raises:
        RecipeError: a model has no weights, an ensemble or the teachers cannot be used as the recipe says.
        ModelError: there is no model of that name.
    """
    _check_source(recipe.reference, "reference")
    for number, teacher in enumerate(recipe.teacher, 1):
        _check_source(teacher, f"teacher {number}")
    _check_student(recipe, phases)
    _check_teachers(recipe, phases)


def _check_source(one: ModelRecipe, role: str) -> None:
    """The reference, a teacher or a member of an ensemble: a file, or a net whose weights come from somewhere."""
    if one.members or one.model == ENSEMBLE:
        _check_ensemble(one, role)
        return
    if one.is_file and (one.training is not None or one.weights is not None):
        raise RecipeError(
            given=f"a {role} that is a file, with training or weights",
            expected="a file as it is",
            todo=f"remove {role}.training and {role}.weights",
        )
    if one.is_file:
        return
    find_architecture(one.model)
    if one.training is None and one.weights is None:
        raise RecipeError(
            given=f"the {role} {one.model} with neither weights nor training",
            expected=f"{role}.weights (a .safetensors or checkpoint file) or [{role}.training]",
            todo=f"say where its weights come from: an untrained model is no {role}",
        )


def _check_ensemble(one: ModelRecipe, role: str) -> None:
    if one.model != ENSEMBLE or len(one.members) < 2:
        raise RecipeError(
            given=f"the {role} {one.model} with {len(one.members)} member{'' if len(one.members) == 1 else 's'}",
            expected=f'model = "{ENSEMBLE}" with two [[{role}.members]] tables or more, or one net without members',
            todo="add members, or remove them",
        )
    if one.weights is not None or one.options:
        raise RecipeError(
            given=f"a {role} that is an ensemble, with {'options' if one.options else 'weights'} of its own",
            expected="those of its members",
            todo=f"move them into the [[{role}.members]] tables",
        )
    for number, member in enumerate(one.trained_members, 1):
        name = f"member {number} of the {role}"
        if member.is_file:
            raise RecipeError(
                given=f"{name}, which is a file ({member.model})",
                expected="nets by name: an ensemble becomes one file, into which other files cannot be put",
                todo="name its architecture and weights; or teach by several [[teacher]] tables, which may be files",
            )
        _check_source(member, name)
    if one.training is not None and all(member.weights or member.training for member in one.members):
        raise RecipeError(
            given=f"a {role} that is an ensemble, with a training that no member takes",
            expected="a training for members that have neither weights nor a training",
            todo=f"remove [{role}.training]",
        )


def _learns_from_itself(phases: Sequence[Sequence[Method]]) -> bool:
    """Whether a phase distils the reference into itself, before anything was cut from it or rounded."""
    for phase in phases:
        if any(type(method) is not Supervised and not method.needs_teacher for method in phase):
            return False
        if any(method.needs_teacher for method in phase):
            return True
    return False


def _check_student(recipe: Recipe, phases: Sequence[Sequence[Method]]) -> None:
    student = recipe.student
    if student is None and recipe.reference.is_file:
        raise RecipeError(
            given="a reference that is a file, and no student",
            expected="a [student] that can be changed; a file cannot",
            todo='add [student] with model = "..." (`galenic models` lists them)',
        )
    if student is None and _learns_from_itself(phases):
        raise RecipeError(
            given="a distillation of the reference into itself, without a student",
            expected="a [student] that learns from the reference, or a phase before it that prunes",
            todo='add [student] with model = "..." (`galenic models` lists them)',
        )
    if student is None:
        return
    if student.members or student.model == ENSEMBLE or student.is_file:
        raise RecipeError(
            given=f"the student {student.title}",
            expected="one net, which can be trained and becomes the file that ships",
            todo='give it model = "..." (`galenic models` lists them) without members',
        )
    find_architecture(student.model)
    if not (phases and phases[0][0].trains) and not student.weights:
        raise RecipeError(
            given=f"the student {student.model} is never trained",
            expected="a first phase that trains it (soft_target, supervised), or student.weights",
            todo="add such a [[phase]] in front",
        )


def _check_teachers(recipe: Recipe, phases: Sequence[Sequence[Method]]) -> None:
    """Every method gets as many teachers as it needs, of the kind that it needs, and none is named in vain."""
    teachers = recipe.teacher or (recipe.reference,)
    distilling = [method for phase in phases for method in phase if method.needs_teacher]
    if recipe.teacher and not distilling:
        raise RecipeError(
            given=f"{len(recipe.teacher)} [[teacher]] and no phase that learns from a teacher",
            expected="a [[phase]] with a method that distils",
            todo="add one (`galenic methods` lists them), or remove [[teacher]]",
        )
    for method in distilling:
        if method.needs_teacher is TeacherNeed.SEVERAL and len(teachers) < 2:
            raise RecipeError(
                given=f"{method.name} with one teacher",
                expected="two [[teacher]] tables or more",
                todo="add them, or use soft_target for one teacher",
            )
        if method.needs_teacher is not TeacherNeed.SEVERAL and len(teachers) > 1:
            raise RecipeError(
                given=f"{method.name} with {len(teachers)} teachers",
                expected="one teacher",
                todo="use multi_teacher, make them one teacher (model = 'ensemble' with members), or remove the others",
            )
        if method.needs_teacher is TeacherNeed.LAYERS and teachers[0].is_file:
            raise RecipeError(
                given=f"{method.name} with a teacher that is a file ({teachers[0].model})",
                expected="a net by name: a file's layers cannot be looked at",
                todo="name its architecture and weights, or use a method that needs answers only (soft_target, dkd)",
            )
