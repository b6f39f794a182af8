"""What ``wfdb:PATH`` takes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import Field

from galenic.tasks.source import Classes, Names, SourceOptions

BEAT_LENGTH, BEFORE_BEAT = 256, 100  # 0.71 s at the 360 Hz of MIT-BIH, of which 0.28 s before the beat


class RowKind(StrEnum):
    """What a row is of."""

    BEATS = "beats"
    RECORDS = "records"


class Missing(StrEnum):
    """What is done about a window with a missing sample."""

    REFUSE = "refuse"
    DROP = "drop"


class WfdbOptions(SourceOptions):
    """What ``wfdb:PATH`` takes."""

    rows: RowKind = Field(default=RowKind.BEATS, description="beats or records")
    leads: Names = Field(
        default=(), description="leads by name or place from 0, in order, such as MLII (default: all, where all agree)"
    )
    length: int | None = Field(
        default=None,
        ge=8,
        description="samples of a window (default: 256 for beats, the whole of records of one length)",
    )
    before: int = Field(default=BEFORE_BEAT, ge=0, description="samples of a beat's window before its annotation")
    hop: int | None = Field(default=None, ge=1, description="samples between windows of a record (default: length)")
    missing: Missing = Field(default=Missing.REFUSE, description="refuse or drop windows with a missing sample")
    annotator: str = Field(default="atr", pattern=r"^\w+$", description="suffix of the annotation files")
    also: Names = Field(
        default=(), description="symbols beyond the AAMI mapping as SYMBOL=CLASS, such as n=S; SYMBOL=- leaves them out"
    )
    classes: Names = Field(
        default=(), description="classes in label order; beats of others are left out (default: all that there are)"
    )
    positive: Classes | None = Field(
        default=None, description="classes that count as disease, by name or index (default: S, V and F of beats)"
    )
    labels: Path | None = Field(
        default=None, description="a CSV of records (default: labels.csv in the folder, if any)"
    )
    record_column: str = Field(default="record", description="the column of the records, as paths without a suffix")
    label_column: str = Field(default="label", description="the column of the records' classes")
    split_column: str | None = Field(default=None, description="the column of train, val and test (default: split)")
    cluster_column: str | None = Field(
        default=None, description="which records are of one patient (default: patient or subject if present)"
    )
    one_record_per_patient: bool = Field(
        default=False, description="say so where each record is of another patient, and no column is needed"
    )
    group_columns: Names = Field(default=(), description="columns that are subgroups, such as sex")
    band: float = Field(default=20, gt=0, description="numeric group columns are cut into bands of this width")
    keep_201: bool = Field(default=True, description="MIT-BIH: 201 is of the same man as 202, which is in the test")
    validation: float = Field(default=0.2, gt=0, lt=0.5, description="share of the records, where no column says")
    test: float = Field(default=0.25, gt=0, lt=0.5, description="share of the records, where nothing says")
