"""``galenic``: the verbs put together, and every error on one screen with its exit code."""

from __future__ import annotations

import os
import sys

import typer

from galenic.cli import bench, compress, demo, distill, doctor, export, lists, predict, quantize, report
from galenic.cli.screen import errors, show_error, show_internal_error
from galenic.record.errors import ExitCode, GalenicError, MissingPackage

app = typer.Typer(
    name="galenic",
    help="Makes a trusted medical model small and fast, and proves it on the shipped file in its real runtime.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (compress, distill, quantize, export, predict, bench, demo, report, doctor):
    app.command(name=verb.NAME)(verb.command)
for name, command in lists.COMMANDS.items():
    app.command(name=name)(command)


def main() -> None:
    """Run the command line and leave with one of the documented exit codes."""
    try:
        app()
    except GalenicError as error:
        show_error(error)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if os.environ.get("GALENIC_DEBUG"):
            raise
        missing = MissingPackage(
            given=f"this command needs the Python package {error.name}, which is not installed here",
            expected="the packages that compress, beside the small ones that run a file",
            todo="run: pip install 'galenic[forge]'",
        )
        show_error(missing)
        sys.exit(missing.exit_code)
    except KeyboardInterrupt:
        errors.print("Stopped. The same command goes on from the last finished epoch or stage.")
        sys.exit(130)
    except Exception as error:
        if os.environ.get("GALENIC_DEBUG"):
            raise
        show_internal_error(error)
        sys.exit(ExitCode.INTERNAL)


if __name__ == "__main__":
    main()
