"""A text task end to end: BERT teaches DistilBERT, the file answers, and what it takes to read a text travels with it."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from galenic.pipeline.recipes import parse_recipe
from galenic.pipeline.run import compress
from galenic.preprocess.text import Tokenizer
from galenic.record.artifact import Artifact
from galenic.record.errors import RecipeError
from galenic.runtimes.answer import run_raw
from galenic.runtimes.load import open_session
from galenic.store.stages import Store

if find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

RECIPE = """
name = "notes"
threads = 1
[task]
source = "text:PATH"
[task.options]
length = 24
vocabulary_size = 80
classes = ["well", "ill"]
[reference]
model = "bert"
options = { layers = 2, hidden = 16, heads = 2, intermediate = 32 }
[reference.training]
epochs = 2
[student]
model = "distilbert"
options = { layers = 1, hidden = 8, heads = 1, intermediate = 16 }
[[phase]]
method = ["soft_target", "hidden_states", "attention_matrices"]
[phase.training]
epochs = 2
[gate.floors]
accuracy = 0.01
[measure]
runs = 20
warmup = 1
"""

AGAINST = {"dynamic_int8": "the torch model", "weight_int4": "its simulation", "half_precision": "the torch model"}
FILLING = ("pain", "fever", "cough", "patient", "denies", "reports", "since", "monday", "mild", "chest")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    path = tmp_path / "notes.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for row in range(120):
            words = [*random.choice(FILLING, 6), ("stable", "syncope")[row % 2]]
            writer.writerow([" ".join(words), ("well", "ill")[row % 2]])
    return path


@pytest.mark.slow
def test_from_a_csv_to_a_file_that_answers(notes: Path, tmp_path: Path) -> None:
    outcome = compress(parse_recipe(RECIPE.replace("PATH", str(notes)), "notes.toml"), Store(tmp_path / "store"))
    report = outcome.report
    assert [c.id for c in report.candidates] == ["reference", "1-soft_target-hidden_states-attention_matrices"]
    assert all(c.parity is not None and c.parity.max_difference < 1e-4 for c in report.candidates)
    chosen = report.candidates[-1]
    path = outcome.folder / chosen.path
    card = Artifact.model_validate_json(path.with_name(f"{path.name}.json").read_text()).model_copy(
        update={"path": path}
    )
    assert card.preprocessing.text is not None
    assert "##" in "".join(card.preprocessing.text.vocabulary)
    rows = Tokenizer(card.preprocessing.text, card.preprocessing.raw_shape[0]).rows(["Patient reports syncope."])
    answers = run_raw(open_session(card), rows)
    assert answers.shape == (1, 2)
    assert "vocabulary" not in json.dumps(json.loads((outcome.folder / "report.json").read_text())["candidates"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtime", "method", "options", "precision"),
    [
        ("onnxruntime", "dynamic_int8", "", "dynamic-int8"),
        ("onnxruntime", "weight_int4", 'rounding = "nearest"\ngroup_size = 16', "weights-int4"),
        ("openvino", "half_precision", "", "float16"),
    ],
)
def test_a_text_net_in_fewer_bits(
    notes: Path, tmp_path: Path, runtime: str, method: str, options: str, precision: str
) -> None:
    phase = f'[[phase]]\nmethod = "{method}"\n[phase.options.{method}]\n{options}\n[gate.floors]'
    large = RECIPE.replace("hidden = 8, heads = 1, intermediate = 16", "hidden = 64, heads = 1, intermediate = 256")
    recipe = f'runtime = "{runtime}"\n' + large.replace("PATH", str(notes)).replace("[gate.floors]", phase)
    report = compress(parse_recipe(recipe, "notes.toml"), Store(tmp_path / "store")).report
    plain, file = report.candidates[-2:]
    assert (file.precision, file.parity.against if file.parity else "") == (precision, AGAINST[method])
    assert file.parity is not None
    assert file.parity.agreement > 0.9
    assert file.size_bytes < plain.size_bytes
    assert any("than its own float file here" in note or "as its own float" in note for note in report.notes)


def test_static_integers_are_refused_before_any_work(notes: Path, tmp_path: Path) -> None:
    recipe = RECIPE.replace("PATH", str(notes)).replace(
        "[gate.floors]", '[[phase]]\nmethod = "static_int8"\n[gate.floors]'
    )
    with pytest.raises(RecipeError, match=r"static_int8 on notes, a text task.*choose dynamic_int8"):
        compress(parse_recipe(recipe, "notes.toml"), Store(tmp_path / "store"))
    assert not list((tmp_path / "store").glob("**/model-*"))
