"""Impossible recipes are refused before any work starts."""

from __future__ import annotations

import dataclasses

import pytest

from galenic.exporters import exporter as exporter_module
from galenic.exporters.load import EXPORTERS
from galenic.gating.profiles import all_profiles, fragment
from galenic.pipeline.plan import check_plan_against, make_plan, method_named
from galenic.pipeline.recipes import parse_recipe
from galenic.record.errors import InputError, MissingPackage, ModelError, RecipeError
from galenic.record.preprocessing import Modality, Preprocessing, WordPieces
from galenic.record.profile import Preset, Profile
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
ALPHA_1 = "[phase.options.soft_target]\nalpha = 1\n"
INT8 = '[[phase]]\nmethod = "static_int8"\n'
PRUNED = '[[phase]]\nmethod = "magnitude"\n'
GRADUAL = '[[phase]]\nmethod = "gradual_magnitude"\n[phase.training]\n'


def recipe(*parts: str) -> Recipe:
    return parse_recipe(HEAD + "".join(parts), "r.toml")


def test_a_possible_recipe_gives_typed_phases() -> None:
    plan = make_plan(recipe(REFERENCE, STUDENT, TAUGHT, INT8))
    assert [phase.name for phase in plan.phases] == ["soft_target", "static_int8"]
    assert plan.phases[0].training is not None
    assert plan.phases[0].training.epochs == 1


def test_pruning_comes_before_quantization_and_may_come_more_than_once() -> None:
    plan = make_plan(recipe(REFERENCE, PRUNED, GRADUAL, PRUNED.replace("magnitude", "n_of_m"), INT8))
    assert [phase.name for phase in plan.phases] == ["magnitude", "gradual_magnitude", "n_of_m", "static_int8"]
    with pytest.raises(
        RecipeError, match="move magnitude in front of static_int8; zeros that a pruning makes are held"
    ):
        make_plan(recipe(REFERENCE, INT8, PRUNED))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((REFERENCE, STUDENT, INT8, TAUGHT), "trains after static_int8"),
        ((REFERENCE, INT8, PRUNED), "phase 2 (magnitude) changes what static_int8 has quantized"),
        (
            (REFERENCE, PRUNED, INT8, PRUNED.replace("magnitude", "n_of_m")),
            "phase 3 (n_of_m) changes what static_int8 has",
        ),
        ((REFERENCE, INT8, GRADUAL), "phase 2 (gradual_magnitude) trains after static_int8"),
        ((REFERENCE, STUDENT, TAUGHT, INT8, INT8), "quantizes what static_int8 has quantized"),
        ((REFERENCE, TAUGHT), "without a student"),
        ((REFERENCE, STUDENT, INT8), "the student resnet8 is never trained"),
        ((REFERENCE, STUDENT, '[[phase]]\nmethod = "soft_target"\n'), "no training table"),
        (('[reference]\nmodel = "resnet8"\n', INT8), "neither weights nor training"),
        (('[reference]\nmodel = "file:m.onnx"\n', INT8), "a file, and no student"),
        (('[reference]\nmodel = "file:m.onnx"\nweights = "w"\n', STUDENT, TAUGHT), "a file, with training or weights"),
        ((REFERENCE, '[[phase]]\nmethod = ["static_int8", "supervised"]\n[phase.training]\n'), "together"),
        ((REFERENCE, '[[phase]]\nmethod = "static_int8"\n[phase.options.soft_target]\n'), "options for soft_target"),
        (
            (REFERENCE, STUDENT, TAUGHT + 'rows = "both"\n'),
            "phase 1 (soft_target) with training.rows = 'both' and labels of",
        ),
        ((REFERENCE, STUDENT, TAUGHT + 'rows = "transfer"\n' + ALPHA_1), "but [task] names no transfer rows"),
        (
            (REFERENCE + 'rows = "transfer"\n', STUDENT, TAUGHT),
            "reference with training.rows = 'transfer' and labels of weight 1",
        ),
        ((REFERENCE, STUDENT, TAUGHT.replace("soft_target", "supervised") + 'rows = "both"\n'), "labels of weight 1"),
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


def test_a_runtime_that_the_profiles_device_does_not_have_is_refused_before_any_work(tmp_path) -> None:
    with pytest.raises(RecipeError, match="'openvino' for the profile watch") as caught:
        make_plan(recipe(REFERENCE, INT8).model_copy(update={"profile": "watch", "runtime": "openvino"}))
    assert "litert" in caught.value.expected
    path = tmp_path / "pump.toml"
    path.write_text('name = "pump"\nsummary = "An infusion pump"\ndevice = "pump"\nruntimes = ["c"]\np90_ms = 5\n')
    own = recipe(REFERENCE, INT8).model_copy(update={"profile": str(path)})
    with pytest.raises(RecipeError, match="'onnxruntime' for the profile pump"):
        make_plan(own)
    path.write_text(path.read_text().replace('"c"', '"c", "onnxruntime"'))
    profile = make_plan(own).profile
    assert profile is not None
    assert profile.p90_ms == 5


