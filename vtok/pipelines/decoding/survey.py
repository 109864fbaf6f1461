"""What shards of indices will decode to: read once before anything is written.

In: shards. Out: for every sample what it becomes and what that is called, and a digest of all of
it. A damaged shard is found here, before the first image, and so are shards of a model that has no
decoder. Loads no model.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from vtok.errors import InputError, ShardError, WeightsError
from vtok.io.places import sha256_of
from vtok.pipelines.decoding.names import Origin, output_stems
from vtok.pipelines.decoding.restore import can_stitch, plan_of, shown_region, shows_crops
from vtok.records import Size
from vtok.resolution import Box, Plan
from vtok.shards.header import ModelRecord
from vtok.shards.samples import Sample
from vtok.shards.shardset import ShardSet

_MAX_PIECE_PX = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One image file to be written.

    Attributes:
        file: Its path inside the output folder.
        view: The view that it shows; None for all of them, stitched.
    """

    file: PurePosixPath
    view: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What one sample becomes.

    Attributes:
        origin: Its key and source.
        pictures: One, or one for each view where views cannot be stitched.
        size: Of the original, as its plan says.
        region: The part of the original that a stitched picture shows.
        plan: Of pictures that show one crop each; it says which part of the original.
    """

    origin: Origin
    pictures: tuple[Picture, ...]
    size: Size | None = None
    region: Box | None = None
    plan: Plan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Everything that is to be decoded.

    Attributes:
        model: What made the indices.
        shards: Each with what its samples become, in order; it may have more samples than those.
        sha256: Digest of the shards' samples.
        piece_size: Side of the smallest pieces in which a sample was encoded approximately; None if
            none was.
    """

    model: ModelRecord
    shards: tuple[tuple[Iterable[Sample], tuple[Decoded, ...]], ...]
    sha256: str
    piece_size: int | None = None

    @property
    def decoded(self) -> Iterator[Decoded]:
        """What all samples become, in order."""
        return itertools.chain.from_iterable(each for _, each in self.shards)

    @property
    def num_samples(self) -> int:
        """Samples to be decoded."""
        return sum(len(each) for _, each in self.shards)


@dataclass(slots=True)
class _Seen:
    origin: Origin
    views: tuple[str, ...]
    is_stitched: bool
    size: Size | None
    region: Box | None
    plan: Plan | None
    piece_size: int | None


def survey(shards: ShardSet, limit: int | None, ending: str) -> Survey:
    """Read shards once, to the first `limit` samples.

    Args:
        shards: Of indices.
        limit: Most samples; None for all.
        ending: Of the image files.

    Raises:
        ShardError: a shard is damaged, changed since its commit, or holds something else.
        InputError: there is nothing in them.
        WeightsError: nothing decodes them.
    """
    header = shards.header
    if header.kind != "indices" or header.model is None:
        raise ShardError(f"{shards.shards[0].path} holds {header.kind}, not indices to decode")
    require_decoder(header.model)
    digest = hashlib.sha256()
    seen: list[tuple[Iterable[Sample], list[_Seen]]] = []
    left = limit
    for shard in shards.shards:
        if (shard.header.kind, shard.header.model) != (header.kind, header.model):
            raise ShardError(f"{shard.path}: is of another model than {shards.shards[0].path}")
        if shard.commit is not None:
            shard.verify()  # a flipped index would decode without a word, to other pixels
        samples = [_see(sample) for sample in itertools.islice(shard, left)]
        digest.update((shard.commit.sha256 if shard.commit else sha256_of(shard.path)).encode())
        seen.append((shard, samples))
        left = None if left is None else left - len(samples)
        if left == 0:
            break
    if not any(samples for _, samples in seen):
        raise InputError(f"there are no samples in {shards.shards[0].path.parent}")
    found = Survey(
        model=header.model,
        shards=_named(seen, ending),
        sha256=digest.hexdigest(),
        piece_size=min(
            (each.piece_size for _, group in seen for each in group if each.piece_size),
            default=None,
        ),
    )
    files = [str(picture.file) for each in found.decoded for picture in each.pictures]
    if len(set(files)) != len(files):
        raise ShardError(
            f"{shards.shards[0].path.parent}: two views would get the same file's name"
        )
    return found


