"""Plain facts that every layer shares: sizes, grids and failures. Integers and text only.

Sizes are always `Size(height=..., width=...)`, grids `Grid(rows=..., cols=...)`, built by keyword.
PIL's (width, height) is turned around once, where PIL is called.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Stage = Literal["read", "decode", "plan", "model", "write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Height and width in pixels; both at least 1."""

    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a size must be at least 1x1, not {self.width}x{self.height}")

    @property
    def num_pixels(self) -> int:
        """Height times width."""
        return self.height * self.width

    def __str__(self) -> str:
        """Return the way people write sizes: width first."""
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A layout of cells, row-major; both at least 1."""

    rows: int
    cols: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.cols < 1:
            raise ValueError(f"a grid must be at least 1x1, not {self.rows}x{self.cols}")

    @property
    def num_cells(self) -> int:
        """Rows times columns."""
        return self.rows * self.cols

    def __str__(self) -> str:
        """Return rows first, as matrices are written."""
        return f"{self.rows}x{self.cols}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One sample that was not written, and why.

    Attributes:
        key: The sample's key, as it would have stood in the shard.
        source: Path or URL of the image (percent-encoded where it is not UTF-8).
        stage: Where it failed.
        reason: A stable code for counting, from the error's class.
        message: One line for people.
    """

    key: str
    source: str
    stage: Stage
    reason: str
    message: str

    def to_json(self) -> dict[str, Any]:
        """Return the fields in a JSON-ready dict."""
        return asdict(self)
