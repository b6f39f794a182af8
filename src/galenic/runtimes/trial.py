"""A first look at a file in a process of its own, so that one which crashes its runtime's parser, or never ends, is an error.

The child loads the file and answers one row of zeros. What it refuses with an error of galenic's is not reported from here: whoever
loads the file next in this process gets the very same error.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError

MOST_SECONDS = 120.0


def try_in_child(
    artifact: Artifact, *, threads: int = 1, device: str | None = None, within_s: float = MOST_SECONDS
) -> None:
    """Load ``artifact`` and answer one row in a child process.

    Args:
        artifact: the file.
        threads, device: as ``open_session`` takes them; None is the runtime's own device.
        within_s: seconds after which the child is killed.

    Raises:
        ModelError: the child was ended by a signal, was too late, or broke off with an error that is none of galenic's.
    """
    # -P: no module is taken from the folder that one happens to stand in.
    command = [sys.executable, "-P", "-W", "ignore", "-m", "galenic.runtimes.trial_child", str(threads), device or ""]
    try:
        child = subprocess.run(
            command, input=artifact.model_dump_json().encode(), capture_output=True, timeout=within_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _hostile(artifact, f"gave no answer within {within_s:g} s") from error
    if child.returncode < 0:
        raise _hostile(artifact, f"ended its process by {signal.Signals(-child.returncode).name}")
    if child.returncode > 0:
        words = child.stderr.decode(errors="replace").strip().splitlines()
        raise _hostile(artifact, f"ended its process with {words[-1][:200] if words else child.returncode}")


def _hostile(artifact: Artifact, what: str) -> ModelError:
    return ModelError(
        given=f"{artifact.path}, which {what} as {artifact.runtime} loaded it and answered one row in a child process",
        expected="a file that its runtime loads and answers with",
        todo="do not open it elsewhere; make it again from the model, and ask whoever sent it",
    )
