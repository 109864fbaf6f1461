"""A few samples of some shards, decoded and held against their originals.

In: samples, what their shard says of itself, and where the originals are. Out: a `Comparison`.
Indices are decoded by the model that the shards name, tiles by Pillow; an original that is no
longer the file it was is told apart from one that was encoded badly. Writes nothing.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from vtok.engine.decoding import DecodePool
from vtok.engine.preparation import ImageTask, Outcome, Preparation, Prepared
from vtok.engine.quality import WINDOW_PX, psnr
from vtok.errors import InputError, NonFiniteError, SampleError, ShardError, UsageError
from vtok.io.images import decode
from vtok.io.sources import SourceItem
from vtok.pipelines.config.cut import scheme_for
from vtok.pipelines.config.parts import CutConfig, ModelConfig
from vtok.pipelines.decoding.compare import ssim_in_strips
from vtok.pipelines.decoding.restore import can_stitch, plan_of, restore, shown_region, shows_crops
from vtok.pipelines.decoding.survey import ordered_views
from vtok.pipelines.inputs.items import list_inputs
from vtok.pipelines.outputs.outcome import Comparison, ImageQuality
from vtok.pipelines.verifying.report import VerifyConfig
from vtok.resolution import SchemeOptions, render, resolve
from vtok.shards.header import ShardHeader
from vtok.shards.plan import RunPlan
from vtok.shards.samples import Sample

Pixels = npt.NDArray[np.uint8]
Pair = tuple[Pixels, Pixels]
"""An image and what it should look like, of one size."""

_NO_ORIGINAL = "no original of that source"
_CHANGED = "the original has changed since"
_UNREADABLE = "original cannot be read"
_SINGLE_VIEWS = "views that cannot be stitched"
_OTHER_SIZE = "original is of another size"


def compare_samples(
    samples: Sequence[Sample], header: ShardHeader, plan: RunPlan | None, config: VerifyConfig
) -> Comparison:
    """Return how alike some samples and their originals are.

    Args:
        samples: Of indices or tiles.
        header: What their shard says of itself.
        plan: The run's, which says where the originals were; None of tars alone.
        config: Where the originals are now, and what decodes.

    Raises:
        UsageError: the samples are features, which nothing decodes.
        InputError: there are no originals, or none of them could be compared.
    """
    if header.kind not in ("indices", "tiles"):
        raise UsageError(f"--decode is for indices and tiles: nothing decodes {header.kind}")
    by_source = {item.source: item for item in list_inputs(_originals(plan, config)).items}
    reasons: Counter[str] = Counter()
    pairs: list[tuple[Sample, SourceItem]] = []
    for sample in samples:
        item = by_source.get(str(sample.meta.get("source", "")))
        if item is None:
            reasons[_NO_ORIGINAL] += 1
        else:
            pairs.append((sample, item))
    made = _decoded if header.kind == "indices" else _tiles
    preparation = _whole() if header.kind == "indices" else _as_cut(header)
    images: list[ImageQuality] = []
    with DecodePool(preparation, num_workers=min(len(pairs), config.workers or 1)) as pool:
        outcomes = pool.map(_tasks(pairs))
        for (sample, item), found in zip(pairs, made(pairs, outcomes, header, config), strict=True):
            if isinstance(found, str):
                reasons[found] += 1
            else:
                images.append(_quality(sample, item, found))
    if not images:
        why = "; ".join(f"{count} {reason}" for reason, count in reasons.items())
        raise InputError(f"no sample could be compared with its original ({why})")
    return Comparison(images=tuple(images), not_compared=dict(reasons))


def _originals(plan: RunPlan | None, config: VerifyConfig) -> str:
    if config.reference is not None:
        return config.reference
    text = plan.about.get("input", "") if plan else ""
    if not text or text == "-":
        raise UsageError("nothing says where the originals are: name them with --reference")
    return text


def _whole() -> Preparation:
    return Preparation(scheme=resolve("native", SchemeOptions(alignment_px=1)))


def _as_cut(header: ShardHeader) -> Preparation:
    """Return the preparation that made the tiles."""
    name, options = header.scheme.get("name"), header.scheme.get("options")
    try:
        given = SchemeOptions(**options)  # type: ignore[arg-type]
    except TypeError as error:
        raise ShardError(f"the shard's scheme is none that this vtok has: {name!r}") from error
    return Preparation(scheme=scheme_for(CutConfig(scheme=str(name), options=given), str(name)))


def _tasks(pairs: Sequence[tuple[Sample, SourceItem]]) -> Iterator[ImageTask]:
    for index, (sample, item) in enumerate(pairs):
        yield ImageTask(index=index, key=sample.key, item=item)


def _problem(sample: Sample, outcome: Outcome) -> str | None:
    """Return why an original cannot be compared with, None if it can."""
    if not isinstance(outcome, Prepared):
        return _UNREADABLE
    recorded = sample.meta.get("sha256")
    return _CHANGED if recorded not in (None, outcome.facts.sha256) else None


def _decoded(
    pairs: Sequence[tuple[Sample, SourceItem]],
    outcomes: Iterator[Outcome],
    header: ShardHeader,
    config: VerifyConfig,
) -> Iterator[list[Pair] | str]:
    """Yield each sample's decoded picture beside the part of the original that it shows."""
    from vtok.engine.runner import decode_indices  # brings torch
    from vtok.pipelines.running.encoding import Placement
    from vtok.pipelines.running.model import load_recorded_tokenizer

    assert header.model is not None  # a header of indices has one
    tokenizer = load_recorded_tokenizer(
        header.model, config.model, allow_torchscript=config.allow_torchscript
    )
    placement = Placement.of(ModelConfig(device=config.device), "pixels")
    arrays = (
        sample.indices[view]
        for sample, _ in pairs
        for view in ordered_views(sample, plan_of(sample.meta, sample.key))
    )
    results = decode_indices(arrays, tokenizer, device=placement.device, dtype=placement.dtype)
    for (sample, _), outcome in zip(pairs, outcomes, strict=True):
        views = list(itertools.islice(results, len(sample.indices)))
        problem = _problem(sample, outcome)
        if problem is not None or not isinstance(outcome, Prepared):
            yield problem or _UNREADABLE
        else:
            yield _stitched(sample, views, outcome.views[0])


