import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from galenic.record.errors import DataError, InputError, MissingPackage
from galenic.record.task import SplitName
from galenic.tasks import load_task
from galenic.tasks.mitbih import AAMI_OF_SYMBOL, DS1, DS2, PACED
from galenic.tasks.wfdb_records import MOST_SAMPLES, require_wfdb

GAIN, HZ, SAMPLES = 200, 360, 1200
BEATS = np.arange(60, 1140, 60)  # 18 beats, at 60, 120, ... 1080
SYMBOLS = "NLRejNAaJSNVENFNVA"


def digital(name, leads):
    """(time, lead) integers that belong to the record of that name."""
    return np.random.default_rng(int.from_bytes(name.encode()[-6:], "big")).integers(-1000, 1000, (SAMPLES, leads))


def write(root, name, leads=("MLII", "V5"), hz=HZ, beats=BEATS, symbols=SYMBOLS, units="mV", fmt="16", values=None):
    """A record of random samples with its annotations, by wfdb itself."""
    wfdb = require_wfdb()
    folder = root / Path(name).parent
    folder.mkdir(parents=True, exist_ok=True)
    signal = digital(name, len(leads)) if values is None else values
    plain = Path(name).name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wfdb.wrsamp(
            plain,
            fs=hz,
            units=[units] * len(leads),
            sig_name=list(leads),
            d_signal=signal,
            fmt=[fmt] * len(leads),
            adc_gain=[float(GAIN)] * len(leads),
            baseline=[0] * len(leads),
            comments=["69 M 1085 1629 x1", "Aldomet, Inderal"],
            write_dir=str(folder),
        )
        if beats is not None:
            wfdb.wrann(plain, "atr", np.asarray(beats), symbol=list(symbols), write_dir=str(folder))


def load(root, **options):
    options = {"length": 40, "before": 10, **options}
    return load_task(f"wfdb:{root}", **options)


def named_rows(task):
    return {
        case: (row, task.classes[label])
        for split in (task.train, task.validation, task.test)
        for case, row, label in zip(split.ids, split.inputs, split.labels, strict=True)
    }


@pytest.fixture
def root(tmp_path):
    """Ten records of ten people."""
    root = tmp_path / "holter"
    for number in range(10):
        write(root, f"r{number}")
    return root


@pytest.fixture(scope="module")
def mitbih(tmp_path_factory):
    """Records by the names of the MIT-BIH Arrhythmia Database; 114 has its leads the other way round, as there."""
    root = tmp_path_factory.mktemp("mitdb")
    rare = "NNNNNNNNAVNNNNNNNN"
    for name in (*DS1, *DS2, *PACED):
        symbols = "/" * 18 if name in PACED else SYMBOLS if int(name) % 3 else rare
        write(root, name, leads=("V5", "MLII") if name == "114" else ("MLII", "V5"), symbols=symbols)
    return root


def test_every_beat_is_a_window_of_what_was_written(root):
    task = load(root, one_record_per_patient=True)
    assert task.classes == ("N", "S", "V", "F")
    assert task.positive == (1, 2, 3)
    assert task.preprocessing.raw_shape == (40, 2)
    assert task.name == "holter: beats, MLII, V5 at 360 Hz"
    rows = named_rows(task)
    assert len(rows) == 180
    for name in (f"r{number}" for number in range(10)):
        values = digital(name, 2)
        for beat, symbol in zip(BEATS, SYMBOLS, strict=True):
            row, found = rows[f"{name}@{beat}"]
            assert np.array_equal(row, (values[beat - 10 : beat + 30] / GAIN).astype(np.float32))
            assert found == AAMI_OF_SYMBOL[symbol]


@pytest.mark.parametrize("fmt", ["212", "24", "80"])
def test_other_formats_of_signals(tmp_path, fmt):
    for number in range(6):
        values = np.random.default_rng(number).integers(-100, 100, (SAMPLES, 1))
        write(tmp_path, f"r{number}", leads=("MLII",), fmt=fmt, values=values)
    rows = named_rows(load(tmp_path, one_record_per_patient=True))
    wanted = np.random.default_rng(4).integers(-100, 100, (SAMPLES, 1))[110:150] / GAIN
    assert np.array_equal(rows["r4@120"][0], wanted.astype(np.float32))


def test_windows_over_an_end_are_left_out(root):
    # 60 - 61 < 0; 1080 + 139 > 1200 and 1020 + 139 <= 1200
    task = load(root, one_record_per_patient=True, before=61, length=200)
    assert len(named_rows(task)) == 160
    assert {case.partition("@")[2] for case in task.train.ids} == {str(beat) for beat in BEATS[1:-1]}


