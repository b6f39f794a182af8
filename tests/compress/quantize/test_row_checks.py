"""Rows of the user's own are held against the task: shape, normalisation, test set."""

from __future__ import annotations

import pytest
import torch

from galenic.compress.quantize.row_checks import check_rows
from galenic.preprocess.transform import to_inputs
from galenic.record.errors import DataError


def test_rows_like_the_tasks_pass_and_others_are_refused(task) -> None:
    rows = torch.from_numpy(to_inputs(task.preprocessing, task.train.inputs))
    check_rows([rows[:20], rows[20:]], task)
    for changed, said in (
        (rows[:, :, :5], "calibration rows of shape"),
        (rows * 255, "numbers like those of"),
        (rows + 10, "numbers like those of"),
    ):
        with pytest.raises(DataError, match=said):
            check_rows([changed], task)


def test_a_row_of_the_test_set_is_refused(task) -> None:
    tested = torch.from_numpy(to_inputs(task.preprocessing, task.test.inputs[:2]))
    rows = torch.from_numpy(to_inputs(task.preprocessing, task.train.inputs))
    with pytest.raises(DataError, match=f"2 of {len(rows) + 2} calibration rows that are rows of the test set"):
        check_rows([rows, tested], task)
