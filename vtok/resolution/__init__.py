"""Sizes to plans, and pixels from plans: how a published model would cut an image, exactly.

`resolve(name, options)` gives a `Scheme`; `scheme.plan(size)` a `Plan`, from integers alone;
`render(plan, image)` its views. Pure Python and Pillow; no model, no file, no torch. Sizes in,
token counts out: nothing here opens an image.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vtok.resolution.options import SchemeOptions
    from vtok.resolution.parts import Box, Canvas, Region, Run, Segment, View
    from vtok.resolution.plan import Plan
    from vtok.resolution.rendering import render, stitch
    from vtok.resolution.scheme import Scheme
    from vtok.resolution.schemes import ROWS, find_row, resolve, scheme_names

__all__ = [
    "ROWS",
    "Box",
    "Canvas",
    "Plan",
    "Region",
    "Run",
    "Scheme",
    "SchemeOptions",
    "Segment",
    "View",
    "find_row",
    "render",
    "resolve",
    "scheme_names",
    "stitch",
]

_HOMES = {
    "ROWS": "schemes",
    "Box": "parts",
    "Canvas": "parts",
    "Plan": "plan",
    "Region": "parts",
    "Run": "parts",
    "Scheme": "scheme",
    "SchemeOptions": "options",
    "Segment": "parts",
    "View": "parts",
    "find_row": "schemes",
    "render": "rendering",
    "resolve": "schemes",
    "scheme_names": "schemes",
    "stitch": "rendering",
}


def __getattr__(name: str) -> Any:
    """Load a name on first use: a command's help needs the options alone, not NumPy and Pillow."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vtok.resolution' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"vtok.resolution.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
