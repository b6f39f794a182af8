"""Every mistake in a recipe is named by its key, with the nearest key that exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from galenic.pipeline.recipes import fields_at, load_recipe, packaged_recipe, parse_recipe
from galenic.record.errors import InputError, RecipeError
from galenic.record.recipe import Recipe

GOOD = """
name = "r"
[task]
source = "digits"
[reference]
model = "resnet8"
[reference.training]
epochs = 2
[[phase]]
method = "static_int8"
[gate.margins]
auc = 0.02
"""


def test_a_good_recipe_has_its_values_and_defaults() -> None:
    recipe = parse_recipe(GOOD, "r.toml")
    assert recipe.reference.training is not None
    assert recipe.reference.training.epochs == 2
    assert recipe.gate.margins.declared() == {"auc": 0.02}
    assert recipe.gate.alpha == 0.025
    assert recipe.phase[0].methods == ("static_int8",)


@pytest.mark.parametrize(
    ("old", "new", "key", "near"),
    [
        ("epochs = 2", "epoch = 2", "reference.training.epoch", "did you mean 'epochs'"),
        ("[gate.margins]", "[gate.margin]", "gate.margin", "did you mean 'margins'"),
        ('method = "static_int8"', 'method = "static_int8"\noption = {}', "phase.0.option", "did you mean 'options'"),
        ('name = "r"', 'name = "r"\nseeds = 1', "seeds", "did you mean 'seed'"),
    ],
)
def test_a_misspelt_key_is_named_with_the_nearest_one(old: str, new: str, key: str, near: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(GOOD.replace(old, new), "r.toml")
    assert f"unknown key '{key}'" in caught.value.given
    assert near in caught.value.todo


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("epochs = 2", "epochs = 0", "reference.training.epochs"),
        ("auc = 0.02", "auc = 1.5", "gate.margins.auc"),
        ("auc = 0.02", 'auc = "small"', "gate.margins.auc"),
        ('source = "digits"', "", "task.source"),
    ],
)
def test_a_wrong_or_missing_value_is_named_by_its_key(old: str, new: str, key: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(GOOD.replace(old, new), "r.toml")
    assert key in caught.value.given


def test_what_is_not_toml_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not valid TOML"):
        parse_recipe("name = ", "r.toml")
    with pytest.raises(InputError, match=r"none\.toml cannot be read"):
        load_recipe(tmp_path / "none.toml")


def test_the_packaged_demo_is_valid_and_declares_its_margins() -> None:
    demo = packaged_recipe("demo")
    assert demo.gate.margins.declared() == {"auc": 0.02, "sensitivity": 0.05}
    assert demo.task.source == "lesions"


def test_committed_benchmark_recipes_are_valid() -> None:
    recipes = sorted((Path(__file__).parents[2] / "benchmarks" / "recipes").glob("*.toml"))
    assert len(recipes) >= 4
    for path in recipes:
        assert load_recipe(path).name == path.stem


def test_fields_of_a_nested_table() -> None:
    assert "epochs" in fields_at(Recipe, ("phase", 0, "training"))
    assert fields_at(Recipe, ("phase", 0, "nothing")) == ()
