"""Recipes from TOML: every mistake is named by its key, with the nearest key that exists."""

from __future__ import annotations

import difflib
import tomllib
import types
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from galenic.record.errors import InputError, RecipeError
from galenic.record.recipe import Recipe
from galenic.reporting.json_report import read_report

Config = TypeVar("Config", bound=BaseModel)


def load_recipe(path: Path) -> Recipe:
    """Read and validate a recipe file, or take the recipe out of a report.json so that it runs again.

    Raises:
        InputError: the file is not there or is not TOML.
        RecipeError: a key or a value is wrong.
    """
    if path.suffix == ".json":
        return read_report(path).recipe
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            given=f"{path} cannot be read ({error})",
            expected="a recipe in TOML",
            todo="check the path; `galenic demo --print-recipe` prints one to start from",
        ) from error
    return parse_recipe(text, str(path))


def packaged_recipe(name: str) -> Recipe:
    """A recipe that ships with the package, such as ``demo``."""
    return parse_recipe(packaged_text(name), f"the packaged recipe {name}")


def packaged_text(name: str) -> str:
    """The TOML of a packaged recipe."""
    return (resources.files("galenic") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")


def parse_recipe(text: str, origin: str) -> Recipe:
    """Validate a recipe given as TOML; ``origin`` names it in errors."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            given=f"{origin} is not valid TOML: {error}",
            expected="a recipe in TOML",
            todo="mend that line",
        ) from error
    return validated(Recipe, values, origin)


def validated(model: type[Config], values: Mapping[str, Any], origin: str) -> Config:
    """``model`` built from ``values``, or a RecipeError that names the first wrong key and its nearest valid one."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        raise _named(model, first, origin) from error


def _named(model: type[BaseModel], error: Mapping[str, Any], origin: str) -> RecipeError:
    location: Sequence[str | int] = error["loc"]
    key = ".".join(str(part) for part in location) or "the whole"
    if error["type"] == "extra_forbidden":
        valid = sorted(fields_at(model, location[:-1]))
        near = difflib.get_close_matches(str(location[-1]), valid, n=1)
        todo = f"did you mean '{near[0]}'?" if near else "remove it, or move it to the table that it belongs to"
        return RecipeError(given=f"{origin}: unknown key '{key}'", expected=f"one of {', '.join(valid)}", todo=todo)
    if error["type"] == "missing":
        return RecipeError(given=f"{origin}: '{key}' is missing", expected="a value for it", todo=f"add '{key}'")
    return RecipeError(
        given=f"{origin}: '{key}' is {error['input']!r}",
        expected=error["msg"][0].lower() + error["msg"][1:],
        todo=f"mend '{key}'",
    )


def fields_at(model: type[BaseModel], location: Sequence[str | int]) -> tuple[str, ...]:
    """The keys that are valid in the table at ``location``."""
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part)
        nested = _record_in(field.annotation) if field else None
        if nested is None:
            return ()
        current = nested
    return tuple(current.model_fields)


def _record_in(annotation: Any) -> type[BaseModel] | None:
    """The record class inside an annotation such as ``tuple[PhaseRecipe, ...]`` or ``Profile | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, Union, types.UnionType):
        for part in get_args(annotation):
            found = _record_in(part)
            if found is not None:
                return found
    return None
