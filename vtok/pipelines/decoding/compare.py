"""Decoded images against their originals: PSNR and SSIM of the files as they were written.

In: what was decoded, and the originals. Out: two numbers an image. An original is found by its
source; the part of it that the decoded image shows is what it is compared with. Knows no model.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from vtok.engine.decoding import DecodePool
from vtok.engine.frechet import FidMeter
from vtok.engine.preparation import ImageTask, Preparation, Prepared
from vtok.engine.quality import WINDOW_PX, psnr, ssim
from vtok.io.sources import SourceItem
from vtok.pipelines.decoding.survey import Decoded, Picture
from vtok.pipelines.inputs.items import Inputs
from vtok.pipelines.outputs.outcome import Comparison, ImageQuality
from vtok.resolution import SchemeOptions, render, resolve

Pixels = npt.NDArray[np.uint8]

_STRIP_PX = 256
_NO_ORIGINAL = "no original of that source"
_NO_IMAGE = "not decoded"
_SINGLE_VIEWS = "views that cannot be stitched"
_UNREADABLE = "original cannot be read"
_OTHER_SIZE = "original is of another size"


def compare(
    decoded: Sequence[Decoded],
    written: Mapping[Picture, SourceItem],
    originals: Inputs,
    *,
    num_workers: int | None,
    fid: FidMeter | None = None,
    no_rfid: str = "",
) -> Comparison:
    """Return how alike decoded images and their originals are.

    Args:
        decoded: What was decoded, in order.
        written: Where each picture is; those that are not there are left out.
        originals: Where each source is looked for; a single one is that of a single image.
        num_workers: Processes that read images; None for one a core.
        fid: Measures the distance of all to all; None for no such number.
        no_rfid: Why there is none.

    Raises:
        NonFiniteError: its network's features are not finite.
    """
    by_source = {item.source: item for item in originals.items}
    only = originals.items[0] if len(originals.items) == len(decoded) == 1 else None
    reasons: Counter[str] = Counter()
    pairs: list[tuple[Decoded, SourceItem]] = []
    for each in decoded:
        original = by_source.get(each.origin.source or "", only)
        if original is None:
            reasons[_NO_ORIGINAL] += 1
        elif each.plan is None and (len(each.pictures) != 1 or each.pictures[0].view is not None):
            reasons[_SINGLE_VIEWS] += 1
        elif not all(picture in written for picture in each.pictures):
            reasons[_NO_IMAGE] += 1
        else:
            pairs.append((each, original))
    images: list[ImageQuality] = []
    whole = Preparation(scheme=resolve("native", SchemeOptions(alignment_px=1)))
    with DecodePool(whole, num_workers=num_workers) as pool:
        outcomes = pool.map(_tasks(pairs, written))
        for each, original in pairs:
            first, *others = itertools.islice(outcomes, 1 + len(each.pictures))
            for picture, other in zip(each.pictures, others, strict=True):
                if not isinstance(first, Prepared) or not isinstance(other, Prepared):
                    reasons[_UNREADABLE] += 1
                    continue
                reference = _shown(each, picture, first.views[0])
                quality = _quality(each, original, picture, reference, other.views[0])
                if quality is None:
                    reasons[_OTHER_SIZE] += 1
                else:
                    images.append(quality)
                    if fid is not None and reference is not None:
                        fid.add(reference, other.views[0])
    rfid = None if fid is None else fid.distance()
    if fid is not None and rfid is None:
        no_rfid = "a distribution needs at least two images"
    return Comparison(images=tuple(images), not_compared=dict(reasons), rfid=rfid, no_rfid=no_rfid)


def _tasks(
    pairs: Sequence[tuple[Decoded, SourceItem]], written: Mapping[Picture, SourceItem]
) -> Iterator[ImageTask]:
    """Yield the original, then the decoded images, of every sample."""
    index = itertools.count()
    for each, original in pairs:
        for item in (original, *(written[picture] for picture in each.pictures)):
            yield ImageTask(index=next(index), key=each.origin.key, item=item)


def _shown(decoded: Decoded, picture: Picture, original: Pixels) -> Pixels | None:
    """Return what of the original a picture shows; None if that is another image by its size.

    A crop is compared as the model saw it, resized and mirrored; all else at the original's scale.
    """
    size = decoded.size
    if size is not None and original.shape[:2] != (size.height, size.width):
        return None
    if decoded.plan is not None:
        only = tuple(view for view in decoded.plan.views if view.name == picture.view)
        return render(replace(decoded.plan, views=only), Image.fromarray(original))[0]
    if decoded.region is None:
        return original
    box = decoded.region
    return original[box.top : box.bottom, box.left : box.right]


def _quality(
    decoded: Decoded,
    original: SourceItem,
    picture: Picture,
    reference: Pixels | None,
    image: Pixels,
) -> ImageQuality | None:
    if reference is None or reference.shape != image.shape:
        return None
    name = original.source
    return ImageQuality(
        source=name if len(decoded.pictures) == 1 else f"{name} ({picture.view})",
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
