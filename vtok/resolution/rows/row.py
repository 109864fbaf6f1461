"""What a row of the table of schemes says, and what rows need to say it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from vtok.errors import UsageError
from vtok.records import Grid, Size
from vtok.resolution.options import SchemeOptions
from vtok.resolution.policies.cutters import Cutter
from vtok.resolution.policies.layouts import Layout
from vtok.resolution.scheme import Scheme

Build = Callable[[SchemeOptions], tuple[Cutter, Layout]]


@dataclass(frozen=True, slots=True)
class Row:
    """One published scheme.

    Attributes:
        name: Canonical name.
        summary: One line for people.
        source: Where the rule is published.
        defaults: Its options and their published values.
        build: Puts the policies together from options that are all set.
        aliases: Other names that people type.
        optional: Options that exist but are off unless given.
        exact: Whether the rule is the published implementation's own; False for estimates.
        note: Carried into every plan; for estimates, the date of the source.
    """

    name: str
    summary: str
    source: str
    defaults: SchemeOptions
    build: Build
    aliases: tuple[str, ...] = ()
    optional: frozenset[str] = field(default_factory=frozenset)
    exact: bool = True
    note: str = ""

    @property
    def option_names(self) -> tuple[str, ...]:
        """The options that this scheme can be given."""
        return tuple(sorted({*self.defaults.given(), *self.optional}))

    def scheme(self, overrides: SchemeOptions) -> Scheme:
        """Return the scheme with these overrides.

        Raises:
            UsageError: an override is not an option of this scheme, or cannot be what it is.
        """
        given: dict[str, Any] = overrides.given()
        for name in given:
            if name not in self.option_names:
                known = ", ".join(self.option_names) or "no options"
                raise UsageError(f"scheme {self.name} has no option {name}; it has {known}")
        options = replace(self.defaults, **given)
        cutter, layout = self.build(options)
        return Scheme(self.name, cutter, layout, options, self.exact, self.note)


def square(side_px: int) -> Size:
    """Return a square size."""
    return Size(height=side_px, width=side_px)


def merged(side_px: int, patch_px: int, merge: int = 1) -> Grid:
    """Return the token grid of a square view: whole patches, then whole groups of them.

    Raises:
        UsageError: not even one group fits.
    """
    tokens = side_px // patch_px // merge
    if tokens < 1:
        raise UsageError(f"a tile of {side_px} px holds no token of patches of {patch_px} px")
    return Grid(rows=tokens, cols=tokens)
