"""The pictures of `vtok inspect`: how an image is cut, what the indices of a sample look like.

In: paths and schemes, or facts of shards. Out: text for the terminal, or PNG files. The only part
of the command that decodes pixels.
"""

import io
import os
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

from vtok.errors import InputError, UsageError
from vtok.io.files import write_bytes
from vtok.io.images import decode
from vtok.io.sources import SourceItem, open_source
from vtok.pipelines.inspecting.shard_facts import ShardsFacts
from vtok.quantities import counted
from vtok.report import (
    cut_blocks,
    cut_outline,
    cut_picture,
    picture_style,
    rank_bars,
    token_map_blocks,
    token_map_numbers,
    token_map_picture,
)
from vtok.report.printable import printable
from vtok.report.terminal import speaks_unicode
from vtok.resolution import Scheme
from vtok.shards.samples import Sample

MAX_VIEWS_SHOWN = 4


def the_one_image(inputs: tuple[str, ...], schemes: tuple[Scheme, ...]) -> SourceItem:
    """Return the image to draw.

    Raises:
        UsageError: there are several images or schemes.
        InputError: there is no image.
    """
    if len(schemes) != 1:
        given = counted(len(schemes), "scheme")
        raise UsageError(f"one cut is drawn at a time, and there are {given}")
    if len(inputs) != 1:
        raise UsageError(f"one image is drawn at a time, and {len(inputs)} were given")
    items = open_source(inputs[0]).list()
    first = next(items, None)
    if first is None:
        raise InputError(f"no images in {inputs[0]}")
    if next(items, None) is not None:
        raise UsageError(f"one image is drawn at a time, and {inputs[0]} holds several")
    return first


class CutPicture:
    """One image and its plan, decoded once, drawn as often as needed.

    Raises:
        SampleError: the image cannot be decoded, or the scheme cannot cut its size.
    """

    def __init__(self, item: SourceItem, scheme: Scheme) -> None:
        self._name = item.source
        self._location = item.location
        decoded = decode(item.read())
        self._image = decoded.image
        self._plan = scheme.plan(decoded.size)

    def text(self, console: Console) -> Text:
        """Return the picture as the console can show it."""
        if picture_style(console) == "blocks":
            return cut_blocks(self._plan, self._image, width=console.width)
        return Text(cut_outline(self._plan, width=console.width))

    def save(self, path: Path) -> None:
        """Write the picture large.

        Raises:
            UsageError: the path does not end in `.png`, or is the image itself.
            OutputError: it cannot be written.
        """
        if path.exists() and os.path.realpath(path) == os.path.realpath(self._location):
            raise UsageError(f"{path} is the image itself: save the picture under another name")
        save_png(cut_picture(self._plan, self._image, title=self._name), path)


def check_png(path: Path) -> None:
    """Require a path to be one of a PNG.

    Raises:
        UsageError: it is not.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"--save writes PNG: give a name that ends in .png, not {path.name!r}")


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a picture, whole or not at all.

    Raises:
        UsageError: the path does not end in `.png`.
        OutputError: it cannot be written.
    """
    check_png(path)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=False)
    write_bytes(path, buffer.getvalue())


def first_indices(facts: ShardsFacts) -> Sample:
    """Return the sample whose tokens are drawn: the first.

    Raises:
        UsageError: the shards hold no indices, or no sample.
    """
    if facts.header is None or facts.header.kind != "indices" or facts.first is None:
        holds = facts.header.kind if facts.header and facts.first else "no samples"
        raise UsageError(f"token maps are drawn of indices, and {facts.path} holds {holds}")
    return facts.first


def token_map_text(facts: ShardsFacts, console: Console) -> Text:
    """Return the maps of the first sample's views, as the console can show them, and their use.

    Raises:
        UsageError: the shards hold no indices, or no sample.
    """
    sample = first_indices(facts)
    text = Text().append(f"\n{_title(sample)}\n", "bold")
    in_colour = picture_style(console) == "blocks"
    for name, indices in list(sample.indices.items())[:MAX_VIEWS_SHOWN]:
        text.append(f"\n{printable(name)}  {'x'.join(map(str, indices.shape))}\n", "dim")
        if in_colour:
            for line in token_map_blocks(indices, width=console.width):
                text.append_text(line).append("\n")
        else:
            for row in token_map_numbers(indices, width=console.width):
                text.append(row + "\n")
    hidden = len(sample.indices) - MAX_VIEWS_SHOWN
    if hidden > 0:
        text.append(f"\nand {counted(hidden, 'more view')}: --save draws all\n", "dim")
    counts: dict[int, int] = {}
    for indices in sample.indices.values():
        for index in indices.reshape(-1).tolist():
            counts[index] = counts.get(index, 0) + 1
    num_tokens = sum(counts.values())
    bars = rank_bars(list(counts.values()), 60, ascii_only=not speaks_unicode(console))
    text.append(
        f"\n{counted(len(counts), 'code')} in {counted(num_tokens, 'token')}, most used first"
    )
    text.append(f"\n|{bars}|\n")
    return text


def save_token_map(facts: ShardsFacts, path: Path) -> None:
    """Write the maps of the first sample's views large.

    Raises:
        UsageError: the shards hold no indices, or the path does not end in `.png`.
        OutputError: it cannot be written.
    """
    sample = first_indices(facts)
    assert facts.header is not None
    save_png(
        token_map_picture(sample.indices, facts.header.codebook_size, title=_title(sample)), path
    )


def _title(sample: Sample) -> str:
    source = sample.meta.get("source")
    return printable(f"{sample.key}  {source}" if isinstance(source, str) else sample.key)
