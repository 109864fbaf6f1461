"""A network of transformers around the tensors that it needs, and none besides.

In: a configuration, the parts of the model that are not wanted, a checkpoint. Out: the network
with its tensors, as fp32, in evaluation mode; what is not wanted was never allocated, and its bytes
never read. transformers says which of a checkpoint's names, old or new, mean which parameter.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vtok.errors import WeightsError
from vtok.models.files.tensors import Tensors

_MAX_NAMES_SHOWN = 5


def transformers_for(name: str) -> Any:
    """Return the library.

    Raises:
        WeightsError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise WeightsError(f"{name} needs transformers: pip install 'vtok[models]'") from error
    return transformers


def built(
    class_name: str, config: Any, *, without: Iterable[str], files: Tensors, where: str
) -> nn.Module:
    """Return a network of transformers with its tensors out of a checkpoint.

    Args:
        class_name: Of the network in transformers.
        config: Its configuration.
        without: Names of the attributes to leave out: the language model, say.
        files: The checkpoint.
        where: For messages.

    Raises:
        WeightsError: the configuration is not understood, or tensors are missing or misshapen.
    """
    make = _without(getattr(transformers_for(where), class_name), tuple(without))
    with quiet():
        try:
            with torch.device("meta"):
                bare = make(config)
            names = _wanted(bare, files.names)
            state = {name: _as_float(tensor, name, where) for name, tensor in files.read(names)}
            network, report = make.from_pretrained(
                None,
                config=config,
                state_dict=state,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # named below
                output_loading_info=True,
            )
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise WeightsError(f"{where}: the configuration is not understood: {reason}") from error
    _check(report, where)
    found: nn.Module = network.eval().requires_grad_(False)
    return found


def _check(report: Mapping[str, Any], where: str) -> None:
    mismatched = [each[0] for each in report["mismatched_keys"]]
    for what, names in (
        ("missing", report["missing_keys"]),
        ("of another shape than the configuration says", mismatched),
    ):
        if names:
            shown = ", ".join(sorted(names)[:_MAX_NAMES_SHOWN])
            more = len(names) - _MAX_NAMES_SHOWN
            raise WeightsError(
                f"{where}: tensors are {what}: {shown}{f' and {more} more' if more > 0 else ''}"
            )


class _Absent(nn.Module):
    """What stands where a part was left out."""

    def get_input_embeddings(self) -> None:
        """Return nothing: there are none."""


def _without(model: Any, parts: tuple[str, ...]) -> Any:
    """Return the class with these attributes replaced by nothing as soon as they are made."""

    def __init__(self: Any, config: Any, *arguments: Any, **keywords: Any) -> None:  # noqa: N807
        model.__init__(self, config, *arguments, **keywords)
        for part in parts:
            setattr(self, part, _Absent())

    # Under the same name: transformers looks up by it how old checkpoints called their tensors.
    return type(model.__name__, (model,), {"__init__": __init__, "__module__": model.__module__})


def _wanted(bare: Any, names: Iterable[str]) -> list[str]:
    """Return the names in a checkpoint that mean a parameter of the network."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    transforms = get_model_conversion_mapping(bare)
    renamings = [each for each in transforms if isinstance(each, WeightRenaming)]
    converters = [each for each in transforms if isinstance(each, WeightConverter)]
    parameters = bare.state_dict()
    prefix = bare.base_model_prefix
    return [
        name
        for name in names
        if rename_source_key(name, renamings, converters, prefix, parameters)[0] in parameters
    ]


def _as_float(tensor: Tensor, name: str, where: str) -> Tensor:
    found = tensor.to(torch.float32) if tensor.is_floating_point() else tensor
    if not torch.isfinite(found).all():
        raise WeightsError(f"{where}: {name} is not finite")
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library from printing bars and reports: what is wrong is raised."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    level, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if had_bar:
            logging.enable_progress_bar()
