"""timm as the oracle for parameters, multiply-accumulates and outputs."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import nn

torch.set_num_threads(1)

_OPERATORS: list[torch.library.Library] = []  # an operator lives as long as its library object


@pytest.fixture(scope="session")
def timm() -> ModuleType:
    """timm. Beside a CPU torch, torchvision's CUDA wheel lacks two operators that no classifier uses: define them."""
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor")
        _OPERATORS.append(library)
    import timm

    return timm


@pytest.fixture(scope="session")
def timm_twin(timm: ModuleType) -> Callable[[str, tuple[int, ...], int], nn.Module]:
    """``twin(name, input_shape, outputs)``: timm's net, its stem changed as ours is for images of up to 40 px."""

    def twin(name: str, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        net = timm.create_model(name, num_classes=outputs, in_chans=input_shape[0]).eval()
        if min(input_shape[1:]) > 40:
            return net
        if name.startswith("resnet"):
            net.conv1 = nn.Conv2d(input_shape[0], 64, 3, 1, 1, bias=False)
            net.maxpool = nn.Identity()
        elif name.startswith("densenet"):
            net.features.conv0 = nn.Conv2d(input_shape[0], 64, 3, 1, 1, bias=False)
            net.features.pool0 = nn.Identity()
        else:
            net.conv_stem.stride = (1, 1)
        return net

    return twin


@pytest.fixture(scope="session")
def check_counts(timm_twin) -> Callable[..., None]:
    """Assert that our net has timm's parameters and multiply-accumulates; on the meta device nothing is computed."""
    from galenic.zoo.build import build
    from galenic.zoo.macs import count_macs, module_macs
    from galenic.zoo.model import parameters

    def check(name: str, twin_name: str, shape: tuple[int, ...], outputs: int, **options) -> None:
        with torch.device("meta"):
            ours, theirs = build(name, shape, outputs, options=options), timm_twin(twin_name, shape, outputs)
        assert parameters(ours) == sum(tensor.numel() for tensor in theirs.parameters())
        assert count_macs(ours) == module_macs(theirs, shape) > 0

    return check


@pytest.fixture(scope="session")
def check_outputs(timm_twin) -> Callable[..., None]:
    """Assert that our net, given timm's weights in their order, gives timm's logits."""
    from galenic.zoo.build import build

    def check(name: str, twin_name: str, shape: tuple[int, ...], outputs: int, **options) -> None:
        ours, theirs = build(name, shape, outputs, options=options).module, timm_twin(twin_name, shape, outputs)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(3)
            for tensor in theirs.buffers():  # running statistics other than the initial 0 and 1
                if tensor.is_floating_point():
                    tensor.uniform_(0.1, 0.3)
            ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
            images = torch.randn(2, *shape)
            got, expected = ours(images), theirs(images)
        assert got.shape == (2, outputs)
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
        assert (
            float((expected[0] - expected[1]).abs().max()) > 0
        )  # the images are told apart, so equality says something

    return check
