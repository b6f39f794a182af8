"""A worker process: asked and answered in frames, ended with the object that started it, and never fatal to it.

Its stderr goes to a temporary file: the terminal stays quiet, and the last line is in the error where it dies.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path
from typing import IO, cast

from galenic.record.errors import ModelError
from galenic.runtimes.frames import MOST_TEXT_BYTES, read_frame, write_frame

GRACE_S = 10.0
"""How long an ended worker may take to be gone before it is killed."""
MOST_LAST_WORDS = 4096
MOST_POLL_MS = 2**31 - 1


class Worker:
    """A program that runs as a process of its own and answers frames on stdin and stdout.

    Args:
        module: what runs, as after ``python -m``; or the program itself, by its path.
        subject: what it is for, such as ``/a/model.pte in ExecuTorch``; errors begin with it.
        python: the interpreter that runs a module, of another environment than this process's; None for this one's.
    """

    def __init__(self, module: str | Path, subject: str, python: Path | None = None) -> None:
        self._subject = subject
        self._one_at_a_time = threading.Lock()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        # -P: no module is taken from the folder that one happens to stand in. -W: nobody reads warnings there.
        interpreter = [python or sys.executable, "-P", "-W", "ignore", "-m"]
        command = [module] if isinstance(module, Path) else [*interpreter, module]
        # The runtime has the threads that are asked for; numpy's own pool would stand beside them.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, env=environment
        )
        self._end = weakref.finalize(self, _end, self._process, self._stderr)

    @property
    def process_id(self) -> int:
        """Of the worker."""
        return self._process.pid

    def ask(
        self, kind: bytes, payload: bytes | memoryview, *, within_s: float, most_bytes: int = 0
    ) -> tuple[bytes, bytearray]:
        """The kind and the payload of the answer to one frame.

        Args:
            kind: of the question.
            payload: of the question.
            within_s: seconds after which the worker is killed.
            most_bytes: the longest answer that is taken; a short text always is.

        Raises:
            ModelError: the worker died, was too late, or was closed; it answers nothing any more.
        """
        questions = cast(BufferedIOBase, self._process.stdin)
        answers = cast(BufferedIOBase, self._process.stdout)
        with self._one_at_a_time:
            if not self._end.alive:
                raise self._lost("it was closed")
            said_before = os.fstat(self._stderr.fileno()).st_size
            try:
                write_frame(questions, kind, payload)
                self._wait_for(answers, within_s)
                return read_frame(answers, max(most_bytes, MOST_TEXT_BYTES))
            except (EOFError, OSError, ValueError) as error:
                raise self._lost(self._autopsy(error, said_before)) from error
            except BaseException:
                # Interrupted between question and answer: the next question would be given this one's answer.
                self._process.kill()
                self.close()
                raise

    def close(self) -> None:
        """End the process; what is asked afterwards is refused."""
        self._end()

    def _wait_for(self, answers: BufferedIOBase, within_s: float) -> None:
        """Until there is something to read, if only the end of the stream."""
        watch = select.poll()
        watch.register(answers, select.POLLIN)
        if not watch.poll(min(within_s * 1000, MOST_POLL_MS)):
            raise TimeoutError(f"no answer within {within_s:g} s")

    def _autopsy(self, error: Exception, said_before: int) -> str:
        """Why there was no answer. The process is gone afterwards."""
        if isinstance(error, TimeoutError | ValueError):
            self._process.kill()
            self.close()
            return str(error)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        code, words = self._process.returncode, self._last_words(said_before)
        self.close()
        how = f"ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"left with {code}"
        return f"{how}{f'; its last words: {words}' if words else ''}"

    def _last_words(self, said_before: int) -> str:
        """The last line that it wrote since; what it wrote when all was well explains nothing."""
        end = os.fstat(self._stderr.fileno()).st_size
        self._stderr.seek(max(said_before, end - MOST_LAST_WORDS))
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else ""

    def _lost(self, why: str) -> ModelError:
        return ModelError(
            given=f"{self._subject}: its worker process does not answer any more ({why})",
            expected="an answer",
            todo="open the file again; if it ends in the same way, make the file again or free some memory",
        )


def _end(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
    """Close the worker's stdin, upon which it leaves; kill it where it does not. No zombie is left."""
    for stream in (process.stdin, process.stdout):
        with suppress(OSError):  # what was not read any more when the worker died
            cast(BufferedIOBase, stream).close()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    stderr.close()
