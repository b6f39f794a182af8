"""The ledger counts reads per test set and notices what was changed afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from galenic.record.errors import StoreError
from galenic.record.gate import Floors, Margins
from galenic.store.ledger import Ledger, Read


def a_read(split_hash: str, margin: float = 0.02) -> Read:
    return Read(
        split_hash=split_hash, purpose="gate", subject="f", margins=Margins(auc=margin), floors=Floors(), alpha=0.025
    )


def test_reads_are_counted_per_test_set(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert ledger.enter(a_read("one")) == 1
    assert ledger.enter(a_read("two")) == 1
    assert ledger.enter(a_read("one", 0.05)) == 2
    assert [read.margins.auc for read in ledger.reads("one")] == [0.02, 0.05]
    assert all(read.time.endswith("+00:00") for read in ledger.reads("one"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("0.02", "0.09"),
        lambda text: "\n".join(text.splitlines()[1:]) + "\n",
        lambda text: text[:-20] + "\n",
    ],
)
def test_a_changed_cut_or_removed_line_is_reported(tmp_path: Path, damage) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.enter(a_read("one"))
    ledger.enter(a_read("one", 0.05))
    path.write_text(damage(path.read_text()))
    with pytest.raises(StoreError, match="was changed or cut"):
        ledger.enter(a_read("one"))