def _stitched(
    sample: Sample, views: Sequence[Pixels | NonFiniteError], original: Pixels
) -> list[Pair] | str:
    plan = plan_of(sample.meta, sample.key)
    pixels = [view for view in views if not isinstance(view, NonFiniteError)]
    if len(pixels) != len(views):
        return "the decoder's output is not finite"
    if plan is None:
        return [(pixels[0], original)] if pixels[0].shape == original.shape else _OTHER_SIZE
    if original.shape[:2] != (plan.size.height, plan.size.width):
        return _OTHER_SIZE
    if shows_crops(plan):  # each is compared with what the model saw
        seen = render(plan, Image.fromarray(original))
        pairs = list(zip(pixels, seen, strict=True))
        return pairs if all(one.shape == other.shape for one, other in pairs) else _OTHER_SIZE
    if not can_stitch(plan):
        return _SINGLE_VIEWS
    box = shown_region(plan, sample.key)
    shown = original[box.top : box.bottom, box.left : box.right]
    picture = restore(plan, pixels, key=sample.key)
    return [(picture, shown)] if picture.shape == shown.shape else _OTHER_SIZE


def _tiles(
    pairs: Sequence[tuple[Sample, SourceItem]],
    outcomes: Iterator[Outcome],
    header: ShardHeader,
    config: VerifyConfig,
) -> Iterator[list[Pair] | str]:
    """Yield each stored view beside the same view, cut from the original again."""
    for (sample, _), outcome in zip(pairs, outcomes, strict=True):
        problem = _problem(sample, outcome)
        if problem is not None or not isinstance(outcome, Prepared):
            yield problem or _UNREADABLE
            continue
        names = [view.name for view in outcome.facts.plan.views]
        again = dict(zip(names, outcome.views, strict=True))
        try:
            stored = {
                name: np.asarray(decode(image.data).image) for name, image in sample.images.items()
            }
        except SampleError as error:
            raise ShardError(f"sample {sample.key!r}: a tile cannot be decoded: {error}") from error
        if {name: view.shape for name, view in stored.items()} != {
            name: view.shape for name, view in again.items()
        }:
            yield _OTHER_SIZE
        else:
            yield [(stored[name], again[name]) for name in names]


def _quality(sample: Sample, item: SourceItem, pairs: Sequence[Pair]) -> ImageQuality:
    """Return the quality of a sample: of its worst view."""
    psnr_db, image, original = min(
        ((psnr(image, original), image, original) for image, original in pairs),
        key=lambda each: each[0],
    )
    ssim = ssim_in_strips(image, original) if min(image.shape[:2]) >= WINDOW_PX else None
    return ImageQuality(source=item.source, key=sample.key, psnr_db=psnr_db, ssim=ssim)
