"""The token sequence that stands for an image in a prompt: placeholders, separators, line breaks.

In: the original's size and its `Cut`. Out: segments of runs, from which every total is summed.
"""

from dataclasses import dataclass
from typing import Protocol

from vtok.records import Size
from vtok.resolution.plan import Run, Segment
from vtok.resolution.policies.cutters import Cut


class Layout(Protocol):
    """Writes the token sequence."""

    def sequence(self, size: Size, cut: Cut) -> tuple[Segment, ...]:
        """Return the segments in reading order."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """The views' vectors one after the other, between an optional opening and closing token."""

    token: str = "<image>"
    before: str = ""
    after: str = ""

    def sequence(self, size: Size, cut: Cut) -> tuple[Segment, ...]:
        """Return one segment."""
        runs = [Run(self.token, view.num_tokens, "image", i) for i, view in enumerate(cut.views)]
        if self.before:
            runs.insert(0, Run(self.before, 1, "separator"))
        if self.after:
            runs.append(Run(self.after, 1, "separator"))
        return (Segment(tuple(runs)),)
