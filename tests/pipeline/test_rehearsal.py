"""What cannot work is found on untrained nets, before the teacher's hours are spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from galenic.pipeline.recipes import parse_recipe
from galenic.pipeline.run import compress
from galenic.record.errors import GalenicError, ModelError
from galenic.store.stages import Store

RECIPE = """
name = "layers"
threads = 1
[task]
source = "digits"
[reference]
model = "resnet8"
[reference.training]
epochs = 1000000
[student]
model = "resnet8"
options = {{ width = 0.5 }}
[[phase]]
method = ["soft_target", "feature_matching"]
[phase.options.feature_matching]
{options}
[phase.training]
epochs = 1
[gate.margins]
auc = 0.5
"""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('pairs = [{ student = "stages.7", teacher = "stages.2" }]', "'stages.7' of the student"),
        ('pairs = [{ student = "stages.2", teacher = "stagse.2" }]', "'stagse.2' of the teacher"),
        ('matching = "one_to_one"', "trains no transform"),
    ],
)
def test_what_cannot_be_matched_is_refused_before_a_training(tmp_path: Path, options: str, words: str) -> None:
    """The reference's training would take weeks: that this test ends is a part of it."""
    with pytest.raises(ModelError, match=words):
        compress(parse_recipe(RECIPE.format(options=options), "r.toml"), Store(tmp_path))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_layer_that_is_to_stay_float_and_is_not_there_is_refused_before_a_training(tmp_path: Path) -> None:
    pairs = 'pairs = [{ student = "stages.2", teacher = "stages.2" }]\n[[phase]]\nmethod = "static_int8"\n'
    keep = f'{pairs}[phase.options.static_int8]\nkeep = ["stages.7*"]\n'
    recipe = RECIPE.replace("[phase.training]\nepochs = 1\n", "").format(options=keep)
    recipe = recipe.replace('[[phase]]\nmethod = "static', '[phase.training]\nepochs = 1\n[[phase]]\nmethod = "static')
    with pytest.raises(ModelError, match=r"'stages\.7\*', which matches no layer"):
        compress(parse_recipe(recipe, "r.toml"), Store(tmp_path))
    assert not list(tmp_path.rglob("*.safetensors"))


BEGIN = """
name = "later"
threads = 1
[task]
source = "digits"
[gate.margins]
auc = 0.5
[reference]
model = "resnet8"
[reference.training]
epochs = 1000000
"""
STUDENT = '[student]\nmodel = "mlp"\noptions = { hidden = [8] }\n'
TRAINING = "[phase.training]\nepochs = 1\n"


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        (
            STUDENT + '[[phase]]\nmethod = ["soft_target", "logit_standardization"]\n'
            "[phase.options.soft_target]\nviews = 4\n" + TRAINING,
            "disagree on views",
        ),
        (STUDENT + '[[phase]]\nmethod = ["soft_target", "dkd"]\n' + TRAINING, "disagree on what the labels weigh"),
        (STUDENT.replace("hidden", "widht") + '[[phase]]\nmethod = "soft_target"\n' + TRAINING, "widht"),
        (
            STUDENT + 'weights = "nowhere.safetensors"\n[[phase]]\nmethod = "soft_target"\n' + TRAINING,
            "nowhere.safetensors",
        ),
        (
            '[[teacher]]\nmodel = "resnet8"\n[teacher.training]\nepochs = 1\n[[teacher]]\nmodel = "file:gone.onnx"\n'
            + STUDENT
            + '[[phase]]\nmethod = "multi_teacher"\n'
            + TRAINING,
            "gone.onnx",
        ),
        (
            STUDENT + '[[phase]]\nmethod = "progressive"\n[phase.options.progressive]\n'
            'assistants = [{ model = "mlp", options = { hidden = [4] } }, { model = "mlp" }]\n' + TRAINING,
            "the one before it",
        ),
        (
            STUDENT + '[[phase]]\nmethod = "soft_target"\n' + TRAINING + '[[phase]]\nmethod = "class_prior"\n'
            '[phase.options.class_prior]\nclasses = ["11"]\n',
            "names '11'",
        ),
    ],
)
def test_what_would_fail_later_fails_before_a_training(tmp_path: Path, rest: str, words: str) -> None:
    with pytest.raises(GalenicError, match=words):
        compress(parse_recipe(BEGIN + rest, "r.toml"), Store(tmp_path))
    assert not list(tmp_path.rglob("*.safetensors"))
