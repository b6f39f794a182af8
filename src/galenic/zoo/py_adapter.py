"""``py:module:callable``: a net of the user's own.

The callable is called with keywords, ``callable(input_shape=(3, 64, 64), outputs=2, **options)``, and returns an
``nn.Module`` that gives (batch, outputs) logits for (batch, *input_shape). A class of that signature serves as well.
The module has to be importable: installed, or in a folder that PYTHONPATH names.
"""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from galenic.record.errors import ModelError
from galenic.zoo.architecture import Adapter
from galenic.zoo.outside import check_outputs

FORM = "py:module:callable"


def build_py(name: str, input_shape: tuple[int, ...], outputs: int, **options: Any) -> nn.Module:
    """(batch, *input_shape) -> (batch, outputs), by ``module:callable``."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ModelError(f"py:{name}", FORM, "write for instance py:my_package.nets:small_net")
    factory = _find(module_name, attribute)
    try:
        module = factory(input_shape=input_shape, outputs=outputs, **options)
    except TypeError as error:
        raise ModelError(
            f"py:{name}, which refuses its arguments: {error}",
            f"a callable that takes the keywords input_shape, outputs{''.join(f', {key}' for key in options)}",
            "add those parameters to it",
        ) from error
    except Exception as error:  # the code is not ours: it may raise anything
        raise ModelError(
            f"py:{name}, which stops with {type(error).__name__}: {error}",
            f"an nn.Module for input_shape={input_shape} and outputs={outputs}",
            "correct that callable, or give it options that fit",
        ) from error
    if not isinstance(module, nn.Module):
        raise ModelError(f"py:{name}, which returns a {type(module).__name__}", "an nn.Module", "return the net itself")
    check_outputs(module, f"py:{name}", input_shape, outputs)
    return module


def _find(module_name: str, attribute: str) -> Any:
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # besides not being there, a module may stop with anything while it is imported
        raise ModelError(
            f"py:{module_name}:{attribute}, but importing {module_name} failed: {type(error).__name__}: {error}",
            "a module that Python can import",
            "install it, or name its folder in PYTHONPATH",
        ) from error
    if not callable(getattr(found, attribute, None)):
        raise ModelError(
            f"py:{module_name}:{attribute}, but {module_name} has no callable {attribute}",
            "a function or class in that module",
            f"correct the name; the module lies in {getattr(found, '__file__', 'no file')}",
        )
    return getattr(found, attribute)


ADAPTER = Adapter(
    prefix="py",
    modality=None,
    build=build_py,
    summary="a callable of your own, called with input_shape, outputs and the options",
    form=FORM,
)
