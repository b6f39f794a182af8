"""From a source's rows to a Task: checks, overlap, calibration rows, preprocessing.

Calibration rows are a seeded, stratified sample of the training rows (the smaller of ``calibration`` and 10 % of them).
Training sees them too: quantization ranges are found on them, never a number that is reported. They keep their training
ids. Calibration is never taken from validation or test.
"""

from __future__ import annotations

from galenic.preprocess.fit import fit_preprocessing
from galenic.record.task import SplitName, Task
from galenic.tasks.checks import check_splits, check_task
from galenic.tasks.labels import check_range
from galenic.tasks.overlap import OverlapRule, settle_overlap
from galenic.tasks.source import RawTask, SourceOptions
from galenic.tasks.split import sample_rows


def build_task(raw: RawTask, source: str, rule: OverlapRule, options: SourceOptions) -> Task:
    """The checked task; DataError names the file, the split and the row of whatever cannot be used."""
    check_splits(raw.where, raw.splits)
    for name, split in raw.splits.items():
        check_range(raw.where, name.value, split.labels, raw.classes)
    splits, overlap = settle_overlap(raw.where, raw.splits, raw.cluster_name, rule)
    train = splits[SplitName.TRAIN]
    if SplitName.CALIBRATION not in splits:
        count = min(options.calibration, max(1, len(train) // 10))
        splits[SplitName.CALIBRATION] = train.take(sample_rows(train.labels, count, options.seed))
    check_task(raw.where, raw.kind, raw.classes, splits)
    return Task(
        name=raw.name,
        kind=raw.kind,
        classes=raw.classes,
        positive=raw.positive,
        splits={name: splits[name] for name in SplitName},
        preprocessing=fit_preprocessing(raw.modality, train.inputs, raw.scale, raw.text, raw.picture),
        source=source,
        synthetic=raw.synthetic,
        overlap=overlap,
    )
