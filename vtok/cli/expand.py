"""Flags in groups: a command takes a few dataclasses, the command line sees their fields.

In: a function whose parameters are flags, or dataclasses of flags. Out: the same function with one
flat signature, as Typer reads it. So a flag is named, explained and given its default once, and no
command lists what all commands share. Knows no flag.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def expand(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with every dataclass parameter replaced by the dataclass's fields.

    Raises:
        TypeError: two groups have a field of the same name.
    """
    hints = get_type_hints(command, include_extras=True)
    hints.pop("return", None)
    groups = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, hint in hints.items():
        if name in groups:
            parameters += _fields_as_parameters(hint)
        else:
            default = inspect.signature(command).parameters[name].default
            parameters.append(_parameter(name, hint, default))
    # Required ones first, as Python wants them; Typer keeps the order of what is left.
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    names = [parameter.name for parameter in parameters]
    if len(set(names)) != len(names):
        raise TypeError(f"{command.__name__}: a flag is in two groups: {names}")

    @functools.wraps(command)
    def flat(**given: Any) -> None:
        arguments: dict[str, Any] = {}
        for name, hint in hints.items():
            if name in groups:
                arguments[name] = hint(**{each.name: given[each.name] for each in fields(hint)})
            else:
                arguments[name] = given[name]
        command(**arguments)

    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return flat


def _fields_as_parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        _parameter(
            each.name,
            hints[each.name],
            inspect.Parameter.empty if each.default is MISSING else each.default,
        )
        for each in fields(group)
    ]


def _parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