PRESETS = [(profile, preset) for profile in all_profiles() for preset in profile.preset]


@pytest.mark.parametrize(("profile", "preset"), PRESETS, ids=[f"{a.name}-{b.name}" for a, b in PRESETS])
def test_every_preset_is_a_possible_recipe(profile: Profile, preset: Preset) -> None:
    """Its runtime may not have an exporter yet; what else it says is possible in any case."""
    pasted = 'name = "r"\n' + fragment(profile, preset) + '[task]\nsource = "digits"\n' + REFERENCE
    made = parse_recipe(pasted if "[gate" in pasted else f"{pasted}[gate.margins]\nauc = 0.02\n", "pasted")
    if made.runtime not in [one.runtime for one in EXPORTERS]:
        made = made.model_copy(update={"runtime": "onnxruntime", "profile": None})
    assert make_plan(made).phases


def test_a_missing_runtime_names_the_one_command_that_installs_it(monkeypatch) -> None:
    monkeypatch.setattr(runtime_module, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match="pip install"):
        make_plan(recipe(REFERENCE, INT8))


def test_sensitivity_needs_a_positive_class(task) -> None:
    plan = make_plan(recipe(REFERENCE, INT8, "[gate.floors]\nsensitivity = 0.8\n"))
    check_plan_against(task, plan)
    with pytest.raises(RecipeError, match="no positive class"):
        check_plan_against(dataclasses.replace(task, positive=()), plan)


NET = 'model = "resnet8"\n'
TEACHER = f"[[teacher]]\n{NET}[teacher.training]\n"
FILE_TEACHER = '[[teacher]]\nmodel = "file:m.onnx"\n'
ENSEMBLE = '[reference]\nmodel = "ensemble"\n'
MEMBER = f"[[reference.members]]\n{NET}"
TRAINED_MEMBER = f"{MEMBER}[reference.members.training]\n"


def taught(method: str, options: str = "") -> str:
    return f'[[phase]]\nmethod = "{method}"\n[phase.options.{method}]\n{options}\n[phase.training]\nepochs = 1\n'


MULTI = taught("multi_teacher")
PROGRESSIVE = taught("progressive", 'assistants = [{ model = "resnet8", options = { width = 2 } }]')
LAYERS = taught("attention_transfer", 'pairs = [{ student = "stem", teacher = "stem" }]')


