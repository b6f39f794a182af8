import numpy as np
import pytest

from galenic.record.errors import DataError, InputError
from galenic.record.task import Split, SplitName
from galenic.tasks import load_task
from galenic.tasks.overlap import OverlapRule, row_keys, settle_overlap


def split(values, name, clusters=None):
    values = np.asarray(values, dtype=np.float32)[:, None]
    ids = np.array([f"{name}-{row}" for row in range(len(values))])
    return Split(
        values, np.zeros(len(values), dtype=np.int64), ids, clusters=None if clusters is None else np.array(clusters)
    )


def splits(train, validation, test, clusters=(None, None, None)):
    parts = (("train", train), ("val", validation), ("test", test))
    made = [split(values, name, cluster) for (name, values), cluster in zip(parts, clusters, strict=True)]
    return dict(zip((SplitName.TRAIN, SplitName.VALIDATION, SplitName.TEST), made, strict=True))


def test_nothing_shared():
    parts = splits([1, 1, 2], [3], [4, 4])  # rows repeated inside a split are no overlap
    kept, report = settle_overlap("f", parts, "cluster", OverlapRule.REFUSE)
    assert report.total == 0
    assert report.dropped == 0
    assert kept[SplitName.TRAIN] is parts[SplitName.TRAIN]


def test_counts_and_dropped_rows_by_hand():
    # 2 is in train twice and in validation; 3 in train and test; 5 in validation and test twice
    parts = splits([1, 2, 2, 3, 9], [2, 5, 6], [3, 5, 5, 7])
    kept, report = settle_overlap("f", parts, "cluster", OverlapRule.DROP_TRAIN)
    assert (report.train_validation, report.train_test, report.validation_test) == (1, 1, 2)
    assert report.dropped == 4  # 2, 2, 3 from train and 5 from validation
    assert kept[SplitName.TRAIN].inputs[:, 0].tolist() == [1, 9]
    assert kept[SplitName.VALIDATION].inputs[:, 0].tolist() == [2, 6]
    assert kept[SplitName.TEST].inputs[:, 0].tolist() == [3, 5, 5, 7]
    assert kept[SplitName.TRAIN].ids.tolist() == ["train-0", "train-4"]


def test_refusal_names_counts_rows_and_remedy():
    with pytest.raises(DataError) as caught:
        settle_overlap("data.npz", splits([1, 2, 2], [8], [2, 1, 5]), "cluster", OverlapRule.REFUSE)
    assert caught.value.given.startswith("data.npz: ")
    assert "2 of test (first rows 0, 1) are also in train (first rows 0, 1, 2)" in caught.value.given
    assert 'overlap = "drop-train"' in caught.value.todo


def test_the_same_lesion_on_both_sides():
    clusters = (["a", "b", "b"], ["c"], ["b", "d"])
    parts = splits([1, 2, 3], [4], [5, 6], clusters)
    with pytest.raises(DataError, match="identical rows or the same lesion"):
        settle_overlap("f", parts, "lesion", OverlapRule.REFUSE)
    kept, report = settle_overlap("f", parts, "lesion", OverlapRule.DROP_TRAIN)
    assert (report.train_test, report.dropped) == (1, 2)
    assert kept[SplitName.TRAIN].clusters.tolist() == ["a"]


def test_everything_shared_leaves_nothing():
    with pytest.raises(DataError, match="split train: every row"):
        settle_overlap("f", splits([1, 2], [3], [1, 2]), "cluster", OverlapRule.DROP_TRAIN)


def test_keys_differ_by_one_byte_and_not_by_layout():
    rows = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert (row_keys(rows) == row_keys(np.asfortranarray(rows))).all()
    changed = rows.copy()
    changed[1, 2, 3] += 1
    assert (row_keys(rows) == row_keys(changed)).tolist() == [True, False]


def test_through_load_task(arrays, write):
    arrays["test_images"][2] = arrays["train_images"][7]
    arrays["test_images"][4] = arrays["val_images"][0]
    path = write(arrays)
    with pytest.raises(DataError, match="1 of test"):
        load_task(f"npz:{path}")
    task = load_task(f"npz:{path}", overlap="drop-train")
    assert task.overlap.model_dump() == {
        "train_validation": 0,
        "train_test": 1,
        "validation_test": 1,
        "transfer": 0,
        "dropped": 2,
        "by": "identical rows",
    }
    assert (len(task.train), len(task.validation), len(task.test)) == (11, 5, 6)
    assert "train-000007" not in task.calibration.ids


def test_misspelt_rule(arrays, write):
    with pytest.raises(InputError, match="did you mean 'drop-train'"):
        load_task(f"npz:{write(arrays)}", overlap="drop_train")
