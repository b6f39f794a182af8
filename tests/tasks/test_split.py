import numpy as np

from galenic.tasks.split import sample_rows, three_ways


def test_sample_keeps_the_shares():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    rows = sample_rows(labels, 10, seed=0)
    assert np.bincount(labels[rows]).tolist() == [5, 3, 2]
    assert len(set(rows)) == 10
    assert (np.diff(rows) > 0).all()


def test_largest_remainders_add_up():
    labels = np.repeat([0, 1, 2], [5, 3, 3])  # shares of 4: 1.82, 1.09, 1.09
    assert np.bincount(labels[sample_rows(labels, 4, seed=1)]).tolist() == [2, 1, 1]


def test_more_than_there_is():
    assert sample_rows(np.array([0, 1, 1]), 9, seed=0).tolist() == [0, 1, 2]


def test_seeds():
    labels = np.arange(100) % 2
    assert sample_rows(labels, 20, 0).tolist() == sample_rows(labels, 20, 0).tolist()
    assert sample_rows(labels, 20, 0).tolist() != sample_rows(labels, 20, 1).tolist()


def test_multi_label_by_any_finding():
    labels = np.array([[0, 0]] * 30 + [[1, 0]] * 5 + [[0, 1]] * 5, dtype=np.uint8)
    assert labels[sample_rows(labels, 8, 0)].any(axis=1).sum() == 2


def test_three_ways_by_hand():
    labels = np.repeat([0, 1], [40, 20])
    train, validation, test = three_ways(labels, np.arange(60), 0.1, 0.25, seed=0)
    assert np.bincount(labels[train]).tolist() == [26, 13]
    assert np.bincount(labels[validation]).tolist() == [4, 2]
    assert np.bincount(labels[test]).tolist() == [10, 5]
    assert sorted([*train, *validation, *test]) == list(range(60))


def test_rows_that_belong_together_stay_together():
    together = np.arange(90) // 3
    sides = three_ways((together % 2), together, 0.2, 0.2, seed=4)
    owners = [set(together[side]) for side in sides]
    assert all(owners)
    assert not (owners[0] & owners[1])
    assert not (owners[0] & owners[2])
    assert not (owners[1] & owners[2])
