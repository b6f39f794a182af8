"""The last model of a recipe as files, each with its card and its parity; nothing is read of the test set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.torch import save_file

from galenic.exporters import tensorrt_rules
from galenic.pipeline import export as exporting
from galenic.pipeline import file_stages
from galenic.pipeline.card import read_card
from galenic.pipeline.export import Exportable, export, load_exportable
from galenic.pipeline.file_stages import Exported
from galenic.pipeline.recipes import parse_recipe
from galenic.pipeline.run import compress
from galenic.pipeline.setting import Setting
from galenic.pipeline.web import WebWish
from galenic.preprocess.transform import to_inputs
from galenic.record.errors import DataError, ExitCode, InputError, MissingPackage, ModelError, RecipeError
from galenic.record.export import ExportResult, FailedExport
from galenic.record.task import SplitName
from galenic.runtimes import tensorrt
from galenic.runtimes.load import open_session
from galenic.store.files import file_sha256
from galenic.store.stages import Store
from galenic.tasks.load import load_task
from galenic.zoo.build import build
from galenic.zoo.model import Model

EXACT = 'epochs = 1\nlearning_rate = 1e-2\nflips = "none"\nprecision = "float32"\nmemory_format = "contiguous"\n'
HEAD = """
name = "small"
threads = 1
[gate.margins]
auc = 0.1
[measure]
runs = 20
warmup = 1
[task]
source = "wisconsin"
[reference]
model = "mlp"
options = { hidden = [8] }
"""
TRAINED = HEAD + f"[reference.training]\n{EXACT}"
INT8 = '[[phase]]\nmethod = "static_int8"\n[phase.options.static_int8]\nobserver = "mse"\ntune_ranges = false\n'


def exportable(text: str) -> Exportable:
    return Exportable(parse_recipe(text, "r.toml"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.mark.slow
def test_each_runtime_gets_a_file_with_its_card_and_its_parity(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[SplitName] = []
    predict = file_stages.predict
    monkeypatch.setattr(file_stages, "predict", lambda *given: read.append(given[2]) or predict(*given))
    named, folder, told = ("openvino", "onnxruntime", "openvino"), tmp_path / "out", []
    made = export(exportable(TRAINED + INT8), store, named, folder, None, lambda *given: told.append(given[0]))
    assert set(read) <= {SplitName.VALIDATION}
    assert not (store.root / "ledger.jsonl").exists()
    result = ExportResult.model_validate_json((folder / "export.json").read_text())
    assert result == made.result
    assert made.folder == folder
    assert (result.title, result.split, result.page) == ("mlp + supervised + static_int8", "validation", None)
    assert [file.runtime for file in result.files] == ["openvino", "onnxruntime"], "each once, in the order given"
    task = load_task("wisconsin")
    rows = to_inputs(task.preprocessing, task.validation.inputs)
    for file in result.files:
        path = folder / file.path
        assert (file_sha256(path), path.stat().st_size) == (file.sha256, file.size_bytes)
        card = read_card(path)
        assert card is not None
        assert (card.sha256, card.preprocessing, card.classes) == (file.sha256, task.preprocessing, task.classes)
        assert np.isfinite(open_session(card.model_copy(update={"path": path})).run(rows)).all()
        assert file.parity is not None
        assert (file.parity.agreement, file.parity.n) == (1.0, len(rows))
        assert file.parity.against == "its simulation"
        assert file.parity.relative_difference is not None
        assert file.integer_ops is not None
        assert file.integer_ops.expected == 2
    assert {"loading the task", "exporting for openvino", "exporting for onnxruntime"} <= set(told)


def test_what_is_finished_is_not_done_again_and_goes_to_the_same_folder(store: Store) -> None:
    first = export(exportable(TRAINED + INT8), store)
    stages = {path: path.stat().st_mtime_ns for path in (store.root / "stages").glob("*/result.json")}
    again = export(exportable(TRAINED + INT8), store)
    assert (again.folder, again.result) == (first.folder, first.result), "the seconds are those of when it was made"
    assert 0 < (first.result.files[0].seconds or 0) < 60
    assert first.folder.parent == store.root / "runs"
    assert {path: path.stat().st_mtime_ns for path in (store.root / "stages").glob("*/result.json")} == stages
    assert [file.runtime for file in first.result.files] == ["onnxruntime"], "the recipe's own"
    assert export(exportable(TRAINED + INT8), store, ["openvino"]).folder != first.folder


def test_without_phases_the_reference_is_exported_and_a_student_where_there_is_one(
    store: Store, tmp_path: Path
) -> None:
    plain = export(exportable(TRAINED), store).result
    assert plain.title == "mlp + supervised"
    assert plain.files[0].parity is not None
    assert plain.files[0].parity.max_difference < 1e-4
    weights = build("mlp", (30,), 2, options={"hidden": [4]}).module.state_dict()
    save_file(weights, tmp_path / "weights.safetensors")
    student = f'[student]\nmodel = "mlp"\noptions = {{ hidden = [4] }}\nweights = "{tmp_path}/weights.safetensors"\n'
    given = export(exportable(TRAINED + student), store).result
    assert given.title == "mlp"
    assert given.files[0].size_bytes < plain.files[0].size_bytes


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without an NVIDIA card, whatever this one has."""
    monkeypatch.setattr(tensorrt, "CARDS", ())
    monkeypatch.setattr(tensorrt, "which", lambda name: None)


