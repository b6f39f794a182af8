"""A wrong layer is found on untrained nets, before the teacher's hours are spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from galenic.pipeline.recipes import parse_recipe
from galenic.pipeline.run import compress
from galenic.record.errors import ModelError
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
