import numpy as np
import pytest

from galenic.record.errors import DataError, InputError
from galenic.record.preprocessing import Modality
from galenic.record.task import TaskKind
from galenic.tasks import load_task


def test_layout(arrays, write):
    path = write(arrays)
    task = load_task(f"npz:{path}")
    assert task.name == "data"
    assert task.source == f"npz:{path}"
    assert not task.synthetic
    assert (task.train.inputs == arrays["train_images"][..., None]).all()
    assert task.train.labels.tolist() == [0, 1] * 6
    assert task.train.labels.dtype == np.int64
    assert task.test.ids.tolist() == [f"test-{row:06d}" for row in range(6)]
    assert task.classes == ("0", "1")
    assert task.positive == (1,)
    assert task.kind is TaskKind.SINGLE_LABEL
    assert task.train.masks is None
    assert task.train.clusters is None
    spec = task.preprocessing
    assert (spec.modality, spec.raw_shape, spec.scale) == (Modality.IMAGE, (5, 4, 1), 1 / 255)
    assert spec.mean[0] == pytest.approx(arrays["train_images"].mean() / 255, rel=1e-5)
    assert spec.std[0] == pytest.approx(arrays["train_images"].std() / 255, rel=1e-5)


def test_class_names_and_positive_by_name(arrays, write):
    arrays["class_names"] = np.array(["malignant", "benign"])
    task = load_task(f"npz:{write(arrays)}", positive="malignant")
    assert task.classes == ("malignant", "benign")
    assert task.positive == (0,)


def test_given_classes_go_before_the_file(arrays, write):
    arrays["class_names"] = np.array(["a", "b"])
    assert load_task(f"npz:{write(arrays)}", classes=["no", "yes"]).classes == ("no", "yes")


def test_a_misspelt_positive_names_the_nearest(arrays, write):
    with pytest.raises(InputError, match="did you mean 'malignant'"):
        load_task(f"npz:{write(arrays)}", classes="benign,malignant", positive=["malignnt"])


def test_ids_groups_clusters_masks_and_other_labels(arrays, write):
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        arrays[f"{split}_names"] = np.array([f"{split}{row}.png" for row in range(count)])
        arrays[f"{split}_sex"] = np.array(["f", "m", "f"] * (count // 3))
        arrays[f"{split}_patient"] = np.array([f"{split}-p{row // 2}" for row in range(count)])
        arrays[f"{split}_masks"] = (arrays[f"{split}_images"] > 99).astype(np.uint8)
        arrays[f"{split}_labels3"] = np.arange(count) % 3
    task = load_task(f"npz:{write(arrays)}", id_key="names", group_keys=["sex"], labels_key="labels3")
    assert task.test.ids[5] == "test5.png"
    assert task.test.groups["sex"].tolist() == ["f", "m", "f"] * 2
    assert task.test.clusters.tolist() == ["test-p0", "test-p0", "test-p1", "test-p1", "test-p2", "test-p2"]
    assert (task.test.masks == (arrays["test_images"] > 99)).all()
    assert task.classes == ("0", "1", "2")
    assert task.positive == ()
    assert load_task(f"npz:{write(arrays)}", masks=False).test.masks is None


def test_colour_images(arrays, write):
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = np.stack([arrays[f"{split}_images"]] * 3, axis=-1)
    assert load_task(f"npz:{write(arrays)}").preprocessing.input_shape == (3, 5, 4)


def test_multi_label(arrays, write):
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        arrays[f"{split}_labels"] = np.eye(3, dtype=np.int64)[np.arange(count) % 3]
    task = load_task(f"npz:{write(arrays)}", kind="multi-label")
    assert task.kind is TaskKind.MULTI_LABEL
    assert task.test.labels.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]] * 2
    assert task.test.labels.dtype == np.uint8
    assert task.classes == ("0", "1", "2")
    assert task.positive == (0, 1, 2)


def test_ordinal(arrays, write):
    task = load_task(f"npz:{write(arrays)}", kind="ordinal", classes="mild,severe", positive=[1])
    assert task.kind is TaskKind.ORDINAL
    assert task.positive == (1,)


def test_calibration_is_a_tenth_of_train(write):
    random = np.random.default_rng(3)
    arrays = {}
    for split, count in (("train", 400), ("val", 6), ("test", 6)):
        arrays[f"{split}_images"] = random.integers(0, 256, (count, 4, 4)).astype(np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 4 == 0).astype(np.uint8)
    path = write(arrays)
    task = load_task(f"npz:{path}")
    assert len(task.calibration) == 40
    assert task.calibration.labels.sum() == 10
    assert set(task.calibration.ids) <= set(task.train.ids)
    assert len(task.train) == 400
    assert task.overlap.total == 0
    assert len(load_task(f"npz:{path}", calibration=7).calibration) == 7
    other = load_task(f"npz:{path}", seed=1)
    assert other.calibration.ids.tolist() != task.calibration.ids.tolist()
    assert load_task(f"npz:{path}").content_hash == task.content_hash