def test_a_file_for_tensorrt_is_written_without_a_card_and_says_that_it_was_not_run(
    store: Store, tmp_path: Path, no_card: None
) -> None:
    made = export(exportable(TRAINED + INT8), store, ["tensorrt", "onnxruntime"], tmp_path)
    file, other = ExportResult.model_validate_json((tmp_path / "export.json").read_text()).files
    assert (file.runtime, file.precision, file.parity, file.caveat) == (
        "tensorrt", "int8", None, "not run: no NVIDIA card here"
    )  # fmt: skip
    assert other.parity is not None
    assert made.exit_code == ExitCode.PASS
    operations = {node.op_type for node in onnx.load(tmp_path / file.path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operations
    assert tensorrt_rules.rules(onnx.load(tmp_path / file.path)) == []
    card = read_card(tmp_path / file.path)
    assert card is not None
    assert card.runtime == "tensorrt"


def test_compress_for_tensorrt_without_a_card_is_refused_before_any_work(tmp_path: Path, no_card: None) -> None:
    recipe = exportable('runtime = "tensorrt"\n' + TRAINED + INT8).recipe
    with pytest.raises(MissingPackage, match="the runtime tensorrt, not run: no NVIDIA card here; expected a machine"):
        compress(recipe, Store(tmp_path / "store"))
    assert not (tmp_path / "store").exists()


def test_what_one_runtime_cannot_have_does_not_stop_the_others(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = exporting.timed_export

    def refusing(setting: Setting, model: Model, runtime: str) -> Exported:
        if runtime == "openvino":
            raise ModelError("an operation", "another", "replace it")
        return plain(setting, model, runtime)

    monkeypatch.setattr(exporting, "timed_export", refusing)
    made = export(exportable(TRAINED), store, ["openvino", "onnxruntime"], tmp_path)
    result = ExportResult.model_validate_json((tmp_path / "export.json").read_text())
    assert made.exit_code == ExitCode.USAGE
    assert [file.runtime for file in result.files] == ["onnxruntime"]
    assert result.failed == (
        FailedExport(what="openvino", given="an operation", expected="another", todo="replace it"),
    )
    export(exportable(TRAINED), store, ["openvino"], tmp_path / "alone")
    assert ExportResult.model_validate_json((tmp_path / "alone" / "export.json").read_text()).files == ()


def test_the_recipes_own_runtime_is_needed_where_it_answers_alone(
    store: Store, tmp_path: Path, no_card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = 'runtime = "tensorrt"\n'
    files = export(exportable(own + TRAINED), store, ["onnxruntime"], tmp_path).result.files
    assert [file.runtime for file in files] == ["onnxruntime"]
    taught = f'[student]\nmodel = "mlp"\n[[phase]]\nmethod = "soft_target"\n[phase.training]\n{EXACT}'
    with pytest.raises(MissingPackage, match="the runtime tensorrt, not run"):
        export(exportable(own + TRAINED + taught), Store(tmp_path / "store"), ["onnxruntime"])
    timed = '[[phase]]\nmethod = "mixed_precision"\n[phase.options.mixed_precision.budget]\nlatency_ms = 1.0\n'
    with pytest.raises(MissingPackage, match="the runtime tensorrt, not run"):
        export(exportable(own + TRAINED + timed), Store(tmp_path / "store"), ["onnxruntime"])
    assert not (tmp_path / "store").exists()


def test_the_profiles_device_has_every_runtime_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="the runtime 'openvino' for the profile watch"):
        export(exportable('profile = "watch"\n' + TRAINED), Store(tmp_path / "store"), ["onnxruntime", "openvino"])
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("text", "runtimes", "words"),
    [
        (TRAINED, ["onnxrutime"], "did you mean 'onnxruntime'"),
        (TRAINED, ["onnxruntime", "c"], "nothing quantizes, for c"),
        (TRAINED + INT8.replace("static_int8", "dynamic_int8").split("observer")[0], ["litert", "openvino"], "dynamic"),
    ],
)
def test_a_runtime_that_cannot_is_refused_before_any_work(
    tmp_path: Path, text: str, runtimes: list[str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        export(exportable(text), Store(tmp_path / "store"), runtimes)
    assert not (tmp_path / "store").exists()


def test_a_page_is_for_pictures_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "check_wish", lambda wish: None)
    with pytest.raises(DataError, match="signals, tables and texts have no picture"):
        export(exportable(TRAINED), Store(tmp_path / "store"), wish=WebWish(tmp_path / "page"))
    assert not (tmp_path / "store").exists()


def test_a_recipe_is_read_from_toml_or_from_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.toml"
    path.write_text(TRAINED)
    assert load_exportable(path) == exportable(TRAINED)
    monkeypatch.setattr(exporting, "load_recipe", lambda given: exportable(TRAINED).recipe)
    monkeypatch.setattr(exporting, "read_report", lambda given: f"the report {given.name}")
    assert load_exportable(tmp_path / "report.json").report == "the report report.json"
    assert load_exportable(path).report is None
    with pytest.raises(RecipeError):
        parse_recipe("name = 3", "r.toml")
