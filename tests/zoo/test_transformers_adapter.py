"""Hugging Face's own classes as the oracle; and that nothing is asked of a network."""

from __future__ import annotations

import socket
import subprocess
import sys
from importlib.util import find_spec

import pytest
import safetensors.torch
import torch

from galenic.record.errors import MissingPackage, ModelError
from galenic.record.preprocessing import Modality, Preprocessing, WordPieces
from galenic.zoo.build import build, fitted_options
from galenic.zoo.macs import count_macs
from galenic.zoo.model import weights_hash
from galenic.zoo.saving import load_model, save_model
from galenic.zoo.transformers_adapter import transformers_classes
from galenic.zoo.weights import load_weights

if find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

SMALL = {"layers": 2, "hidden": 16, "heads": 4, "intermediate": 32, "vocabulary": 40}
BERT_KEYS = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32,
    "max_position_embeddings": 512, "vocab_size": 40, "num_labels": 3,
}  # fmt: skip
DISTILBERT_KEYS = {
    "dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 32, "max_position_embeddings": 512, "vocab_size": 40,
    "num_labels": 3,
}  # fmt: skip
TWINS = {
    "bert": ("BertConfig", "BertForSequenceClassification", BERT_KEYS),
    "distilbert": ("DistilBertConfig", "DistilBertForSequenceClassification", DISTILBERT_KEYS),
}


def some_ids() -> torch.Tensor:
    ids = torch.randint(1, 40, (3, 12), generator=torch.Generator().manual_seed(0))
    ids[0, 7:] = 0
    return ids


@pytest.fixture
def no_network(monkeypatch) -> None:
    def refused(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)


@pytest.mark.parametrize("name", TWINS)
def test_published_weights_load_and_the_logits_are_those_of_transformers(name: str, tmp_path, no_network) -> None:
    config, classifier, keys = TWINS[name]
    found = transformers_classes(name, config, classifier)
    torch.manual_seed(5)
    theirs = found[classifier](found[config](**keys)).eval()
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(theirs.state_dict(), path)
    ours = build(name, (12,), 3, options=SMALL)
    report = load_weights(ours, path)
    assert report.complete
    assert not report.unexpected
    ids = some_ids()
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=(ids != 0).long()).logits
        torch.testing.assert_close(ours.module(ids), expected)
        tokens = {"input_ids": ids, "attention_mask": (ids != 0).long()}
        torch.testing.assert_close(ours.module(tokens), expected)


@pytest.mark.parametrize("name", TWINS)
def test_it_is_a_model_like_any_other(name: str, tmp_path) -> None:
    model = build(name, (12,), 3, seed=4, options=SMALL)
    assert weights_hash(model) == weights_hash(build(name, (12,), 3, seed=4, options=SMALL))
    assert weights_hash(model) != weights_hash(build(name, (12,), 3, seed=5, options=SMALL))
    assert weights_hash(load_model(save_model(model, tmp_path))) == weights_hash(model)
    assert model.module.classifier.out_features == 3
    per_token = 4 * 16 * 16 + 2 * 16 * 32 + 2 * 12 * 16  # projections, feed-forward, scores and mixing
    assert count_macs(model) == 2 * 12 * per_token + 16 * 16 + 16 * 3


def test_padding_changes_nothing() -> None:
    module = build("bert", (12,), 3, options=SMALL).module
    ids = some_ids()
    with torch.no_grad():
        torch.testing.assert_close(module(ids)[:1], module(ids[:1, :7]))


def text_task(pieces: int) -> Preprocessing:
    vocabulary = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{number}" for number in range(pieces - 4)))
    text = WordPieces(vocabulary=vocabulary)
    return Preprocessing(modality=Modality.TEXT, raw_shape=(12,), scale=1.0, mean=(), std=(), text=text)


TABLE = Preprocessing(modality=Modality.TABLE, raw_shape=(2,), scale=1.0, mean=(0.0,) * 2, std=(1.0,) * 2)


def test_a_text_net_gets_the_tasks_vocabulary() -> None:
    assert fitted_options("bert", text_task(30), {"layers": 2}) == {"vocabulary": 30, "layers": 2}
    assert fitted_options("bert", text_task(30), {"vocabulary": 31}) == {"vocabulary": 31}
    assert fitted_options("mlp", TABLE, {"hidden": [3]}) == {"hidden": [3]}
    assert fitted_options("py:my_nets:reader", text_task(30), {}) == {}


@pytest.mark.parametrize(
    ("name", "preprocessing", "options", "told"),
    [
        ("bert", text_task(30), {"vocabulary": 29}, "a task of 30 word pieces"),
        ("bert", TABLE, {}, "a net for text data, and table inputs"),
        ("mlp", text_task(30), {}, "mlp, a net for numbers, and text inputs"),
        ("resnet8", text_task(30), {}, "a net for image data, and text inputs"),
    ],
)
def test_a_net_for_other_data_is_refused(name, preprocessing, options, told) -> None:
    with pytest.raises(ModelError) as caught:
        fitted_options(name, preprocessing, options)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "options", "told"),
    [
        ((513,), SMALL, "rows of 513 tokens for a net of 512 positions"),
        ((12,), {**SMALL, "heads": 3}, "multiple of the number of attention"),
        ((12,), {**SMALL, "layer": 2}, "did you mean layers"),
        ((3, 12, 12), SMALL, "a net for text data, and image inputs"),
    ],
)
def test_what_cannot_be_built_is_refused(shape, options, told) -> None:
    with pytest.raises(ModelError) as caught:
        build("bert", shape, 2, options=options)
    assert told in str(caught.value)


def test_a_missing_package_names_the_command_that_installs_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers.models.bert", None)
    with pytest.raises(MissingPackage, match=r'pip install "galenic\[transformers\]"'):
        build("bert", (12,), 2, options=SMALL)


BROKEN = """
import sys
sys.path.insert(0, sys.argv[1])
from galenic.zoo.build import build
assert "transformers" not in sys.modules  # until a text net is built
build("distilbert", (8,), 2, options={"layers": 1, "hidden": 8, "heads": 2, "intermediate": 8, "vocabulary": 9})
assert "torchvision" not in sys.modules
"""


@pytest.mark.slow
def test_a_torchvision_for_another_torch_does_not_matter(tmp_path) -> None:
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    done = subprocess.run([sys.executable, "-c", BROKEN, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
