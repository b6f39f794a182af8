import pytest

from galenic.record.errors import DataError, InputError
from galenic.record.task import SplitName
from galenic.tasks.csv_rows import read_csv
from galenic.tasks.csv_sides import read_classes, read_groups, read_sides, says_order


def table(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return read_csv(path)


def test_classes_in_the_order_of_numbers_or_letters(tmp_path):
    rows = table(tmp_path, "label,grade\nb,10\na,9\nb,0\n")
    classes, labels = read_classes(rows, "label", ())
    assert (classes, labels.tolist()) == (("a", "b"), [1, 0, 1])
    classes, labels = read_classes(rows, "grade", ())
    assert (classes, labels.tolist()) == (("0", "9", "10"), [2, 1, 0])
    assert read_classes(rows, "label", ("b", "a"))[1].tolist() == [0, 1, 0]
    with pytest.raises(DataError, match=r"line 3: the label 'a'; expected one of the classes b, c"):
        read_classes(rows, "label", ("b", "c"))


def test_the_alphabet_says_no_order():
    assert says_order((), ("0", "1"))
    assert says_order(("b", "a"), ("b", "a"))
    assert not says_order((), ("a", "b"))


def test_sides(tmp_path):
    rows = table(tmp_path, "x,split,mine\n1,train,TEST\n2,valid,dev\n3,test,train\n")
    assert read_sides(rows, None) == (SplitName.TRAIN, SplitName.VALIDATION, SplitName.TEST)
    assert read_sides(rows, "mine") == (SplitName.TEST, SplitName.VALIDATION, SplitName.TRAIN)
    assert read_sides(table(tmp_path, "x\n1\n"), None) is None
    with pytest.raises(InputError, match="did you mean 'split'"):
        read_sides(rows, "splits")
    with pytest.raises(DataError, match="split validation: 0 rows in the column split"):
        read_sides(table(tmp_path, "split\ntrain\ntest\n"), None)


def test_groups_are_unknown_where_a_cell_is_empty_and_numbers_become_bands(tmp_path):
    ages = [31, 45, 52, 58, 61, 64, 70, 77, 83]
    rows = table(tmp_path, "sex,age\n" + "".join(f"{'F' if age > 50 else ''},{age}\n" for age in ages))
    groups = read_groups(rows, ("sex", "age"), 20)
    assert groups["sex"].tolist() == ["unknown", "unknown", *["F"] * 7]
    assert groups["age"].tolist()[:3] == ["20-39", "40-59", "40-59"]
