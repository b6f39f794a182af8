"""What a run leaves for people: report.json, report.html and the files, in one folder that can be moved."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from galenic.pipeline.card import write_card
from galenic.pipeline.chain import Finished
from galenic.record.report import Report
from galenic.reporting.html import render_html
from galenic.reporting.json_report import report_json
from galenic.store.files import write_atomic, write_text
from galenic.store.stages import Store


def write_run(store: Store, report: Report, files: Sequence[Finished]) -> Path:
    """Write the run's folder and return it; every file in it is there whole or not at all."""
    folder = store.run_folder(report.run.name, report.run.id)
    for one in files:
        path = folder / "files" / f"{one.id}{one.artifact.path.suffix}"
        place_file(one.artifact.path, path)
        write_card(one.artifact, path)
    write_text(folder / "report.json", report_json(report))
    write_text(folder / "report.html", render_html(report))
    return folder


def place_file(source: Path, target: Path) -> None:
    """A hard link to a stage's file, or a copy where the file system has no links."""

    def fill(aside: Path) -> None:
        try:
            aside.unlink()
            os.link(source, aside)
        except OSError:
            shutil.copyfile(source, aside)

    write_atomic(target, fill)
