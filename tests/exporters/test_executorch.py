import pytest
from torch import nn

from galenic.exporters.executorch import EXPORTER
from galenic.record.errors import ModelError
from galenic.runtimes.executorch import RUNTIME


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv", "mobilenet_v3_small", "ds_conv1d", "mlp"])
def test_all_of_the_file_is_xnnpacks(name, exported):
    _, artifact = exported(EXPORTER, name)
    data = artifact.path.read_bytes()
    assert b"XnnpackBackend" in data
    # A program lists the operations that it calls outside of XNNPACK.
    assert not [op for op in (b"aten::convolution", b"aten::addmm", b"aten::mm", b"aten::linear") if op in data]


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Wrong(nn.Module):
    def forward(self, x):
        return x.unsqueeze(1) * 2


class Twice(nn.Module):
    def forward(self, x):
        return x, x * 2


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (Branching(), "ExecuTorch cannot lower it"),
        (Wrong(), r"it answers float32 of shape \(1, 1, 3\)"),
        (Twice(), "it answers 2 tensors"),
    ],
)
def test_a_module_that_cannot_be_a_file_is_refused(module, why, wrap, ends, tmp_path, capfd):
    model = wrap(module, (3,), 3)
    with pytest.raises(ModelError, match=f"made here cannot become an ExecuTorch file: {why}"):
        EXPORTER.export(model, tmp_path / "model.pte", **ends(model))
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_layers_that_xnnpack_does_not_compute_are_named(wrap, ends, tmp_path):
    class Volume(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv3d(1, 2, 3)
            self.head = nn.Linear(2, 3)

        def forward(self, x):
            return self.head(self.stem(x.unsqueeze(1)).mean((2, 3, 4)))

    model = wrap(Volume(), (4, 5, 5), 3)
    with pytest.raises(ModelError, match="XNNPACK does not compute stem; expected convolutions over one or two"):
        EXPORTER.export(model, tmp_path / "model.pte", **ends(model))
    assert not list(tmp_path.iterdir())


def test_the_runtime_names_the_same_command():
    assert EXPORTER.install == RUNTIME.install
