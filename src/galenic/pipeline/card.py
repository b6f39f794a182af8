"""The card of a file: what travels with it beside it, as FILE.json: preprocessing, classes, hash, lineage, quantization."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.store.files import write_text


def write_card(artifact: Artifact, path: Path) -> None:
    """Write the card of ``artifact``, which lies at ``path``."""
    card = artifact.model_copy(update={"path": Path(path.name)})
    write_text(_beside(path), card.model_dump_json(indent=2) + "\n")


def read_card(path: Path) -> Artifact | None:
    """The card of the file at ``path``, or None where none lies there.

    Raises:
        ModelError: one lies there that cannot be read: what it says of inputs and classes must not be guessed instead.
    """
    card = _beside(path)
    try:
        return Artifact.model_validate_json(card.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _damaged(card, f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise _damaged(card, f"is no card of galenic's: {where}: {first['msg']}") from error


def _damaged(card: Path, what: str) -> ModelError:
    return ModelError(
        given=f"{card}, which {what}",
        expected="the card that galenic wrote beside the file",
        todo="copy it again along with the file, export the file again, or move what is no card out of the way",
    )


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
