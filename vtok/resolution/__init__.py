"""Sizes to plans, and pixels from plans: how a published model would cut an image, exactly.

`resolve(name, options)` gives a `Scheme`; `scheme.plan(size)` a `Plan`, from integers alone;
`render(plan, image)` its views. Pure Python and Pillow; no model, no file, no torch. Sizes in,
token counts out: nothing here opens an image.
"""

from vtok.resolution.options import SchemeOptions
from vtok.resolution.plan import Box, Canvas, Plan, Region, Run, Segment, View
from vtok.resolution.render import render, stitch
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
