"""``galenic predict FILE PICTURE...``: what a file answers to PNG, JPEG and DICOM pictures of any size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from galenic.cli.screen import output
from galenic.record.task import TaskKind

if TYPE_CHECKING:
    from galenic.record.artifact import Artifact
    from galenic.runtimes.answer import PictureAnswer

NAME = "predict"


def command(
    file: Annotated[Path, typer.Argument(help="A file that galenic exported, with its card beside it or inside.")],
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="PNG, JPEG or DICOM files.")],
    kind: Annotated[TaskKind | None, typer.Option(help="Of the task, where the file's card does not say it.")] = None,
    burned_in: Annotated[
        bool, typer.Option("--burned-in", help="Take DICOM files that say a patient can be told from their pixels.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the processor.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead, logits included.")] = False,
) -> None:
    """Classify pictures with a file in its own runtime. An answer is a number that a model computed, no diagnosis."""
    from galenic.pipeline.bench_files import artifact_at
    from galenic.runtimes.answer import answer_picture
    from galenic.runtimes.load import open_session

    session = open_session(artifact_at(file), threads)
    artifact, caveat = session.artifact, session.place.caveat
    rows = [
        row
        for path in pictures
        for row in _rows(path, answer_picture(session, path, kind=kind, burned_in=burned_in), artifact)
    ]
    if as_json:
        about = {"file": str(file), "sha256": artifact.sha256, "runtime": artifact.runtime, "caveat": caveat}
        print(json.dumps({**about, "answers": rows}, indent=1))
        return
    for row in rows:
        _show(row)
    if caveat:
        output.print(Text(f"• {artifact.runtime}: {caveat}"))


def _rows(path: Path, answer: PictureAnswer, artifact: Artifact) -> Iterator[dict[str, Any]]:
    """One answer for each row that the picture became."""
    for row, probabilities in enumerate(answer.probabilities):
        decided = answer.decisions[row]
        several = answer.kind is TaskKind.MULTI_LABEL
        yield {
            "picture": str(path),
            "row": row + 1,
            "rows": len(answer.logits),
            "decision": [name for name, yes in zip(artifact.classes, decided, strict=True) if yes]
            if several
            else artifact.classes[decided],
            "probabilities": dict(zip(artifact.classes, map(float, probabilities), strict=True)),
            "logits": dict(zip(artifact.classes, map(float, answer.logits[row]), strict=True)),
        }


def _show(row: dict[str, Any]) -> None:
    """A picture, and its classes with the most probable first."""
    frame = f", frame {row['row']} of {row['rows']}" if row["rows"] > 1 else ""
    output.print(Text(f"{row['picture']}{frame}", style="bold"), soft_wrap=True)
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name, share in sorted(row["probabilities"].items(), key=lambda pair: -pair[1]):
        table.add_row(Text(name), Text(f"{share * 100:.1f} %"))
    output.print(table)
