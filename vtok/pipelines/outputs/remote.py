"""A run's output behind a URL: made shard by shard in a local folder, and published from there.

In: a URL and a plan. Out: the local folder that shards are made in, what of the plan is published
already, and what to call when a shard is committed. A shard is published as it is committed on the
disk: the tar first, its length and digest verified, then its commit record, created only where none
is there. An identical object that is there already, by another run or an earlier try, is success.
So resume trusts what is published alone, and a machine that is lost takes one shard with it.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vtok.errors import OutputError, PlanMismatchError
from vtok.io.files import folder_lock, make_folder
from vtok.io.json_files import canonical_json
from vtok.io.places import RemotePath, names_in, open_place
from vtok.io.publishing import put_bytes, put_file, put_new, remove_object
from vtok.pipelines.outputs.folder import OURS, Held, Trust
from vtok.pipelines.outputs.roll_ups import FAILURES_NAME, IDENTICAL_NAME, ROLL_UPS
from vtok.shards.commit import CommitRecord, read_commit
from vtok.shards.fields import encode_json
from vtok.shards.plan import (
    MANIFEST_NAME,
    PLAN_NAME,
    RunPlan,
    check_same_plan,
    commit_name,
    read_plan,
    shard_name,
)
from vtok.shards.resume import RunState


@contextmanager
def remote_output(url: RemotePath, plan: RunPlan, trust: Trust) -> Iterator[Held]:
    """Hold a URL for this plan; give what of it is published, and a local folder for the rest.

    Raises:
        PlanMismatchError: the URL was begun with another plan.
        OutputError: it cannot be written, or another run of this machine is at work on it.
    """
    with _errors(url):
        names = set(names_in(url))
        begun = read_plan(url) if PLAN_NAME in names else None
    if begun is None and any(OURS.fullmatch(name) for name in names):
        raise OutputError(f"{url} holds shards, but no {PLAN_NAME}: name another place")
    with _staging(url) as folder:
        if begun is not None and trust.overwrite:
            for name in _in_order_of_removal(names):
                remove_object(url / name)
            begun, names = None, set()
        if begun is not None:
            check_same_plan(begun, plan, str(url))
        else:
            put_new(url / PLAN_NAME, canonical_json(plan.to_json()))
        with _errors(url):
            state = trust.state(url, plan)
        published = _Published(url, folder)
        for shard in range(plan.num_shards):
            if shard not in state.committed and commit_name(shard) in names:
                published.forget(shard)
        if len(state.committed) < plan.num_shards and MANIFEST_NAME in names:
            remove_object(url / MANIFEST_NAME)
        if IDENTICAL_NAME in names:
            published.fetch(IDENTICAL_NAME)
        try:
            yield published.held(state)
        except BaseException:
            if (folder / FAILURES_NAME).exists():
                with suppress(OutputError):  # what ended the run is the thing to be told
                    published.share(FAILURES_NAME)
            raise


class _Published:
    """A URL and the local folder that it is published from."""

    def __init__(self, url: RemotePath, folder: Path) -> None:
        self._url = url
        self._folder = folder

    def held(self, state: RunState) -> Held:
        return Held(
            folder=self._folder,
            state=state,
            publish=self.publish,
            forget=self.forget,
            share=self.share,
        )

    def publish(self, commit: CommitRecord) -> None:
        """Publish a shard that is committed on the disk, and let go of its tar there.

        Raises:
            OutputError: it could not be written, or another run has published another shard.
        """
        with _errors(self._url):
            there = read_commit(self._url, commit.shard)
        if there is not None and there != commit:
            raise OutputError(
                f"{self._url / commit_name(commit.shard)} was published by another run meanwhile, "
                "and is not the same: let one run write there"
            )
        tar = self._folder / shard_name(commit.shard)
        put_file(tar, self._url / tar.name)
        put_new(self._url / commit_name(commit.shard), encode_json(commit.to_json()) + b"\n")
        tar.unlink()

    def forget(self, shard: int) -> None:
        """Remove a shard that is to be made again, its commit record first."""
        for name in (commit_name(shard), shard_name(shard)):
            remove_object(self._url / name)

    def share(self, name: str) -> None:
        """Publish a file of another kind, in the place of one that is there."""
        put_bytes(self._url / name, (self._folder / name).read_bytes())

    def fetch(self, name: str) -> None:
        """Take what an earlier call has published."""
        with suppress(OSError), open_place(self._url / name) as file:
            (self._folder / name).write_bytes(file.read())


@contextmanager
def _staging(url: RemotePath) -> Iterator[Path]:
    """Give the local folder of a URL, emptied of what a killed run left."""
    digest = hashlib.sha256(url.url.encode()).hexdigest()[:16]
    folder = make_folder(Path(tempfile.gettempdir()) / f"vtok-staging-{digest}")
    with folder_lock(folder):
        try:
            _empty(folder)
            yield folder
        finally:
            _empty(folder)


def _empty(folder: Path) -> None:
    """Remove what a run makes; nothing that has another name."""
    for path in folder.iterdir():
        is_partial = re.fullmatch(r"\..*\.partial", path.name)
        if OURS.fullmatch(path.name) or path.name in (PLAN_NAME, *ROLL_UPS) or is_partial:
            path.unlink()


def _in_order_of_removal(names: set[str]) -> list[str]:
    """Return a run's objects, those first that speak of others; the plan last."""
    commits = sorted(name for name in names if OURS.fullmatch(name) and name.endswith(".json"))
    tars = sorted(name for name in names if OURS.fullmatch(name) and name.endswith(".tar"))
    first = [name for name in (MANIFEST_NAME, *ROLL_UPS) if name in names]
    return [*first, *(each for each in commits if each not in first), *tars, PLAN_NAME]


@contextmanager
def _errors(url: RemotePath) -> Iterator[None]:
    try:
        yield
    except PlanMismatchError:
        raise
    except OSError as error:
        raise OutputError(f"cannot use {url}: {error.strerror or error}") from error
