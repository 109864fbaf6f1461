"""What an output folder, or tars alone, hold: schema, counts, codebook use, health, provenance.

In: a path. Out: `ShardsFacts`. In an output folder the records of the run are believed as far as
they fit together and fit the tars beside them; tars alone are read through. Changes nothing on the
disk. Knows nothing of how facts are shown.
"""

import itertools
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np

from vtok.errors import InputError, ManifestError, ShardError, UnreachableError
from vtok.io.files import PARTIAL_SUFFIX
from vtok.io.places import Place, is_folder, names_in, num_bytes_of, place_of
from vtok.pipelines.inspecting.identical_samples import MAX_ASKED_UNASKED, find_identical
from vtok.pipelines.inspecting.shard_facts import Health, ShardsFacts, Tally
from vtok.pipelines.inspecting.shard_fields import FieldSurvey
from vtok.quantities import counted
from vtok.shards.header import ShardHeader
from vtok.shards.manifest import read_manifest, roll_up
from vtok.shards.plan import MANIFEST_NAME, RunPlan, read_plan, shard_name
from vtok.shards.reader import Shard
from vtok.shards.resume import RunState, committed_shards
from vtok.shards.samples import Sample
from vtok.shards.shardset import ShardSet, open_shards
from vtok.shards.usage import CodebookCounter

NUM_SAMPLES_LOOKED_AT = 32
"""How many samples of the first shard tell the schema of a folder whose records tell the rest."""

MAX_COUNTED_CODES = 1 << 22

_TAR = re.compile(r"shard-([0-9]{6})\.tar")


def inspect_shards(path: str, *, verify: bool = False, duplicates: bool = False) -> ShardsFacts:
    """Return what is known of an output folder, a tar, or a range of tars.

    Args:
        path: `out/`, `out/shard-000000.tar`, or `name-{000000..000099}.tar`.
        verify: Hash every tar of a folder again. Tars alone are read through in any case.
        duplicates: Look through all samples for identical original files, however many there are.

    Raises:
        InputError: there are no shards.
        ManifestError: the plan itself is damaged.
        ShardError: the first of some tars alone is not a shard.
    """
    folder = place_of(path)
    plan = read_plan(folder) if is_folder(folder) else None
    if plan is None:
        facts = _read_tars(path)
        shards = list(open_shards(path).shards)
    else:
        facts = _read_folder(path, plan, verify=verify)
        state = committed_shards(folder, plan)
        shards = [Shard(folder / shard_name(n), state.committed[n]) for n in state.committed]
    if facts.health.damaged or not (duplicates or facts.tally.written <= MAX_ASKED_UNASKED):
        return facts
    try:
        identical = find_identical(shards)
    except UnreachableError:
        raise
    except ShardError as error:
        return replace(facts, health=replace(facts.health, damaged=(str(error),)))
    return replace(facts, identical=identical)


def _read_folder(path: str, plan: RunPlan, *, verify: bool) -> ShardsFacts:
    """Return what a run's records say, and whether the tars are as they say."""
    folder = place_of(path)
    state = committed_shards(folder, plan, verify=verify)
    damaged = [f"{problem}: run the same command again" for problem in state.distrusted.values()]
    has_manifest, problem = _check_manifest(folder, plan, state)
    damaged += [problem] if problem else []
    facts = ShardsFacts(
        path=path,
        header=None,
        plan=plan,
        tally=_tally_of(state),
        health=Health(
            num_planned=plan.num_shards,
            num_committed=len(state.committed),
            leftovers=_leftovers(folder, state),
            has_manifest=has_manifest,
            verified=verify,
        ),
    )
    shards = [Shard(folder / f"shard-{n:06d}.tar", state.committed[n]) for n in state.committed]
    try:
        facts = _with_samples(facts, shards)
    except UnreachableError:
        raise
    except ShardError as error:
        damaged.append(str(error))
    if facts.header is not None and facts.header.plan_sha256 != plan.sha256:
        damaged.append(f"{shards[0].path}: belongs to another plan than its folder")
    return replace(facts, health=replace(facts.health, damaged=tuple(damaged)))


def _check_manifest(folder: Place, plan: RunPlan, state: RunState) -> tuple[bool, str]:
    """Return whether there is a manifest, and what is wrong with it, if anything."""
    try:
        manifest = read_manifest(folder)
    except UnreachableError:
        raise
    except ManifestError as error:
        return True, f"{error}: run the same command again"
    if manifest is None:
        return False, ""
    missing = plan.num_shards - len(state.committed) - len(state.distrusted)
    if missing:
        return True, (
            f"{MANIFEST_NAME} says that the run is finished, and {missing} of its "
            f"{counted(plan.num_shards, 'shard')} {'has' if missing == 1 else 'have'} no commit "
            "record: run the same command again"
        )
    if not state.distrusted and manifest != roll_up(plan, list(state.committed.values())):
        return True, (
            f"{MANIFEST_NAME} does not say what the commit records say: run the same command again"
        )
    return True, ""


