"""What of one axis a resize has to read and to make so that a part of its result is right.

In: lengths and the part that is wanted. Out: a window of the source, one of the result with a
margin, and where in it the part lies. Arithmetic alone.
"""

import math
from typing import NamedTuple, Self


class Window(NamedTuple):
    """A resize along one axis of which a part is shown.

    A resizer that is given a part of the source knows nothing beyond it, so its first and last
    results are not those of the whole: so many more are made, and not shown.

    Attributes:
        first: Of the source's pixels, the first that is read.
        last: The one behind the last that is read.
        start: Where in those the first result begins.
        length: From there, what all results that are made cover.
        num_made: Results that are made.
        shown: Which of them are wanted.
    """

    first: int
    last: int
    start: float
    length: float
    num_made: int
    shown: slice

    @classmethod
    def of(
        cls, stored: int, length: float, wanted: int, part: tuple[int, int], radius: int
    ) -> Self:
        """Return the window of a resize.

        Args:
            stored: Pixels of the source.
            length: How much of them, from the first on, becomes the whole result.
            wanted: Pixels of the whole result.
            part: The first pixel of the result that is shown, and the one behind the last.
            radius: Of the filter where nothing shrinks, in pixels of the source.
        """
        scale = length / wanted
        margin = math.ceil(radius * max(1.0, 1 / scale)) + 1
        begin, end = max(0, part[0] - margin), min(wanted, part[1] + margin)
        # To the ends of the source where the results go to the ends: nothing is computed anew.
        first = math.floor(begin * scale) if begin else 0
        last = min(stored, math.ceil(end * scale)) if end < wanted else stored
        start = begin * scale - first
        covered = length - begin * scale if end == wanted else (end - begin) * scale
        return cls(
            first=first,
            last=last,
            start=start,
            length=min(covered, last - first - start),  # rounding must not lead past the end
            num_made=end - begin,
            shown=slice(part[0] - begin, part[1] - begin),
        )

    def of_all(self, stored: int) -> "Window":
        """Return the window where all of the source's pixels are handed over."""
        start = self.first + self.start
        return self._replace(
            first=0, last=stored, start=start, length=min(self.length, stored - start)
        )

    @property
    def is_all(self) -> bool:
        """Whether all that is read becomes the result."""
        return self.start == 0 and self.length == self.last - self.first

    @property
    def changes_nothing(self) -> bool:
        """Whether the result is what is read."""
        return self.is_all and self.num_made == self.last - self.first
