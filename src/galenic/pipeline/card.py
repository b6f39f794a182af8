"""The card of a file: what travels with it beside it, as FILE.json: preprocessing, classes, hash, lineage, quantization."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from galenic.record.artifact import Artifact
from galenic.store.files import write_text


def write_card(artifact: Artifact, path: Path) -> None:
    """Write the card of ``artifact``, which lies at ``path``."""
    card = artifact.model_copy(update={"path": Path(path.name)})
    write_text(_beside(path), card.model_dump_json(indent=2) + "\n")


def read_card(path: Path) -> Artifact | None:
    """The card of the file at ``path``, or None where none lies there or it cannot be read."""
    try:
        return Artifact.model_validate_json(_beside(path).read_bytes())
    except (OSError, ValidationError):
        return None


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