def test_no_patient_stands_on_two_sides(root):
    task = load(root, one_record_per_patient=True)
    sides = [set(split.clusters) for split in (task.train, task.validation, task.test)]
    assert [len(side) for side in sides] == [6, 2, 2]  # round(0.2 * 10), round(0.25 * 10) of even
    assert len(set.union(*sides)) == 10
    assert np.array_equal(task.train.clusters, task.train.groups["record"])
    assert set(task.calibration.ids) <= set(task.train.ids)
    assert load(root, one_record_per_patient=True).content_hash == task.content_hash
    assert load(root, one_record_per_patient=True, seed=1).content_hash != task.content_hash
    with pytest.raises(DataError, match="nothing says which records are of one patient"):
        load(root)


def test_a_csv_gives_patients_sides_and_subgroups(root):
    sides = ("train", "train", "train", "train", "val", "val", "test", "test", "test", "test")
    lines = [f"r{n},p{n // 2},{side},{'FM'[n % 2]}" for n, side in enumerate(sides)]
    (root / "labels.csv").write_text("\n".join(["record,patient,split,sex", *lines[:9]]) + "\n")
    task = load(root, group_columns="sex")
    assert set(task.train.groups["record"]) == {"r0", "r1", "r2", "r3"}
    assert set(task.train.clusters) == {"p0", "p1"}
    assert set(task.validation.clusters) == {"p2"}
    assert set(task.test.groups["record"]) == {"r6", "r7", "r8"}
    assert set(task.test.groups["sex"]) == {"F", "M"}
    lines[0] = "r0,p3,train,F"
    (root / "labels.csv").write_text("\n".join(["record,patient,split,sex", *lines]) + "\n")
    with pytest.raises(DataError, match="the same patient"):
        load(root)
    (root / "labels.csv").write_text("\n".join(["record,patient", *(f"r{n},p{n // 2}" for n in range(10))]) + "\n")
    drawn = load(root)
    assert not set(drawn.train.clusters) & set(drawn.test.clusters)
    assert sum(len(set(split.clusters)) for split in (drawn.train, drawn.validation, drawn.test)) == 5


def test_mitbih_is_divided_as_in_the_paper(mitbih):
    task = load(mitbih, leads="MLII")
    assert task.name.endswith("beats, MLII at 360 Hz, de Chazal's split (22 of 22 records of DS1, 22 of 22 of DS2)")
    assert set(task.test.clusters) == set(DS2)
    train, validation = set(task.train.clusters), set(task.validation.clusters)
    assert train | validation == set(DS1)
    assert len(validation) == 4
    for split in (task.train, task.validation, task.test):
        assert set(split.labels) == {0, 1, 2, 3}
    # 114 has MLII in the second place
    row, _ = named_rows(task)["114@120"]
    assert np.array_equal(row, (digital("114", 2)[110:150, 1:] / GAIN).astype(np.float32))
    without = load(mitbih, leads="MLII", keep_201=False)
    assert "(21 of 22 records of DS1, 22 of 22 of DS2)" in without.name
    assert "201" not in {*without.train.clusters, *without.validation.clusters}
    assert "202" in without.test.clusters


def test_a_split_of_ones_own_goes_before_that_of_the_paper(mitbih, tmp_path):
    sides = {"101": "train", "201": "train", "100": "val", "103": "test"}
    path = tmp_path / "mine.csv"
    path.write_text("record,split\n" + "".join(f"{name},{side}\n" for name, side in sides.items()))
    task = load(mitbih, labels=str(path), leads="0")
    assert set(task.train.clusters) == {"101", "201"}
    assert "de Chazal" not in task.name


def test_classes_that_are_named_leave_the_others_out(mitbih):
    task = load(mitbih, leads="MLII", classes="N,V")
    assert task.classes == ("N", "V")
    assert task.positive == (1,)
    assert len(named_rows(task)) < len(named_rows(load(mitbih, leads="MLII")))
    with pytest.raises(DataError, match="no beat of class Q; expected some of N, S, V, F, Q"):
        load(mitbih, leads="MLII", classes="N,Q")


def test_leads_have_to_be_said_where_records_differ(mitbih):
    with pytest.raises(InputError, match=r"114 has V5, MLII; expected leads that every record has \(MLII, V5\)"):
        load(mitbih)
    with pytest.raises(InputError, match="the lead 'mlii' stands there 0 times"):
        load(mitbih, leads="mlii")
    with pytest.raises(InputError, match="the lead '2'"):
        load(mitbih, leads="2")
    two = load(mitbih, leads="V5,MLII")
    assert np.array_equal(named_rows(two)["100@120"][0], (digital("100", 2)[110:150, ::-1] / GAIN).astype(np.float32))


