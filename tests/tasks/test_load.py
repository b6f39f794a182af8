import subprocess
import sys

import pytest

from galenic.record.errors import InputError
from galenic.tasks import SOURCES, load_task


def test_the_sources():
    assert [source.form for source in SOURCES] == [
        "lesions",
        "rhythm",
        "digits",
        "wisconsin",
        "mnist",
        "cifar10",
        "medmnist:FLAG[@SIZE]",
        "npz:PATH",
        "folder:PATH",
        "dicom:PATH",
        "signals:PATH",
        "wfdb:PATH",
        "text:PATH",
    ]


def test_every_source_and_option_is_described():
    for source in SOURCES:
        assert source.summary
        for name, _, description in source.option_table():
            assert description, f"{source.prefix}: {name}"


@pytest.mark.parametrize(
    ("source", "options", "part"),
    [
        ("lesion", {}, "did you mean 'lesions'?"),
        ("qqq", {}, "one of lesions, rhythm"),
        ("npz", {}, "expected npz:PATH"),
        ("npz:", {}, "expected npz:PATH"),
        ("digits:x", {}, "leave out the colon"),
        ("lesions", {"sise": 64}, "did you mean 'size'?"),
        ("lesions", {"size": "large"}, "lesions: size='large'; expected a valid integer"),
        ("lesions", {"size": 4}, "greater than or equal to 16 (side of the images in pixels)"),
        ("npz:x", {"kind": "multilabel"}, "'single-label', 'multi-label' or 'ordinal'"),
        ("digits", {"overlap": "drop"}, "did you mean 'drop-train'?"),
        ("digits", {"calibration": 0}, "calibration=0"),
    ],
)
def test_misspelt(source, options, part):
    with pytest.raises(InputError) as caught:
        load_task(source, **options)
    assert part in str(caught.value)


def test_importing_tasks_brings_no_heavy_library():
    code = (
        "import sys, galenic.tasks, galenic.preprocess.transform;"
        "print([m for m in ('torch', 'sklearn', 'scipy', 'pooch', 'pandas', 'pydicom', 'wfdb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("package", "source"), [("sklearn", "digits"), ("pooch", "mnist")])
def test_a_missing_library_is_said_with_its_command(monkeypatch, package, source):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError) as caught:
        load_task(source)
    assert caught.value.code == "missing-package"
    assert caught.value.todo == "pip install 'galenic[forge]'"
