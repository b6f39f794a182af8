"""BERT (Devlin et al. 2019, arXiv:1810.04805) and DistilBERT (Sanh et al. 2019, arXiv:1910.01108) of Hugging Face
``transformers``, built from a configuration that is made here: no hub is asked, nothing is downloaded.

    bert        embeddings -> layers -> tanh of a dense layer on [CLS] -> classifier
    distilbert  embeddings -> layers -> relu of a dense layer on [CLS] -> classifier        half the layers, no segments

Shapes: (batch, token) int64 ids, 0 is padding -> (batch, outputs). A dictionary {"input_ids", "attention_mask"} of two
such tensors is taken as well; for bare ids the mask is made inside, so the exported file has one input.

Weights bear the names that ``BertForSequenceClassification`` and ``DistilBertForSequenceClassification`` give them, so
published ``model.safetensors`` files load by the option ``weights``. Attention is computed step by step ("eager"), since
fused kernels do not show their matrices; its own dropout is 0 (BERT's is 0.1), so that these are distributions.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from galenic.record.errors import MissingPackage, ModelError
from galenic.record.preprocessing import Modality
from galenic.zoo.architecture import Architecture

POSITIONS = 512
"""The longest row, as in every published BERT."""

INITIAL_SPREAD = 0.02
"""The standard deviation that BERT's weights start with."""


class BertClassifier(nn.Module):
    """BERT with a classifier on its pooled [CLS]. ``vocabulary`` is how many ids it knows."""

    def __init__(self, bert: nn.Module, width: int, outputs: int, dropout: float, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.bert = bert
        self.dropout = nn.Dropout(dropout)
        self.classifier = first_dense(width, outputs)

    def forward(self, inputs: Tensor | Mapping[str, Tensor]) -> Tensor:
        """(batch, token) ids, or a dictionary of ids and mask -> (batch, outputs)."""
        logits: Tensor = self.classifier(self.dropout(self.bert(**as_tokens(inputs)).pooler_output))
        return logits


class DistilBertClassifier(nn.Module):
    """DistilBERT with a classifier on its [CLS]. ``vocabulary`` is how many ids it knows."""

    def __init__(self, distilbert: nn.Module, width: int, outputs: int, dropout: float, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.distilbert = distilbert
        self.pre_classifier = first_dense(width, width)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.classifier = first_dense(width, outputs)

    def forward(self, inputs: Tensor | Mapping[str, Tensor]) -> Tensor:
        """(batch, token) ids, or a dictionary of ids and mask -> (batch, outputs)."""
        first = self.distilbert(**as_tokens(inputs)).last_hidden_state[:, 0]
        logits: Tensor = self.classifier(self.dropout(self.relu(self.pre_classifier(first))))
        return logits


def as_tokens(inputs: Tensor | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """What the nets of ``transformers`` are called with: ids, and a mask that is 0 where the id is 0."""
    if isinstance(inputs, Tensor):
        return {"input_ids": inputs, "attention_mask": (inputs != 0).long()}
    return inputs


def bert(
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    vocabulary: int = 30522,
    layers: int = 12,
    hidden: int = 768,
    heads: int = 12,
    intermediate: int = 3072,
    dropout: float = 0.1,
) -> nn.Module:
    """BERT base where nothing is said."""
    refuse_long_rows(input_shape)
    found = transformers_classes("bert", "BertConfig", "BertModel")
    config = found["BertConfig"](
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        max_position_embeddings=POSITIONS,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )
    return BertClassifier(found["BertModel"](config), hidden, outputs, dropout, vocabulary)


def distilbert(
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    vocabulary: int = 30522,
    layers: int = 6,
    hidden: int = 768,
    heads: int = 12,
    intermediate: int = 3072,
    dropout: float = 0.1,
) -> nn.Module:
    """DistilBERT base where nothing is said."""
    refuse_long_rows(input_shape)
    found = transformers_classes("distilbert", "DistilBertConfig", "DistilBertModel")
    config = found["DistilBertConfig"](
        vocab_size=vocabulary,
        dim=hidden,
        n_layers=layers,
        n_heads=heads,
        hidden_dim=intermediate,
        max_position_embeddings=POSITIONS,
        dropout=dropout,
        attention_dropout=0.0,
        attn_implementation="eager",
    )
    return DistilBertClassifier(found["DistilBertModel"](config), hidden, outputs, dropout, vocabulary)


def refuse_long_rows(input_shape: tuple[int, ...]) -> None:
    """ModelError where a row has more tokens than the net has positions."""
    if input_shape[0] > POSITIONS:
        raise ModelError(
            f"rows of {input_shape[0]} tokens for a net of {POSITIONS} positions",
            f"at most {POSITIONS} tokens",
            "lower the task's option length",
        )


def first_dense(width: int, outputs: int) -> nn.Linear:
    """A dense layer with BERT's first weights: N(0, 0.02^2), no bias."""
    layer = nn.Linear(width, outputs)
    nn.init.normal_(layer.weight, 0.0, INITIAL_SPREAD)
    nn.init.zeros_(layer.bias)
    return layer


def transformers_classes(family: str, *names: str) -> dict[str, Any]:
    """Classes of ``transformers.models.FAMILY``; MissingPackage with the command that installs it."""
    try:
        with _broken_torchvision_hidden(f"transformers.models.{family}.modeling_{family}"):
            module = importlib.import_module(f"transformers.models.{family}")
            return {name: getattr(module, name) for name in names}
    except ImportError as error:
        raise MissingPackage(
            f"the model {family}, but transformers does not import here: {error}",
            "the package transformers",
            'run: pip install "galenic[transformers]"',
        ) from error


@contextmanager
def _broken_torchvision_hidden(wanted: str) -> Iterator[None]:
    """Let transformers see no torchvision while ``wanted`` is imported, where it does not import itself (its CUDA build
    beside a CPU torch): text needs none.
    """
    if wanted in sys.modules or _torchvision_imports():
        yield
        return
    sys.modules["torchvision"] = None  # type: ignore[assignment]  # Python's own way to say: not installed
    try:
        checks = vars(importlib.import_module("transformers.utils.import_utils"))
        for name, check in checks.items():
            if name.startswith("is_torchvision") and hasattr(check, "cache_clear"):
                check.cache_clear()  # who imported transformers before may have made it remember that one is installed
        yield
    finally:
        sys.modules.pop("torchvision", None)


def _torchvision_imports() -> bool:
    loaded = set(sys.modules)
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        for name in set(sys.modules) - loaded:
            if name.partition(".")[0] == "torchvision":
                del sys.modules[name]
        return False
    return True


OPTIONS = "options layers, hidden, heads, intermediate, dropout, vocabulary (the task's)"
ARCHITECTURES = (
    Architecture("bert", Modality.TEXT, bert, f"BERT of transformers, a teacher; {OPTIONS}"),
    Architecture("distilbert", Modality.TEXT, distilbert, f"DistilBERT of transformers; {OPTIONS}"),
)
