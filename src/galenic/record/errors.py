"""Everything that galenic refuses, as one tree.

    GalenicError                      exit code 5
    ├── InputError                    exit code 2, something given cannot be used
    │   ├── DataError                 a data file, a split or a row
    │   ├── RecipeError               a key, a value or an order in a recipe
    │   ├── ModelError                a model, its weights or its number of classes
    │   ├── MissingPackage            a runtime or library that is not installed
    │   └── GateError                 predictions that cannot be judged
    ├── BudgetMissed              exit code 4, no model within what may be spent
    ├── DivergedTraining              exit code 5, a loss that is not finite
    └── StoreError                    exit code 5, the disk, a lock or a damaged store

Every error has a stable code and says what was given, what was expected and what to do next.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the command line returns."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    INCONCLUSIVE = 3
    BUDGET = 4
    INTERNAL = 5


class GalenicError(Exception):
    """An error with what was given, what was expected and what to do next.

    Args:
        given: what came in, naming the file, key, split or row.
        expected: what would have been accepted.
        todo: one thing that the user can do now.
    """

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __init__(self, given: str, expected: str, todo: str) -> None:
        super().__init__(given, expected, todo)
        self.given, self.expected, self.todo = given, expected, todo

    def __str__(self) -> str:
        return f"[{self.code}] {self.given}; expected {self.expected}; {self.todo}"


class InputError(GalenicError):
    """Something given on the command line, in a recipe or in a file cannot be used."""

    code = "input"
    exit_code = ExitCode.USAGE


class DataError(InputError):
    """A data file, a split or a row cannot be used."""

    code = "data"


class RecipeError(InputError):
    """A recipe's key, value or order is wrong."""

    code = "recipe"


class ModelError(InputError):
    """A model cannot be built, loaded or used for this task."""

    code = "model"


class MissingPackage(InputError):
    """A runtime or library that is needed is not installed."""

    code = "missing-package"


class GateError(InputError):
    """Predictions cannot be compared, so nothing is decided about them."""

    code = "gate"


class BudgetMissed(GalenicError):
    """No model is within a budget of size, work or time; the nearest is said."""

    code = "budget"
    exit_code = ExitCode.BUDGET


class DivergedTraining(GalenicError):
    """The loss of a training became NaN or infinite; what was finished before is kept."""

    code = "diverged"


class StoreError(GalenicError):
    """The store cannot be written or read; what was in it before is still there."""

    code = "store"
