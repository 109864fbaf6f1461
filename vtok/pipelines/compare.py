"""Decoded images against their originals: PSNR and SSIM of the files as they were written.

In: what was decoded, and the originals. Out: two numbers an image. An original is found by its
source; the part of it that the decoded image shows is what it is compared with. Knows no model.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vtok.engine.decoding import DecodePool
from vtok.engine.preparation import ImageTask, Preparation, Prepared
from vtok.engine.quality import WINDOW_PX, psnr, ssim
from vtok.io.sources import SourceItem, open_source
from vtok.pipelines.inputs import Inputs
from vtok.pipelines.outcome import Comparison, ImageQuality
from vtok.pipelines.survey import Decoded
from vtok.resolution import SchemeOptions, resolve

Pixels = npt.NDArray[np.uint8]

_STRIP_PX = 256
_NO_ORIGINAL = "no original of that source"
_NO_IMAGE = "not decoded"
_SINGLE_VIEWS = "views that cannot be stitched"
_UNREADABLE = "original cannot be read"
_OTHER_SIZE = "original is of another size"


def compare(
    decoded: Sequence[Decoded], folder: Path, originals: Inputs, *, num_workers: int | None
) -> Comparison:
    """Return how alike the images in a folder and their originals are.

    Args:
        decoded: What lies in the folder, in order.
        folder: The output of decoding.
        originals: Where each source is looked for.
        num_workers: Processes that read images; None for one a core.
    """
    by_source = {item.source: item for item in originals.items}
    reasons: Counter[str] = Counter()
    pairs: list[tuple[Decoded, SourceItem]] = []
    for each in decoded:
        original = by_source.get(each.origin.source or "")
        if original is None:
            reasons[_NO_ORIGINAL] += 1
        elif len(each.pictures) != 1 or each.pictures[0].view is not None:
            reasons[_SINGLE_VIEWS] += 1
        elif not (folder / each.pictures[0].file).exists():
            reasons[_NO_IMAGE] += 1
        else:
            pairs.append((each, original))
    images: list[ImageQuality] = []
    whole = Preparation(scheme=resolve("native", SchemeOptions(alignment_px=1)))
    with DecodePool(whole, num_workers=num_workers) as pool:
        outcomes = pool.map(_tasks(pairs, folder))
        for (each, original), first, second in zip(pairs, outcomes, outcomes, strict=True):
            if not isinstance(first, Prepared) or not isinstance(second, Prepared):
                reasons[_UNREADABLE] += 1
                continue
            quality = _quality(each, original, first.views[0], second.views[0])
            if quality is None:
                reasons[_OTHER_SIZE] += 1
            else:
                images.append(quality)
    return Comparison(images=tuple(images), not_compared=dict(reasons))


def _tasks(pairs: Sequence[tuple[Decoded, SourceItem]], folder: Path) -> Iterator[ImageTask]:
    """Yield the original and the decoded image of every pair, one after the other."""
    for number, (each, original) in enumerate(pairs):
        file = str(folder / each.pictures[0].file)
        for index, item in enumerate((original, next(open_source(file).list()))):
            yield ImageTask(index=2 * number + index, key=each.origin.key, item=item)


def _quality(
    decoded: Decoded, original: SourceItem, reference: Pixels, image: Pixels
) -> ImageQuality | None:
    if decoded.size is not None and decoded.region is not None:
        if reference.shape[:2] != (decoded.size.height, decoded.size.width):
            return None
        box = decoded.region
        reference = reference[box.top : box.bottom, box.left : box.right]
    if reference.shape != image.shape:
        return None
    return ImageQuality(
        source=original.source,
        key=decoded.origin.key,
        psnr_db=psnr(image, reference),
        ssim=ssim_in_strips(image, reference) if min(image.shape[:2]) >= WINDOW_PX else None,
    )


def ssim_in_strips(image: Pixels, reference: Pixels) -> float:
    """Return the SSIM of two images in little memory: the mean over strips of window positions."""
    num_rows: int = image.shape[0] - WINDOW_PX + 1
    total = 0.0
    for top in range(0, num_rows, _STRIP_PX):
        rows = min(_STRIP_PX, num_rows - top)
        strip = slice(top, top + rows + WINDOW_PX - 1)
        total += rows * ssim(image[strip], reference[strip])
    return total / num_rows
