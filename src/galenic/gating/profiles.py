"""Profiles: devices' limits as TOML, packaged in ``galenic/profiles`` or the user's own file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from galenic.record.errors import RecipeError
from galenic.record.profile import RUNTIME_NAMES, Power, Preset, Profile
from galenic.record.recipe import Recipe

LIMITS = ("size_bytes", "p90_ms", "memory_mb", "better_size_bytes", "flash_bytes", "ram_bytes")
TABLES: Mapping[str, type[BaseModel]] = {"power": Power, "preset": Preset}
PRESET_KEYS = ("runtime", "student", "phase", "choose", "gate", "measure")
"""Keys of a recipe that a device says something about; the rest is the user's."""


def all_profiles() -> tuple[Profile, ...]:
    """The packaged profiles, by name."""
    files = (file for file in resources.files("galenic").joinpath("profiles").iterdir() if file.name.endswith(".toml"))
    found = (parse_profile(file.read_bytes(), file.name) for file in files)
    return tuple(sorted(found, key=lambda profile: profile.name))


def load_profile(name_or_path: str | Path) -> Profile:
    """A packaged profile by its name, or one from a path that ends in ``.toml``."""
    path = Path(name_or_path)
    if path.suffix == ".toml":
        try:
            return parse_profile(path.read_bytes(), str(path))
        except OSError as error:
            raise RecipeError(
                given=f"the profile {path}, which cannot be read ({error.strerror})",
                expected="a TOML file, or the name of a packaged profile",
                todo="run `galenic profiles` for the names",
            ) from error
    known = {profile.name: profile for profile in all_profiles()}
    if (name := str(name_or_path)) in known:
        return known[name]
    nearest = get_close_matches(name, known, n=1, cutoff=0.0)
    raise RecipeError(
        given=f"the profile {name!r}",
        expected=f"one of {', '.join(known)}, or a path that ends in .toml",
        todo=f"the nearest is {nearest[0]!r}",
    )


def check_runtime(profile: Profile, runtime: str) -> None:
    """RecipeError where nothing on the profile's device runs files of ``runtime``."""
    if profile.runtimes and runtime not in profile.runtimes:
        raise RecipeError(
            given=f"the runtime '{runtime}' for the profile {profile.name}",
            expected=f"one that {profile.name} has: {', '.join(profile.runtimes)}",
            todo=f"choose one of them, or another profile; `galenic profiles {profile.name}` shows what one would do first",
        )


def fragment(profile: Profile, preset: Preset) -> str:
    """A preset as the part of a recipe that a user pastes: TOML that begins with the profile's name."""
    return f'profile = "{profile.name}"\n{preset.recipe.strip()}\n'


def parse_profile(content: bytes, source: str) -> Profile:
    """A profile from the bytes of a TOML file; ``source`` names it in errors."""
    try:
        values = tomllib.loads(content.decode())
        profile = Profile.model_validate(values)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(
            given=f"{source}, which is not TOML ({error})", expected="a profile in TOML", todo="correct that line"
        ) from error
    except ValidationError as error:
        raise _wrong_key(error, source) from error
    _check_limits(profile, source)
    _check_runtimes(profile.runtimes, "runtimes", source)
    for preset in profile.preset:
        _check_preset(profile, preset, source)
    return profile


def _wrong_key(error: ValidationError, source: str) -> RecipeError:
    first = error.errors()[0]
    names = [str(part) for part in first["loc"] if not isinstance(part, int)]
    table = TABLES.get(names[0]) if len(names) > 1 else None
    valid = list((table or Profile).model_fields)
    nearest = get_close_matches(names[-1], valid, n=1, cutoff=0.0)
    return RecipeError(
        given=f"the key {'.'.join(names)!r} in {source}: {first['msg']}",
        expected=f"the keys {', '.join(valid)}",
        todo=f"the nearest key is {nearest[0]!r}" if names[-1] not in valid else f"correct {'.'.join(names)!r}",
    )


def _check_limits(profile: Profile, source: str) -> None:
    for key in LIMITS:
        limit = getattr(profile, key)
        if limit is not None and not 0 < limit < float("inf"):
            raise RecipeError(
                given=f"{key} = {limit} in {source}",
                expected="a number above 0",
                todo=f"correct {key!r} or leave it out",
            )


def _check_runtimes(names: tuple[str, ...], key: str, source: str) -> None:
    for name in names:
        if name not in RUNTIME_NAMES:
            nearest = get_close_matches(name, RUNTIME_NAMES, n=1, cutoff=0.0)
            raise RecipeError(
                given=f"the runtime {name!r} under {key} in {source}",
                expected=f"names of runtimes: {', '.join(RUNTIME_NAMES)}",
                todo=f"the nearest is {nearest[0]!r}",
            )


def _check_preset(profile: Profile, preset: Preset, source: str) -> None:
    """A preset is a part of a recipe for one of its own profile's runtimes."""
    where = f"the preset {preset.name!r} in {source}"
    try:
        values: dict[str, Any] = tomllib.loads(preset.recipe)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(
            given=f"{where}, whose recipe is not TOML ({error})",
            expected="a part of a recipe",
            todo="correct that line",
        ) from error
    for key in values:
        if key not in PRESET_KEYS:
            known = "which is not the device's to say" if key in Recipe.model_fields else "which no recipe has"
            raise RecipeError(
                given=f"the key {key!r} of {where}, {known}",
                expected=f"the keys {', '.join(PRESET_KEYS)}",
                todo="remove it, or correct its name",
            )
    runtime = values.get("runtime", "")
    _check_runtimes((runtime,), f"preset {preset.name!r}", source)
    if profile.runtimes and runtime not in profile.runtimes:
        raise RecipeError(
            given=f"{where}, which is for {runtime}",
            expected=f"one of the profile's own runtimes: {', '.join(profile.runtimes)}",
            todo="correct the one or the other",
        )
