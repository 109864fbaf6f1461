"""`vtok inspect`: is it images or shards, and which schemes are asked about.

In: paths and scheme names as people type them. Out: a checked configuration and ready schemes. The
work itself is in `vtok.pipelines.inspecting`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vtok.errors import ShardError, UsageError
from vtok.io.places import RemotePath, exists, open_place, place_of
from vtok.io.remote import is_url
from vtok.io.sources.item import has_image_extension
from vtok.io.tar import iter_members
from vtok.pipelines.config.cut import default_scheme, scheme_for
from vtok.pipelines.config.parts import CutConfig
from vtok.resolution import Scheme, SchemeOptions, find_row, scheme_names
from vtok.shards.keys import HEADER_MEMBER
from vtok.shards.plan import PLAN_NAME
from vtok.shards.shardset import expand_braces

ALL_SCHEMES = "all"
DEFAULT_SCHEME = "closest"

Kind = Literal["images", "shards"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectConfig:
    """What is asked, and about what.

    Attributes:
        paths: At least one; all images, or one place with shards.
        schemes: Names; `all` for every scheme. None given asks about `closest`.
        options: What differs from the schemes' own numbers.
        model: Whose scheme and size count where none is given; None for no model's.
        budget: Images of more tokens are named; None for no limit.
        verify: Hash every tar again, to find bytes that changed without the length.
        duplicates: Look through every sample for identical original files.
    """

    paths: tuple[str, ...]
    schemes: tuple[str, ...] = ()
    options: SchemeOptions = field(default_factory=SchemeOptions)
    model: str | None = None
    budget: int | None = None
    verify: bool = False
    duplicates: bool = False

    def __post_init__(self) -> None:
        """Refuse a budget that no image meets."""
        if self.budget is not None and self.budget < 1:
            raise UsageError(f"--budget must be at least 1, not {self.budget}")

    @property
    def is_one_image(self) -> bool:
        """Whether one image file was named, so that there is room for whole plans."""
        return len(self.paths) == 1 and has_image_extension(self.paths[0])

    @property
    def asks_about_images(self) -> bool:
        """Whether something was asked that shards cannot answer."""
        given = self.schemes or self.options.given() or self.model
        return bool(given or self.budget is not None)


@dataclass(frozen=True, slots=True)
class ChosenSchemes:
    """The schemes in question.

    Attributes:
        schemes: With the options given; at least one.
        num_left_out: How many of all schemes have no such option.
    """

    schemes: tuple[Scheme, ...]
    num_left_out: int = 0


def choose_schemes(config: InspectConfig) -> ChosenSchemes:
    """Return the schemes that were asked about; a name given twice counts once.

    With `all`, an option limits the question to the schemes that have it.

    Raises:
        UnknownNameError: no scheme is called so; the message names the nearest.
        UsageError: a scheme does not have an option, or cannot have this value, or is none for the
            model.
        WeightsError: the model's files are missing or of no kind known here.
    """
    if config.model is not None:
        return ChosenSchemes(_schemes_of_model(config, config.model))
    names = config.schemes or (DEFAULT_SCHEME,)
    if ALL_SCHEMES not in names:
        rows = {find_row(name).name: None for name in names}
        return ChosenSchemes(tuple(_scheme(name, config.options) for name in rows))
    given = config.options.given()
    fitting = [name for name in scheme_names() if set(given) <= set(find_row(name).option_names)]
    if not fitting:
        raise UsageError("no scheme has all of these options: give one scheme by --scheme")
    schemes = tuple(_scheme(name, config.options) for name in fitting)
    return ChosenSchemes(schemes, len(scheme_names()) - len(fitting))


def _schemes_of_model(config: InspectConfig, model: str) -> tuple[Scheme, ...]:
    """Return the model's own scheme, or those given, with its patch and size."""
    if ALL_SCHEMES in config.schemes:
        raise UsageError("--model has a scheme of its own: leave out --scheme all, or name some")
    from vtok.pipelines.running.model import encoder_needs  # brings torch

    needs = encoder_needs(model)
    names = [find_row(name).name for name in config.schemes] or [default_scheme(needs)]
    return tuple(
        scheme_for(CutConfig(scheme=name, options=config.options), name, needs)
        for name in dict.fromkeys(names)
    )


def _scheme(name: str, options: SchemeOptions) -> Scheme:
    return scheme_for(CutConfig(scheme=name, options=options), name)


def kind_of(paths: Sequence[str]) -> Kind:
    """Return what the paths hold.

    Shards are a folder with a `plan.json` or with `shard-*.tar`, and tars that begin with the
    header that vtok writes. All else is images, for `open_source` to judge.

    Raises:
        UsageError: both kinds, or shards of several places, at once.
    """
    kinds = {_kind_of_one(path) for path in paths}
    if kinds == {"images"}:
        return "images"
    if len(kinds) == 2:
        raise UsageError("images and shards were given: inspect one after the other")
    if len(paths) > 1:
        raise UsageError("inspect one output folder, one tar, or name-{000000..000099}.tar at once")
    return "shards"


def _kind_of_one(path: str) -> Kind:
    if os.path.isdir(path):
        folder = Path(path)
        if (folder / PLAN_NAME).exists() or any(folder.glob("shard-*.tar")):
            return "shards"
        return "images"
    if is_url(path) and not path.endswith(".tar"):
        return "shards" if _has_plan(RemotePath(path.rstrip("/"))) else "images"
    if path.endswith(".tar") and _begins_with_header(expand_braces(path)[0]):
        return "shards"
    return "images"


def _has_plan(folder: RemotePath) -> bool:
    """Tell whether a URL is that of an output folder."""
    try:
        return exists(folder / PLAN_NAME)
    except OSError:
        return False  # whoever lists the images will say what is wrong with it


def _begins_with_header(path: str) -> bool:
    """Tell whether a tar's first member is what vtok puts there."""
    try:
        with open_place(place_of(path)) as file:
            num_bytes = file.seek(0, os.SEEK_END)
            first = next(iter_members(file, num_bytes=num_bytes, source=path), None)
    except (OSError, ValueError, ShardError):
        return False  # whoever reads the archive will say what is wrong with it
    return first is not None and first.name == HEADER_MEMBER
