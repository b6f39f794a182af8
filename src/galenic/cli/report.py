"""``galenic report``: a report.json shown on the terminal and rendered as a page again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galenic.cli.screen import output

NAME = "report"


def command(
    report: Annotated[Path, typer.Argument(help="A report.json, or the folder of a run.")],
    html: Annotated[Path | None, typer.Option("--html", help="Write the page here (default: beside the JSON).")] = None,
) -> None:
    """Show a report and render its page from report.json alone."""
    from galenic.reporting.html import render_html
    from galenic.reporting.json_report import read_report
    from galenic.reporting.terminal import print_summary
    from galenic.store.files import write_text

    path = report / "report.json" if report.is_dir() else report
    read = read_report(path)
    target = html or path.with_suffix(".html")
    write_text(target, render_html(read))
    print_summary(read, output)
    output.print(f"report  {target}", soft_wrap=True, markup=False)