def _tally_of(state: RunState) -> Tally:
    """Return the sums over the commit records that can be trusted."""
    commits = list(state.committed.values())
    reasons: Counter[str] = Counter()
    conversions: Counter[str] = Counter()
    counts: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None
    for commit in commits:
        reasons.update(commit.failures_by_reason)
        conversions.update(commit.conversions)
        if commit.codebook_counts is not None:
            these = np.array(commit.codebook_counts, np.int64)
            counts = these if counts is None else counts + these
    return Tally(
        planned=sum(commit.planned for commit in commits),
        written=sum(commit.written for commit in commits),
        duplicates=sum(commit.duplicates for commit in commits),
        num_views=sum(commit.num_views for commit in commits),
        num_tokens=sum(commit.num_tokens for commit in commits),
        num_bytes=sum(commit.num_bytes for commit in commits),
        failures_by_reason=dict(reasons.most_common()),
        conversions=dict(conversions.most_common()),
        codebook_counts=None if counts is None else tuple(counts.tolist()),
    )


def _leftovers(folder: Place, state: RunState) -> tuple[str, ...]:
    """Return the names of temporary files, and of tars that no record speaks of."""
    names = []
    known = {*state.committed, *state.distrusted}
    for name in names_in(folder):
        match = _TAR.fullmatch(name)
        is_partial = name.startswith(".") and name.endswith(PARTIAL_SUFFIX)
        if is_partial or (match and int(match[1]) not in known):
            names.append(name)
    return tuple(sorted(names))


def _with_samples(facts: ShardsFacts, shards: list[Shard]) -> ShardsFacts:
    """Return the facts with what the first samples of the first shard that has any tell."""
    filled = [shard for shard in shards if shard.num_samples] or shards
    if not filled:
        return facts
    header = filled[0].header
    samples = list(itertools.islice(filled[0], NUM_SAMPLES_LOOKED_AT))
    survey = FieldSurvey(header.feature_dtype, header.kind)
    for sample in samples:
        survey.add(sample)
    return replace(
        facts,
        header=header,
        fields=survey.fields(),
        first=samples[0] if samples else None,
        bits_per_pixel=_bits_per_pixel(header, samples),
    )


def _bits_per_pixel(header: ShardHeader, samples: list[Sample]) -> float | None:
    """Return bits of the indices over pixels of the originals that they stand for."""
    if header.kind != "indices":
        return None
    num_indices = num_pixels = 0
    for sample in samples:
        size = sample.meta.get("size")
        if isinstance(size, dict) and {"height", "width"} <= size.keys():
            num_indices += sum(indices.size for indices in sample.indices.values())
            num_pixels += int(size["height"]) * int(size["width"])
    return num_indices * math.log2(header.codebook_size) / num_pixels if num_pixels else None


def _read_tars(path: str) -> ShardsFacts:
    """Return what reading every sample of some tars tells."""
    shards = open_shards(path)
    header = shards.header
    survey, first, damaged = FieldSurvey(header.feature_dtype, header.kind), None, ""
    counter = None
    if header.kind == "indices" and header.codebook_size <= MAX_COUNTED_CODES:
        counter = CodebookCounter(header.codebook_size)
    looked_at: list[Sample] = []
    try:
        for sample in shards:
            survey.add(sample)
            if len(looked_at) < NUM_SAMPLES_LOOKED_AT:
                looked_at.append(sample)
            for indices in sample.indices.values() if counter else ():
                assert counter is not None
                counter.add(indices)
    except UnreachableError:
        raise
    except ShardError as error:
        damaged = str(error)
    first = looked_at[0] if looked_at else None
    return ShardsFacts(
        path=path,
        header=header,
        plan=None,
        tally=Tally(
            planned=survey.num_samples,
            written=survey.num_samples,
            num_views=survey.num_views,
            num_tokens=survey.num_tokens,
            num_bytes=_total_bytes(shards),
            conversions=dict(survey.conversions.most_common()),
            codebook_counts=counter.counts if counter else None,
        ),
        health=Health(
            num_planned=None,
            num_committed=len(shards.shards),
            damaged=(damaged,) if damaged else (),
        ),
        fields=survey.fields(),
        first=first,
        bits_per_pixel=_bits_per_pixel(header, looked_at),
    )


def _total_bytes(shards: ShardSet) -> int:
    try:
        return sum(num_bytes_of(shard.path) for shard in shards.shards)
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error