@pytest.mark.parametrize(
    "parts",
    [
        (REFERENCE, TEACHER, FILE_TEACHER, STUDENT, MULTI),
        (REFERENCE, TEACHER, STUDENT, TAUGHT),
        (REFERENCE, STUDENT, PROGRESSIVE),
        (ENSEMBLE, TRAINED_MEMBER, TRAINED_MEMBER, STUDENT, TAUGHT),
        (ENSEMBLE, "[reference.training]\n", MEMBER, TRAINED_MEMBER, STUDENT, TAUGHT),
        (ENSEMBLE, TRAINED_MEMBER, TRAINED_MEMBER, INT8),
    ],
)
def test_teachers_assistants_and_ensembles_that_can_be_run(parts: tuple[str, ...]) -> None:
    assert make_plan(recipe(*parts)).phases


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((REFERENCE, STUDENT, MULTI), "multi_teacher with one teacher"),
        ((REFERENCE, TEACHER, STUDENT, MULTI), "multi_teacher with one teacher"),
        ((REFERENCE, TEACHER, TEACHER, STUDENT, TAUGHT), "soft_target with 2 teachers"),
        ((REFERENCE, TEACHER, TEACHER, STUDENT, PROGRESSIVE), "progressive with 2 teachers"),
        ((REFERENCE, FILE_TEACHER, STUDENT, LAYERS), "attention_transfer with a teacher that is a file (file:m.onnx)"),
        ((REFERENCE, TEACHER, INT8), "1 [[teacher]] and no phase that learns"),
        (
            (REFERENCE, f"[[teacher]]\n{NET}", STUDENT, TAUGHT),
            "the teacher 1 resnet8 with neither weights nor training",
        ),
        ((REFERENCE, FILE_TEACHER, 'weights = "w"\n', STUDENT, TAUGHT), "a teacher 1 that is a file, with training"),
        ((ENSEMBLE, INT8), "the reference ensemble with 0 members"),
        ((ENSEMBLE, TRAINED_MEMBER, INT8), "the reference ensemble with 1 member"),
        ((REFERENCE, TRAINED_MEMBER, TRAINED_MEMBER, INT8), "the reference resnet8 with 2 members"),
        ((ENSEMBLE, TRAINED_MEMBER, '[[reference.members]]\nmodel = "file:m.onnx"\n', INT8), "is a file (file:m.onnx)"),
        (
            (ENSEMBLE, TRAINED_MEMBER, MEMBER, INT8),
            "member 2 of the reference resnet8 with neither weights nor training",
        ),
        ((ENSEMBLE, 'weights = "w"\n', TRAINED_MEMBER, TRAINED_MEMBER, INT8), "an ensemble, with weights of its own"),
        ((ENSEMBLE, "[reference.training]\n", TRAINED_MEMBER, TRAINED_MEMBER, INT8), "a training that no member takes"),
        ((REFERENCE, STUDENT, f"[[student.members]]\n{NET}", TAUGHT), "the student resnet8 of resnet8"),
        (
            (REFERENCE, STUDENT, PROGRESSIVE.replace('"progressive"', '["progressive", "supervised"]')),
            "puts progressive and supervised together",
        ),
    ],
)
def test_teachers_and_ensembles_that_cannot_work_are_refused(parts: tuple[str, ...], words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_plan(recipe(*parts))
    assert words in caught.value.given
    assert caught.value.todo


@pytest.mark.parametrize(
    "parts",
    [
        (REFERENCE.replace("resnet8", "resnet9"), INT8),
        (REFERENCE, STUDENT.replace("resnet8", "resnet9"), TAUGHT),
        (REFERENCE, TEACHER.replace("resnet8", "resnet9"), STUDENT, TAUGHT),
        (ENSEMBLE, TRAINED_MEMBER, TRAINED_MEMBER.replace("resnet8", "resnet9"), INT8),
        (REFERENCE, STUDENT, PROGRESSIVE.replace("resnet8", "resnet9")),
    ],
)
def test_an_unknown_net_is_refused_before_any_work(parts: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="did you mean resnet8"):
        make_plan(recipe(*parts))


@pytest.mark.parametrize(
    ("method", "words"),
    [("dkd", "two classes|2 classes"), ("logit_standardization", "2 classes"), ("class_prior", "names 'cat'")],
)
def test_a_method_that_is_not_for_the_task_is_refused_before_any_work(task, method: str, words: str) -> None:
    options = '[phase.options.class_prior]\nclasses = ["cat"]\n' if method == "class_prior" else ""
    first = TAUGHT if method == "class_prior" else ""
    training = "" if method == "class_prior" else "[phase.training]\nepochs = 1\n"
    plan = make_plan(recipe(REFERENCE, STUDENT, first, f'[[phase]]\nmethod = "{method}"\n', options, training))
    with pytest.raises(RecipeError, match=words):
        check_plan_against(task, plan)


def test_the_same_method_twice_in_a_phase_is_refused() -> None:
    with pytest.raises(RecipeError, match="names soft_target twice"):
        make_plan(recipe(REFERENCE, STUDENT, TAUGHT.replace('"soft_target"', '["soft_target", "soft_target"]')))


def test_an_assistant_that_learns_labels_from_rows_without_them_is_refused() -> None:
    assistants = '[phase.options.progressive]\nassistants = [{ model = "mlp", training = { rows = "transfer" } }]\n'
    with pytest.raises(RecipeError, match=r"training\.rows = 'transfer'"):
        make_plan(recipe(REFERENCE, STUDENT, TAUGHT.replace("soft_target", "progressive"), assistants))


def test_a_text_task_for_a_runtime_without_text_nets_is_refused_before_any_work(task) -> None:
    plan = make_plan(parse_recipe('runtime = "litert"\n' + HEAD + REFERENCE, "r.toml"))
    pieces = WordPieces(vocabulary=("[PAD]", "[UNK]", "[CLS]", "[SEP]"))
    reading = Preprocessing(modality=Modality.TEXT, raw_shape=(4,), scale=1.0, mean=(), std=(), text=pieces)
    text = dataclasses.replace(task, preprocessing=reading)
    with pytest.raises(RecipeError, match="a text task, for litert; expected a runtime for text nets: onnxruntime, op"):
        check_plan_against(text, plan)


def test_a_missing_converter_is_said_before_any_work(monkeypatch) -> None:
    monkeypatch.setattr(exporter_module, "find_spec", lambda name: None if name == "litert_torch" else name)
    with pytest.raises(MissingPackage, match="pip install --no-deps litert-torch"):
        make_plan(parse_recipe('runtime = "litert"\n' + HEAD + REFERENCE, "r.toml"))