def test_symbols_without_a_class_are_asked_for(root):
    write(root, "r3", symbols="n" + SYMBOLS[1:])
    with pytest.raises(DataError, match=r"record r3: 1 annotations 'n'.*also = n=S"):
        load(root, one_record_per_patient=True)
    assert named_rows(load(root, one_record_per_patient=True, also="n=S"))["r3@60"][1] == "S"
    assert "r3@60" not in named_rows(load(root, one_record_per_patient=True, also="n=-"))
    with pytest.raises(InputError, match="also = 'nS'"):
        load(root, one_record_per_patient=True, also="nS")


def test_rhythms_and_noise_are_no_beats(root):
    write(root, "r3", symbols="+~|" + SYMBOLS[3:])
    rows = named_rows(load(root, one_record_per_patient=True))
    assert "r3@60" not in rows
    assert "r3@240" in rows
    assert len(rows) == 177


def test_another_frequency_is_refused_by_name(root):
    write(root, "r7", hz=250)
    with pytest.raises(DataError, match=r"1 of 10 records are not sampled at 360 Hz: r7 \(250 Hz\).*resample"):
        load(root, one_record_per_patient=True)


def test_other_units_are_refused(root):
    write(root, "r7", units="uV")
    with pytest.raises(DataError, match="record r0 is in mV, mV, r7 in uV, uV"):
        load(root, one_record_per_patient=True)


def test_missing_samples(root):
    values = digital("r5", 2)
    values[125, 1] = -32768  # how format 16 says that there is none
    write(root, "r5", values=values)
    with pytest.raises(DataError, match=r"record r5: 1 of 18 windows have missing samples, first r5@120"):
        load(root, one_record_per_patient=True)
    rows = named_rows(load(root, one_record_per_patient=True, missing="drop"))
    assert "r5@120" not in rows
    assert len(rows) == 179


def test_whole_records_by_a_csv(root):
    lines = [f"r{number},{'af' if number % 2 else 'sinus'},p{number // 2}" for number in range(10)]
    (root / "labels.csv").write_text("\n".join(["record,label,patient", *lines]) + "\n")
    task = load_task(f"wfdb:{root}", rows="records", leads="V5", classes="sinus,af")
    assert task.classes == ("sinus", "af")
    assert task.positive == (1,)
    assert task.preprocessing.raw_shape == (SAMPLES, 1)
    rows = named_rows(task)
    assert np.array_equal(rows["r3@0"][0], (digital("r3", 2)[:, 1:] / GAIN).astype(np.float32))
    assert rows["r3@0"][1] == "af"
    windows = load_task(f"wfdb:{root}", rows="records", length=500, hop=350)
    cut = named_rows(windows)
    assert len(cut) == 30
    assert np.array_equal(cut["r8@700"][0], (digital("r8", 2)[700:1200] / GAIN).astype(np.float32))
    assert not set(windows.train.clusters) & set(windows.test.clusters)
    with pytest.raises(DataError, match="length of at most 1200"):
        load_task(f"wfdb:{root}", rows="records", length=1300)
    write(root, "r2", values=digital("r2", 2)[:900], beats=None)
    with pytest.raises(DataError, match=r"records of 900 \(r2\) to 1200 samples"):
        load_task(f"wfdb:{root}", rows="records")
    (root / "labels.csv").unlink()
    with pytest.raises(DataError, match=r"no labels\.csv"):
        load_task(f"wfdb:{root}", rows="records")


def test_the_file_records_says_which(root):
    for number in range(8):
        write(root, f"more/s{number}")
    (root / "RECORDS").write_text("".join(f"more/s{number}\n" for number in range(8)))
    rows = named_rows(load(root, one_record_per_patient=True))
    assert {case.partition("@")[0] for case in rows} == {f"more/s{number}" for number in range(8)}
    (root / "RECORDS").write_text("more/s1\nmore/s9\n")
    with pytest.raises(DataError, match=r"no header more/s9\.hea"):
        load(root, one_record_per_patient=True)
    for name in ("../r1", "/etc/x", "http://a/b", "a::b", "more/"):
        (root / "RECORDS").write_text(f"{name}\n")
        with pytest.raises(DataError, match="a record called"):
            load(root, one_record_per_patient=True)


def header(root, line, *more):
    (root / "r2.hea").write_text("\n".join([line, *more]) + "\n")