def test_csv_join(arrays, write, tmp_path):
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        arrays[f"{split}_ids"] = np.array([f"{split}{row}" for row in range(count)])
    lines = ["image_id,sex,age"]
    names = [f"{split}{row}" for split, count in (("train", 12), ("val", 6), ("test", 6)) for row in range(count)]
    lines += [f"{name},{'fm'[number % 2]},{number * 5 or ''}" for number, name in reversed(list(enumerate(names)))]
    table = tmp_path / "groups.csv"
    table.write_text("\n".join(lines))
    task = load_task(f"npz:{write(arrays)}", groups_csv=str(table), csv_columns=["sex", "age"])
    assert task.train.groups["sex"].tolist() == ["f", "m"] * 6
    assert task.train.groups["age"].tolist()[:6] == ["unknown", "0-19", "0-19", "0-19", "20-39", "20-39"]
    assert task.test.groups["age"].tolist() == ["80-99", "80-99", "100-119", "100-119", "100-119", "100-119"]
    wide = load_task(f"npz:{write(arrays)}", groups_csv=table, csv_band=50)
    assert wide.test.groups["age"].tolist() == ["50-99", "50-99"] + ["100-149"] * 4
    assert set(wide.test.groups) == {"sex", "age"}


@pytest.mark.parametrize(
    ("text", "options", "part"),
    [
        ("image_id,sex\ntrain0,f\n", {}, "split train, row 1: id train1 is not in"),
        ("id,sex\ntrain0,f\n", {}, "'image_id'"),
        ("image_id,sex\n", {"csv_columns": ["sexx"]}, "did you mean 'sex'"),
        ("image_id,sex\na,f\nb,f\na,m\n", {}, "lines 2 and 4: id a stands twice"),
        ("", {}, "the file is empty"),
    ],
)
def test_bad_csv(arrays, write, tmp_path, text, options, part):
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        arrays[f"{split}_ids"] = np.array([f"{split}{row}" for row in range(count)])
    table = tmp_path / "groups.csv"
    table.write_text(text)
    with pytest.raises(InputError) as caught:
        load_task(f"npz:{write(arrays)}", groups_csv=table, **options)
    assert part in str(caught.value)


def test_csv_without_ids_in_the_file(arrays, write, tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("image_id,sex\na,f\n")
    with pytest.raises(DataError, match="no train_ids"):
        load_task(f"npz:{write(arrays)}", groups_csv=table)


def test_breastmnist_is_refused_and_dropped(shared):
    path = shared("breastmnist/breastmnist.npz")
    with pytest.raises(DataError) as caught:
        load_task(f"npz:{path}")
    assert "1 of test (first rows 76) are also in train (first rows 115)" in caught.value.given
    assert "drop-train" in caught.value.todo
    task = load_task(f"npz:{path}", overlap="drop-train", classes="malignant,benign", positive="malignant")
    assert [len(split) for split in task.splits.values()] == [545, 54, 78, 156]
    assert (task.overlap.train_test, task.overlap.dropped) == (1, 1)
    assert "train-000115" not in task.train.ids
    assert (task.test.labels == 0).sum() == 42


def test_pneumoniamnist_has_eight(shared):
    path = shared("pneumoniamnist/pneumoniamnist_rebuilt.npz")
    task = load_task(f"npz:{path}", overlap="drop-train")
    assert task.overlap.train_validation == 8
    assert task.overlap.train_test == 0
    assert task.overlap.dropped == 10  # two of the eight stand twice in train
    assert [len(split) for split in task.splits.values()] == [4698, 200, 524, 624]


def test_busi_with_three_labels_and_masks(shared):
    path = shared("busi/busi_128.npz")
    task = load_task(
        f"npz:{path}", overlap="drop-train", labels_key="labels3", classes="normal,benign,malignant", id_key="names"
    )
    assert np.bincount(task.test.labels).tolist() == [22, 92, 42]
    assert task.test.masks.shape == (156, 128, 128)
    assert not task.test.masks[task.test.labels == 0].any()
    assert task.overlap.train_test == 1


def test_ham10000_joins_its_metadata(shared):
    path = shared("ham10000_64/ham10000_64.npz")
    table = shared("ham10000_64/HAM10000_metadata.csv")
    task = load_task(
        f"npz:{path}", groups_csv=table, csv_columns=["age", "sex", "localization"], positive=["akiec", "bcc", "mel"]
    )
    assert task.classes == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert task.positive == (0, 1, 4)
    assert [len(split) for split in task.splits.values()] == [4189, 200, 597, 1198]
    assert np.isin(task.test.labels, task.positive).sum() == 188
    assert task.train.clusters[0] == "HAM_0003577"
    assert task.overlap.total == 0
    assert task.overlap.by == "identical rows or the same lesion"
    assert set(task.test.groups["sex"]) == {"male", "female", "unknown"}
    assert set(task.test.groups["age"]) == {"0-19", "20-39", "40-59", "60-79", "80-99", "unknown"}
    row = task.train.ids.tolist().index("ISIC_0024307")
    line = next(text for text in table.read_text().splitlines() if "ISIC_0024307" in text).split(",")
    assert task.train.groups["localization"][row] == line[6]
    assert task.train.groups["sex"][row] == line[5]
