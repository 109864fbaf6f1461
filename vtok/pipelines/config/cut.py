"""Which scheme cuts the images, once the model's needs are known.

In: what was asked for. Out: a `Scheme`, with patches and alignment as the model has them. Knows
nothing of how models are loaded, nor of torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vtok.engine.preparation import Preparation
from vtok.errors import UsageError
from vtok.pipelines.config.parts import CutConfig, RunConfig
from vtok.records import Size
from vtok.resolution import Plan, Scheme, SchemeOptions, find_row


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNeeds:
    """What a model asks of its views.

    Attributes:
        name: The model's name, for messages.
        patch_px: Pixels per token along one side.
        alignment_px: Sides are multiples of this.
        fixed_size: The one size that it takes; None for any.
        scheme: The scheme that its own image processor follows; None for none.
        scheme_options: The numbers of that scheme.
    """

    name: str
    patch_px: int
    alignment_px: int
    fixed_size: Size | None = None
    scheme: str | None = None
    scheme_options: Mapping[str, Any] = field(default_factory=dict)

    def problem(self, plan: Plan) -> str | None:
        """Return why the model cannot take a plan's views, None if it can."""
        for view in plan.views:
            size = view.size
            if self.fixed_size is not None:
                if size == self.fixed_size:
                    continue  # whatever its patches leave over
                return f"view {view.name} is {size}, and {self.name} takes {self.fixed_size} alone"
            if size.height % self.alignment_px or size.width % self.alignment_px:
                return (
                    f"view {view.name} is {size}, and {self.name} takes multiples of "
                    f"{self.alignment_px} px"
                )
        return None


def scheme_for(cut: CutConfig, default: str, needs: ModelNeeds | None = None) -> Scheme:
    """Return the scheme that was asked for, with the model's patch, alignment and size in it.

    Args:
        cut: What was asked for.
        default: The scheme where none was.
        needs: The model's, where there is one; what was asked for explicitly wins.

    Raises:
        UnknownNameError: no scheme is called so.
        UsageError: the scheme does not have an option, or its views are none for the model.
    """
    chosen = _implied(cut.options) or default if cut.scheme is None else cut.scheme
    row = find_row(chosen)
    for name in cut.options.given():
        if name not in row.option_names:
            known = ", ".join(map(flag, row.option_names)) or "no options"
            raise UsageError(f"scheme {row.name} has no option {flag(name)}; it has {known}")
    if needs is None:
        _require_a_multiple(cut.options, row.name, row.defaults.patch_px)
        return row.scheme(cut.options)
    own = needs.scheme_options if row.name == needs.scheme else {}
    _require_whole_patches(cut.options, needs)
    scheme = row.scheme(_with_needs(cut.options, row.option_names, needs, own))
    problem = needs.problem(scheme.plan(_PROBE))
    if problem:
        raise UsageError(
            f"scheme {row.name} does not fit: {problem}: give another "
            f"{'--size' if 'size_px' in row.option_names else '--tile-size'} or --scheme"
        )
    return scheme


_OF_NO_MODEL = ("closest", "squash", "centre-crop")


def _require_a_multiple(options: SchemeOptions, scheme: str, patch_px: int | None) -> None:
    """Refuse a tile that the usual patch does not divide, where no model says that it may.

    Raises:
        UsageError: it does not, and no other patch was given.
    """
    tile = options.tile_size_px
    if scheme not in _OF_NO_MODEL or tile is None or options.patch_px is not None or not patch_px:
        return
    if tile % patch_px:
        raise UsageError(
            f"--tile-size {tile}: patches of {patch_px} px do not divide it: choose a multiple of "
            "the patch, or give --patch"
        )


_PROBE = Size(height=672, width=1008)


_IMPLIED = {"crop_range": "ten-crop", "crops": "random-crops", "size_px": "adm-crop"}


def _implied(options: SchemeOptions) -> str | None:
    """Return the scheme of square crops that an option is of, where no scheme was named."""
    given = options.given()
    return next((scheme for name, scheme in _IMPLIED.items() if name in given), None)


def require_request(cut: CutConfig, needs: ModelNeeds) -> None:
    """Refuse to resize images for a model of one size without having been asked to.

    Raises:
        UsageError: nothing says how images of other sizes become the model's.
    """
    size = needs.fixed_size
    if size is None or needs.scheme is not None or cut.scheme is not None or _implied(cut.options):
        return
    raise UsageError(
        f"{needs.name} takes {size} alone: --size {size.height} crops the centre square as its "
        "authors do, --scheme squash resizes the whole image, --scheme native takes only images "
        "that have this size"
    )


def default_scheme(needs: ModelNeeds) -> str:
    """Return the scheme of a model: its own; else pixels as they are, or one square if it must."""
    if needs.scheme is not None:
        return needs.scheme
    return "native" if needs.fixed_size is None else "squash"


def flag(option: str) -> str:
    """Return the flag of a scheme's option: `tile_size_px` is `--tile-size`."""
    return "--" + option.removesuffix("_px").replace("_", "-")


def scheme_record(scheme: Scheme) -> dict[str, Any]:
    """Return a scheme's name and every option in force, JSON-ready, as plan and shards keep it."""
    return {"name": scheme.name, "options": scheme.options.given()}


def _require_whole_patches(options: SchemeOptions, needs: ModelNeeds) -> None:
    """Refuse a side of views that the model's own patch does not divide, in the model's words.

    Raises:
        UsageError: it does not, and no other patch was asked for.
    """
    given, patch = options.given(), needs.patch_px
    if "patch_px" in given:
        return
    own = None if needs.fixed_size is None else needs.fixed_size.height
    for name in ("size_px", "tile_size_px"):
        side = given.get(name)
        if isinstance(side, int) and side != own and side % patch:
            low = side // patch * patch
            near = " or ".join(str(each) for each in (low, low + patch) if each)
            raise UsageError(
                f"{flag(name)} {side}: {needs.name} takes multiples of {patch} px: give {near}"
            )


def _with_needs(
    options: SchemeOptions, known: tuple[str, ...], needs: ModelNeeds, own: Mapping[str, Any]
) -> SchemeOptions:
    wanted: dict[str, Any] = {"patch_px": needs.patch_px, "alignment_px": needs.alignment_px}
    if needs.fixed_size is not None:
        wanted["tile_size_px"] = wanted["size_px"] = needs.fixed_size.height
    wanted |= own
    given = options.given()
    return replace(
        options,
        **{name: value for name, value in wanted.items() if name in known and name not in given},
    )


def preparation_for(scheme: Scheme, run: RunConfig) -> Preparation:
    """Return what decode workers do with each image of a run, and what goes with it."""
    return Preparation(
        scheme=scheme,
        with_sidecars=True,
        limits=run.limits.for_decoding(),
        decoding=run.decoding,
        resizing=run.resizing,
    )