def survey_samples(
    samples: Sequence[Sample], model: ModelRecord, sha256: str, ending: str
) -> Survey:
    """Return the same of samples that lie in memory.

    Args:
        samples: At least one.
        model: What made their indices.
        sha256: Digest of the file that they are from.
        ending: Of the image files.

    Raises:
        WeightsError: nothing decodes them.
    """
    require_decoder(model)
    seen = [(samples, [_see(sample) for sample in samples])]
    return Survey(model=model, shards=_named(seen, ending), sha256=sha256)


def require_decoder(model: ModelRecord) -> None:
    """Refuse a model that gives indices and takes none.

    Raises:
        WeightsError: it has no decoder.
    """
    if model.spec.get("can_decode") is False:
        raise WeightsError(
            f"{model.name} ({model.family}) cannot decode: its weights have no decoder of indices "
            "alone (its authors' own checkpoint may have one; indices are decoded by the weights "
            "that made them alone)"
        )


def ordered_views(sample: Sample, plan: Plan | None) -> tuple[str, ...]:
    """Return the names of a sample's views in the plan's order, or their own without one.

    Raises:
        ShardError: they are not the plan's, or there are none.
    """
    names = tuple(sample.indices) if plan is None else tuple(view.name for view in plan.views)
    if not names or set(names) != set(sample.indices):
        raise ShardError(
            f"sample {sample.key!r} has views {', '.join(sample.indices) or 'none'}, "
            f"and its plan {', '.join(names) or 'none'}"
        )
    return names


def _see(sample: Sample) -> _Seen:
    plan = plan_of(sample.meta, sample.key)
    views = ordered_views(sample, plan)
    source = sample.meta.get("source")
    is_stitched = len(views) == 1 if plan is None else can_stitch(plan)
    return _Seen(
        origin=Origin(sample.key, source if isinstance(source, str) else None),
        views=views,
        is_stitched=is_stitched,
        size=plan.size if plan else None,
        region=shown_region(plan, sample.key) if plan and is_stitched else None,
        plan=plan if plan and shows_crops(plan) else None,
        piece_size=_piece_size(sample),
    )


def _piece_size(sample: Sample) -> int | None:
    """Return the side of a sample's pieces; None where these were exact, which shows nowhere."""
    pieces = sample.meta.get("pieces")
    if not isinstance(pieces, dict) or pieces.get("exact") is not False:
        return None
    side = pieces.get("side_px")
    return side if type(side) is int and 0 < side <= _MAX_PIECE_PX else None


def _named(
    seen: Sequence[tuple[Iterable[Sample], list[_Seen]]], ending: str
) -> tuple[tuple[Iterable[Sample], tuple[Decoded, ...]], ...]:
    origins = [each.origin for _, samples in seen for each in samples]
    stems = iter(output_stems(origins))
    return tuple(
        (shard, tuple(_decoded(each, next(stems), ending) for each in samples))
        for shard, samples in seen
    )


def _decoded(seen: _Seen, stem: PurePosixPath, ending: str) -> Decoded:
    pictures: tuple[Picture, ...]
    if seen.is_stitched or len(seen.views) == 1:
        view = None if seen.is_stitched else seen.views[0]
        pictures = (Picture(file=stem.with_name(f"{stem.name}.{ending}"), view=view),)
    else:
        pictures = tuple(
            Picture(file=stem.with_name(f"{stem.name}.{view}.{ending}"), view=view)
            for view in seen.views
        )
    return Decoded(
        origin=seen.origin, pictures=pictures, size=seen.size, region=seen.region, plan=seen.plan
    )
