import pytest
import torch
from torch import nn

from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.preprocessing import Modality
from galenic.zoo.build import available_models, build
from galenic.zoo.model import weights_hash

SHAPES = {Modality.IMAGE: (3, 32, 32), Modality.SIGNAL: (3, 100), Modality.TABLE: (5,), None: (1, 28, 28)}
OWN = [
    info for info in available_models() if info.family not in ("several", "text", "outside")
]  # those have tests of their own
HEAVY = (
    "resnet50",
    "resnet101",
    "resnet152",
    "densenet121",
    "densenet201",
    *(f"efficientnet_b{size}" for size in range(1, 8)),
)
IMAGE_NETS = [
    pytest.param(info.name, marks=pytest.mark.slow) if info.name in HEAVY else info.name
    for info in OWN
    if info.modality is Modality.IMAGE
]


def test_the_list_names_each_net_once_with_its_modality_and_the_adapters_last():
    names = [info.name for info in available_models()]
    assert len(names) == len(set(names)) == 5 + 2 + 8 + 2 + 2 + 2 + 1 + 2 + 1 + 2
    assert names[-2:] == ["timm:NAME", "py:module:callable"]
    assert all(info.summary for info in available_models())


@pytest.mark.parametrize("info", OWN, ids=lambda info: info.name)
def test_every_net_gives_one_logit_per_class_and_names_its_head_classifier(info):
    with torch.device("meta"):
        model = build(info.name, SHAPES[info.modality], 4)
        assert model.module(torch.zeros(2, *SHAPES[info.modality])).shape == (2, 4)
    assert isinstance(model.module.classifier, nn.Linear)
    assert model.spec == ModelSpec(architecture=info.name, input_shape=SHAPES[info.modality], outputs=4)
    assert model.lineage == (info.name,)
    assert not model.module.training


@pytest.mark.parametrize(("channels", "sides"), [(1, (28, 32)), (3, (64, 128, 224))])
@pytest.mark.parametrize("name", IMAGE_NETS)
def test_every_image_net_takes_every_usual_size(name, channels, sides):
    with torch.device("meta"):
        module = build(name, (channels, sides[0], sides[0]), 2).module
        for side in sides:
            assert module(torch.zeros(2, channels, side, side)).shape == (2, 2)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v3_small", "resnet8", "efficientnet_b0"])
def test_fresh_image_nets_give_finite_logits_that_depend_on_the_image(name):
    module = build(name, (1, 28, 28), 3).module
    with torch.no_grad():
        first, second = module(torch.rand(2, 1, 28, 28))
    assert bool(torch.isfinite(first).all())
    assert not torch.equal(first, second)


@pytest.mark.parametrize("info", [info for info in OWN if info.name not in HEAVY], ids=lambda info: info.name)
def test_a_seed_fixes_the_weights_and_leaves_the_global_generator_alone(info):
    shape = SHAPES[info.modality]
    torch.manual_seed(11)
    first = weights_hash(build(info.name, shape, 2, seed=5))
    drawn = torch.rand(3)
    torch.manual_seed(11)
    assert torch.equal(drawn, torch.rand(3))
    assert weights_hash(build(info.name, shape, 2, seed=5)) == first
    assert weights_hash(build(info.name, shape, 2, seed=6)) != first


def test_options_are_stored_as_json_would_give_them_back():
    spec = build("mlp", (4,), 2, options={"hidden": (8, 4)}).spec
    assert spec.options == {"hidden": [8, 4]}
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("name", "shape", "outputs", "options", "told"),
    [
        ("resnet81", (3, 32, 32), 2, {}, "did you mean resnet8 or"),
        ("mobilenetv3_small", (3, 32, 32), 2, {}, "mobilenet_v3_small"),
        ("xyzzy", (3, 32, 32), 2, {}, "galenic models"),
        ("tim:resnet18", (3, 32, 32), 2, {}, "timm:NAME or py:module:callable"),
        ("resnet18", (6, 200), 2, {}, "choose one of ds_conv1d, resnet1d, mlp, "),
        ("ds_conv1d", (3, 32, 32), 2, {}, "a net for signal data"),
        ("resnet18", (2, 3, 32, 32), 2, {}, "without the batch"),
        ("resnet18", (3, 0, 32), 2, {}, "all above zero"),
        ("resnet18", (3, 7, 32), 2, {}, "at least 8 pixels"),
        ("resnet18", (3, 32, 32), 0, {}, "one logit for each class"),
        ("mobilenet_v3_small", (3, 32, 32), 2, {"widht": 0.5}, "did you mean width"),
        ("mlp", (4,), 2, {"hidden": [0.5]}, "values that this net can be built with"),
        ("mlp", (4,), 2, {"dropout": 1.5}, "values that this net can be built with"),
        ("mlp", (4,), 2, {"hidden": {1}}, "give plain values"),
        ("mlp", (4,), 2, {"dropout": float("nan")}, "give plain values"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_to_do(name, shape, outputs, options, told):
    with pytest.raises(ModelError) as caught:
        build(name, shape, outputs, options=options)
    assert told in str(caught.value)
