from pathlib import Path

import pytest
from torch import nn

from galenic.exporters.litert import EXPORTER
from galenic.exporters.litert_file import kinds, unpacked
from galenic.record.errors import ModelError
from galenic.runtimes.litert import RUNTIME

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_file_names_layers_by_their_modules(exported):
    model, artifact = exported(EXPORTER, "mobilenet_v3_small")
    data = artifact.path.read_bytes()
    file = unpacked(data)
    graph = file.subgraphs[0]
    names = [tensor.name.decode() for tensor in graph.tensors]
    assert len(set(names)) == len(names)
    layers = {
        names[operator.outputs[0]]
        for kind, operator in zip(kinds(file), graph.operators, strict=True)
        if kind in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    }
    *inner, _ = (path for path, part in model.module.named_modules() if isinstance(part, nn.Conv2d | nn.Linear))
    assert layers == {*inner, "logits"}


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Wrong(nn.Module):
    def forward(self, x):
        return x.unsqueeze(1) * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "why"),
    [(Branching(), "litert-torch cannot convert it"), (Wrong(), r"it answers float32 of shape \(1, 1, 3\)")],
)
def test_a_module_that_cannot_be_a_file_is_refused(module, why, wrap, ends, tmp_path):
    model = wrap(module, (3,), 3)
    with pytest.raises(ModelError, match=f"made here cannot become a LiteRT file: {why}"):
        EXPORTER.export(model, tmp_path / "model.tflite", **ends(model))
    assert not list(tmp_path.iterdir())


def test_the_command_that_installs_it_is_the_makefiles_with_the_pinned_versions():
    second = EXPORTER.install.split(" && ")[1]
    assert RUNTIME.install == EXPORTER.install
    assert second.removeprefix("pip install ") in (ROOT / "Makefile").read_text()
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert {"litert-torch==0.10.0", "litert-converter==0.5.0"} == set(second.split()[3:]) <= set(pins)
