"""``timm:NAME``: any classification net of timm (github.com/huggingface/pytorch-image-models), without its weights.

Options are passed on to ``timm.create_model``; nets that are bound to one image size (ViT) want ``img_size`` there.
"""

from __future__ import annotations

import difflib
from typing import Any

from torch import nn

from galenic.record.errors import MissingPackage, ModelError
from galenic.record.preprocessing import Modality
from galenic.zoo.architecture import Adapter
from galenic.zoo.outside import check_outputs


def build_timm(name: str, input_shape: tuple[int, ...], outputs: int, **options: Any) -> nn.Module:
    """(batch, channel, height, width) -> (batch, outputs). Nothing is downloaded."""
    if options.get("pretrained"):
        raise ModelError(
            f"timm:{name} with pretrained = {options['pretrained']}",
            "no download while a model is built",
            "save the pretrained weights to a .safetensors file and give that file as weights",
        )
    timm = _timm(name)
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "list them with timm.list_models()"
        raise ModelError(f"timm:{name}", "the name of a net that this timm has", hint)
    try:
        module: nn.Module = timm.create_model(
            name, **{**options, "pretrained": False, "in_chans": input_shape[0], "num_classes": outputs}
        )
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise ModelError(
            f"timm:{name} with the options {options}: {error}",
            "options that timm.create_model takes for this net",
            "leave out or correct the option that is named",
        ) from error
    check_outputs(module, f"timm:{name}", input_shape, outputs)
    return module


def _timm(name: str) -> Any:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"timm:{name}, but the package {error.name} is not installed",
            "timm and the torchvision that belongs to this torch",
            'run: pip install "galenic[timm]"',
        ) from error
    except (ImportError, RuntimeError) as error:  # torchvision's own failure, when it was built for another torch
        raise MissingPackage(
            f"timm:{name}, but timm does not import here: {error}",
            "a torchvision built for the installed torch (a CUDA build fails beside a CPU torch)",
            "install torchvision from the index that torch came from, for a CPU torch: "
            "pip install --force-reinstall --no-deps torchvision --index-url https://download.pytorch.org/whl/cpu",
        ) from error
    return timm


ADAPTER = Adapter(
    prefix="timm",
    modality=Modality.IMAGE,
    build=build_timm,
    summary="any classification net of the package timm; options are passed on",
    form="timm:NAME",
)
