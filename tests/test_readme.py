"""The README is true: its tables are what the committed results say, its verbs exist, its recipe is valid."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from typer.main import get_command

from galenic.cli.main import app
from galenic.pipeline.plan import make_plan
from galenic.pipeline.recipes import parse_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_tables_are_what_the_committed_results_say() -> None:
    made = runpy.run_path(str(ROOT / "benchmarks" / "table.py"))
    for document in (made["README"], made["MATRIX"]):
        assert made["with_tables"](document) == document.read_text(), "run: python benchmarks/table.py --write"
    assert README.count("\n| PneumoniaMNIST") == 1


def test_every_command_that_it_names_exists() -> None:
    named = set(re.findall(r"`galenic ([a-z]+)", README))
    assert {"compress", "demo", "doctor"} <= named
    assert named <= set(get_command(app).commands)  # type: ignore[attr-defined]


def test_its_recipe_is_one_that_can_be_planned() -> None:
    (recipe,) = re.findall(r"```toml\n(.*?)```", README, re.S)
    plan = make_plan(parse_recipe(recipe, "README"))
    assert [phase.name for phase in plan.phases] == ["soft_target", "static_int8"]


def test_its_targets_exist_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_files_that_it_links_exist() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
