"""Profiles: devices' limits as TOML, packaged in ``galenic/profiles`` or the user's own file."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from galenic.record.errors import RecipeError
from galenic.record.profile import Profile


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
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        nearest = get_close_matches(key, Profile.model_fields, n=1, cutoff=0.0)
        raise RecipeError(
            given=f"the key {key!r} in {source}: {first['msg']}",
            expected=f"the keys {', '.join(Profile.model_fields)}",
            todo=f"the nearest key is {nearest[0]!r}" if key not in Profile.model_fields else f"correct {key!r}",
        ) from error
    return _with_sane_limits(profile, source)


def _with_sane_limits(profile: Profile, source: str) -> Profile:
    for key in ("size_bytes", "p90_ms", "memory_mb"):
        limit = getattr(profile, key)
        if limit is not None and not 0 < limit < float("inf"):
            raise RecipeError(
                given=f"{key} = {limit} in {source}",
                expected="a number above 0",
                todo=f"correct {key!r} or leave it out",
            )
    return profile
