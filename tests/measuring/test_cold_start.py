"""A fresh process: its parts are inside of its total, and one that dies says why."""

from __future__ import annotations

import numpy as np
import pytest

from galenic.measuring import cold_start
from galenic.measuring.cold_start import measure_cold_start
from galenic.record.errors import InputError, ModelError
from galenic.record.measurement import Place
from galenic.runtimes.load import open_session

ROW = np.zeros((1, 2), np.float32)
PLACE = Place(machine="here", runtime="onnxruntime")


def test_medians_and_ends_of_the_processes_by_hand(artifact, monkeypatch):
    told = iter([(30.0, 3.0, 10.0, 1.0), (20.0, 9.0, 5.0, 2.0), (100.0, 6.0, 1.0, 3.0)])
    keys = ("total", "imports", "load", "first_answer")
    monkeypatch.setattr(cold_start, "_one", lambda artifact, order: (dict(zip(keys, next(told), strict=True)), PLACE))
    found = measure_cold_start(artifact, ROW, processes=3)
    assert (found.total, found.imports, found.load, found.first_answer) == (30.0, 6.0, 5.0, 2.0)
    assert (found.low, found.high, found.n, found.place) == (20.0, 100.0, 3, PLACE)


def test_a_process_starts_loads_and_answers(artifact):
    found = measure_cold_start(artifact, ROW, processes=1)
    assert found.n == 1
    assert found.place == open_session(artifact).place
    assert min(found.imports, found.load, found.first_answer) > 0
    assert found.imports + found.load + found.first_answer < found.total < 120_000


def test_a_process_that_cannot_load_the_file_says_why(artifact):
    changed = artifact.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(ModelError, match=r"could not load .*has changed"):
        measure_cold_start(changed, ROW, processes=1)


def test_one_that_never_ends_is_killed(artifact, monkeypatch):
    monkeypatch.setattr(cold_start, "MOST_SECONDS", 0.01)  # Python alone takes longer to start
    with pytest.raises(ModelError, match="exit code -9"):
        measure_cold_start(artifact, ROW, processes=1)


def test_nothing_to_answer_is_refused(artifact):
    with pytest.raises(InputError, match="0 rows"):
        measure_cold_start(artifact, ROW[:0])
