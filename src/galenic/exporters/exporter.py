"""Exporter: one way to a runtime's file. What every export does is here; a runtime's module lowers a model to bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from galenic.exporters.ends import Lowered, check_ends, resting, write_file
from galenic.record.artifact import Artifact
from galenic.record.errors import MissingPackage, ModelError
from galenic.record.preprocessing import Preprocessing
from galenic.record.quant import QuantRule
from galenic.zoo.model import Model


@dataclass(frozen=True)
class Exporter:
    """One way to a runtime's file.

    Attributes:
        runtime: the name of the runtime that loads the file.
        suffix: of the file.
        version: raised when the same model would give another file; it enters the hashes of stages.
        summary: one line for people.
        lower: a model, at rest in eval mode, as the bytes of a file; on the points of its QuantSpec where it has one. The
            same model gives the same bytes, in any process of one machine with one set of versions. ModelError where it cannot.
        check_rule: raises ModelError where the runtime cannot hold a quantization, before any work starts.
        packages: the distributions whose versions decide the file's bytes; they enter the hashes of stages.
        needs: what Python imports for it beside ``galenic[forge]``.
        install: the one command that installs that.
        text: whether it takes nets that read token ids.
        label: the file's bytes with the preprocessing and the class names inside, where its format has a place for them.
        float_runtime: the runtime whose files stand for this one's where a net is not quantized, as this one has no floats.
    """

    runtime: str
    suffix: str
    version: int
    summary: str
    lower: Callable[[Model], Lowered]
    check_rule: Callable[[QuantRule], None]
    packages: tuple[str, ...]
    needs: tuple[str, ...] = ()
    install: str = ""
    text: bool = True
    label: Callable[[bytes, Preprocessing, tuple[str, ...]], bytes] | None = None
    float_runtime: str = ""

    def export(self, model: Model, path: Path, *, preprocessing: Preprocessing, classes: tuple[str, ...]) -> Artifact:
        """Write ``model`` to ``path`` as one file: whole, or not at all.

        Args:
            model: at rest in eval mode; quantized where it has a QuantSpec.
            path: of the file; what is there is replaced in one step.
            preprocessing: travels with the file, and gives inputs of the model's shape.
            classes: one name per output.

        Raises:
            ModelError: the model cannot be lowered, or the runtime cannot hold its quantization.
            MissingPackage: the converter is not installed.
            StoreError: the file cannot be written; what was there is unchanged.
        """
        check_ends(model, preprocessing, classes)
        if not self.text and hasattr(model.module, "vocabulary"):
            raise ModelError(
                given=f"{model.spec.architecture}, which reads token ids (int64), as a file for {self.runtime}",
                expected="a net for numbers: its text nets are not supported yet",
                todo="choose onnxruntime or openvino for it",
            )
        if model.quant is not None:
            self.check_rule(model.quant.rule)
        self.require()
        lowered = self.lower(resting(model))
        if self.label is not None:
            lowered = replace(lowered, data=self.label(lowered.data, preprocessing, classes))
        return write_file(model, path, lowered, runtime=self.runtime, preprocessing=preprocessing, classes=classes)

    def require(self) -> None:
        """MissingPackage with the command that installs it, where something that it needs is not installed."""
        missing = [name for name in self.needs if find_spec(name) is None]
        if missing:
            raise MissingPackage(
                given=f"files for {self.runtime}, whose converter is not installed here",
                expected=f"the Python package{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
                todo=f"run: {self.install}",
            )
