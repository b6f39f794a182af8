"""A teacher's answers, one per (row, view), so that the teacher is asked about each view of a row at most once.

One fixed cached logit per image overfits (Beyer et al. 2022, arXiv:2106.05237), so there are K views of each row, drawn
once and cycled through, and the cache is keyed by the view (FKD, arXiv:2112.01528). Rows are asked in blocks of a fixed
size and order, so that what is kept does not depend on who asked first, nor in which batches.

    memory    4 bytes * views * rows * numbers in an answer, on disk; the same in memory up to ``MEMORY_LIMIT_BYTES``,
              beyond it only the pages that the system chooses to keep
A file is named by all that its answers depend on and says so inside. Other processes may fill it at the same time: one asks the
teacher and the others wait. Blocks that are cut off or damaged are asked for again, which ``repairs`` and the progress note say.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from galenic.record.base import Record
from galenic.record.errors import ModelError
from galenic.record.progress import Progress, silent
from galenic.store.blocks import BlockFile, Fault, Unsound
from galenic.training.loop import TrainingData
from galenic.training.objective import Batch

Predict = Callable[[np.ndarray], np.ndarray]
"""Preprocessed inputs (batch, *input_shape) -> what the teacher says about each, (batch, *shape) float32."""

BLOCK_ROWS = 128
MEMORY_LIMIT_BYTES = 512 << 20


class CacheKey(Record):
    """Everything that a teacher's answers depend on.

    Attributes:
        teacher: the sha256 of the weights or the file that answers.
        answers: which of its outputs (``logits``, or the names of layers and what is made of them).
        data: the sha256 of the rows.
        views: of the views: seed, augmentation and its version, as JSON.
        made_by: the kind of device and the versions of the libraries that compute the answers.
        shape: (views, rows, *shape of one answer).
        threads: sums are added in another order where their number is another.
    """

    teacher: str
    answers: str
    data: str
    views: str
    made_by: str = ""
    shape: tuple[int, ...]
    threads: int = Field(default_factory=torch.get_num_threads)


class TeacherCache:
    """Answers (views, rows, *shape) float32 in a file of ``folder``, filled a view at a time when a batch first needs it.

    Args:
        folder: may be shared with other trainings and processes.
        key: what the answers depend on; it names the file.
        data: makes the inputs that the teacher is asked about.
        predict: the teacher.
        progress: told how far the filling of a view is.
        memory_limit: in bytes; a larger cache is memory-mapped, a smaller one is read into memory view by view.
    """

    def __init__(
        self,
        folder: Path,
        key: CacheKey,
        data: TrainingData,
        predict: Predict,
        progress: Progress = silent,
        memory_limit: int = MEMORY_LIMIT_BYTES,
    ) -> None:
        path = folder / f"answers-{key.digest()[:16]}.blocks"
        self._file = BlockFile(path, {"key": key.model_dump(mode="json")}, key.shape, BLOCK_ROWS)
        self._key, self._data, self._predict, self._progress = key, data, predict, progress
        self._views: dict[int, np.ndarray] = {}
        self.mapped = self._file.size_bytes > memory_limit
        """Whether answers are read from the disk as they are needed."""
        self.asked = 0
        """How many rows the teacher has answered in this process."""
        self.repairs: list[str] = []
        """What was wrong with the file and has been made again by this process."""

    @property
    def size_bytes(self) -> int:
        """Of all answers: 4 * views * rows * numbers in an answer."""
        return self._file.size_bytes

    def answers(self, batch: Batch) -> Tensor:
        """The teacher's answers for a batch, (batch, *shape) float32, on the labels' device.

        Raises:
            ModelError: the teacher said something of another shape, or a number that is not finite.
            StoreError: the disk is full or refuses; the answers so far are kept.
        """
        values = self._views.get(batch.view)
        if values is None:
            values = self._views[batch.view] = self._loaded(batch.view)
        return torch.from_numpy(values.take(batch.rows, axis=0)).to(batch.labels.device)

    def _loaded(self, view: int) -> np.ndarray:
        """All answers of a view, checked against their checksums, after asking for those that cannot be used."""
        if self._file.fault() is None:
            values = self._file.part(view, mapped=self.mapped)
            if not self._file.unsound(view, values).blocks:
                return values
        work = f"{self._key.answers} of teacher {self._key.teacher[:8]}, view {view + 1}/{self._key.shape[0]}"
        with self._file.held(lambda: self._progress(work, 0, 1, "waiting for another run, which asks it")):
            fault = self._file.mend()
            unsound = self._file.unsound(view, self._file.part(view, mapped=True))
            note = self._note(view, fault, unsound)
            for done, block in enumerate(unsound.blocks):
                self._progress(work, done, len(unsound.blocks), note)
                self._file.write(view, block, self._asked(view, self._file.rows(block)))
            self._progress(work, len(unsound.blocks) or 1, len(unsound.blocks) or 1, note)
        return self._file.part(view, mapped=self.mapped)

    def _note(self, view: int, fault: Fault | None, unsound: Unsound) -> str:
        """What was wrong, for people; '' where answers were only not there yet."""
        wrong = [fault.value] if fault not in (None, Fault.ABSENT) else []
        if unsound.damaged:
            wrong.append(f"{len(unsound.damaged)} blocks of view {view + 1} did not match their checksums")
        if not wrong:
            return ""
        self.repairs.append(f"{self._file.path.name}: {', '.join(wrong)}")
        return f"made again: {', '.join(wrong)}"

    def _asked(self, view: int, block: slice) -> np.ndarray:
        """What the teacher says about the rows of a block, (rows, *shape) float32, if it can be used."""
        rows = np.arange(block.start, block.stop)
        said = np.asarray(self._predict(self._data.inputs(view, rows).numpy()))
        shape = (len(rows), *self._key.shape[2:])
        if said.shape != shape:
            raise self._refused(view, rows[0], f"shape {said.shape} for {len(rows)} rows", f"{shape}")
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
            said = said.astype(np.float32)
        finite = np.isfinite(said.reshape(len(rows), -1)).all(axis=1)
        if not finite.all():
            bad = rows[~finite]
            found = "NaN" if np.isnan(said[~finite][0]).any() else "infinity"
            raise self._refused(view, bad[0], f"{found} ({len(bad)} such rows in this block)", "finite numbers")
        self.asked += len(rows)
        return said

    def _refused(self, view: int, row: int, found: str, expected: str) -> ModelError:
        return ModelError(
            given=f"the teacher's {self._key.answers} from case {self._data.split.ids[row]!s} on (row {row}, view {view})"
            f" are {found}",
            expected=expected,
            todo="run the teacher on that case, and take other weights or leave the case out; nothing of it was kept",
        )
