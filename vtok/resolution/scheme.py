"""A scheme ready for use: a cutter and a layout under a name, from a size to a plan.

Pure, cheap, picklable: it holds integers only, and a worker process can be given one.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from vtok.records import Size
from vtok.resolution.options import SchemeOptions
from vtok.resolution.plan import Plan

if TYPE_CHECKING:  # a process that is sent a scheme loads the policies of this one alone
    from vtok.resolution.policies.cutters import Cut, Cutter
    from vtok.resolution.policies.layouts import Layout


@runtime_checkable
class KeyedCutter(Protocol):
    """A cutter whose boxes differ from sample to sample."""

    def cut_for(self, size: Size, key: str) -> "Cut":
        """Return the canvases and views of the sample of this key."""
        ...


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way of turning image sizes into views and tokens.

    Attributes:
        name: Canonical name.
        cutter: Size to canvases and views.
        layout: Views to the token sequence.
        options: Every option of the scheme with the value in force.
        exact: Whether the published implementation does exactly this; False for estimates.
        note: Source and date of an estimate.
    """

    name: str
    cutter: "Cutter"
    layout: "Layout"
    options: SchemeOptions = field(default_factory=SchemeOptions)
    exact: bool = True
    note: str = ""

    @property
    def single_view(self) -> bool:
        """Whether every image becomes exactly one view."""
        return self.cutter.single_view

    @property
    def is_keyed(self) -> bool:
        """Whether what becomes of an image depends on its key too, and not on its size alone."""
        return hasattr(self.cutter, "cut_for")

    def plan(self, size: Size, key: str = "") -> Plan:
        """Return what becomes of an image of this size.

        Args:
            size: Of the upright image.
            key: The sample's; only random crops depend on it.

        Raises:
            DegenerateSizeError: the scheme cannot cut this size.
        """
        if isinstance(self.cutter, KeyedCutter):
            cut = self.cutter.cut_for(size, key)
        else:
            cut = self.cutter.cut(size)
        segments = self.layout.sequence(size, cut)
        return Plan(
            self.name, size, cut.canvases, cut.grid, cut.views, segments, self.exact, self.note
        )