DAT = "r2.dat 16 200(0)/mV 16 0 0 0 0 MLII"


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        ((), "header that cannot be read"),
        (("what is this",), "header that cannot be read"),
        (("r2 2 360 1200", DAT), "2 signals of 1200 samples, 1 signal lines"),
        (("r2 0 360 1200",), "0 signals"),
        (("r2 1 360", DAT), "1 signals of None samples"),
        (("r2 1 0 1200", DAT), "0 samples a second"),
        (("r2 1 360 9999999", DAT), "r2.dat has 4800 bytes; expected at least 19999998 bytes"),
        ((f"r2 1 360 {MOST_SAMPLES + 1}", DAT), "at most 536,870,912 samples"),
        (("r2 1 360 1200", DAT.replace("16 200", "16x4 200")), "several sampling frequencies"),
        (("r2 1 360 1200", DAT.replace("16 200", "77 200")), "format 77"),
        (("r2 1 360 1200", DAT.replace("r2.dat", "none.dat")), "none.dat is not there"),
        (("r2/2 1 360 1200", "a 600", "b 600"), "2 segments"),
    ],
)
def test_damaged_headers_are_named_before_a_signal_is_read(root, lines, part):
    header(root, *(lines or ("",)))
    with pytest.raises(DataError, match="record r2: ") as caught:
        load(root, one_record_per_patient=True, leads="0")
    assert part in str(caught.value)


def test_a_truncated_signal_and_truncated_annotations(root):
    whole = (root / "r2.dat").read_bytes()
    (root / "r2.dat").write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"record r2: r2\.dat has 4799 bytes; expected at least 4800"):
        load(root, one_record_per_patient=True)
    (root / "r2.dat").write_bytes(whole)
    marks = (root / "r2.atr").read_bytes()
    for data in (b"", b"\0", marks[:-2], marks[:7]):
        (root / "r2.atr").write_bytes(data)
        with pytest.raises(DataError, match=r"record r2: r2\.atr ends early"):
            load(root, one_record_per_patient=True)
    for data in (marks[:1] + marks, bytes([255, 63 << 2, 0, 0]), bytes([0, 59 << 2] * 3 + [0, 0])):
        (root / "r2.atr").write_bytes(data)
        with pytest.raises(DataError, match=r"record r2: annotations \.atr that cannot be read"):
            load(root, one_record_per_patient=True)
    (root / "r2.atr").unlink()
    with pytest.raises(DataError, match=r"record r2: no annotations r2\.atr"):
        load(root, one_record_per_patient=True)


def test_annotations_of_another_record(root):
    write(root, "r2", beats=[*BEATS[:-1], 5000])
    with pytest.raises(DataError, match="record r2: an annotation at sample 5000"):
        load(root, one_record_per_patient=True)
    shutil.copy(root / "r3.atr", root / "r2.atr")
    assert len(named_rows(load(root, one_record_per_patient=True))) == 180


def test_annotations_that_count_in_another_frequency(root):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas
        require_wfdb().wrann("r2", "atr", BEATS, symbol=list(SYMBOLS), fs=128, write_dir=str(root))
    with pytest.raises(DataError, match="record r2: annotations at 128 Hz, signals at 360 Hz"):
        load(root, one_record_per_patient=True)


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no such folder"):
        load(tmp_path / "nothing")
    with pytest.raises(DataError, match="no records"):
        load(tmp_path)
    with pytest.raises(InputError, match="greater than or equal to 8"):
        load(tmp_path, length=3)
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(MissingPackage) as caught:
        load(tmp_path)
    assert caught.value.todo == "pip install 'galenic[wfdb]'"


def test_nothing_of_the_header_comments_is_kept(root):
    task = load(root, one_record_per_patient=True)
    assert "Aldomet" in (root / "r1.hea").read_text()
    kept = f"{task!r}{task.train.ids.tolist()}{task.train.groups}"
    assert "Aldomet" not in kept


def test_wfdb_opens_no_connection(root):
    code = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): raise SystemExit('a connection')\n"
        "socket.socket.connect = refuse\n"
        "from galenic.tasks import load_task\n"
        f"load_task('wfdb:{root}', one_record_per_patient=True, length=40, before=10)\n"
        "print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


def test_every_side_of_the_folder_is_there(tmp_path):
    for number in range(2):
        write(tmp_path, f"r{number}")
    with pytest.raises(DataError, match="2 records to divide; expected at least 3"):
        load(tmp_path, one_record_per_patient=True)
    write(tmp_path, "r2")
    task = load(tmp_path, one_record_per_patient=True)
    assert [len(task.splits[name]) for name in (SplitName.TRAIN, SplitName.VALIDATION, SplitName.TEST)] == [18] * 3
