"""The output folder of a run: made, locked, begun or resumed, never taken from another run.

In: a folder and a plan. Out: what of the plan is already there. Only files that vtok made in a
folder that vtok began are ever removed. Knows nothing of what a run does.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vtok.errors import OutputError, UsageError
from vtok.io.files import folder_lock, make_folder
from vtok.io.places import Place
from vtok.pipelines.outputs.roll_ups import ROLL_UPS
from vtok.shards.commit import CommitRecord
from vtok.shards.plan import MANIFEST_NAME, PLAN_NAME, RunPlan, begin_run
from vtok.shards.resume import (
    RunState,
    committed_shards,
    remove_leftovers,
    remove_shard,
    without_failures,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An output that a run may write to.

    Attributes:
        folder: The local folder that shards are made in.
        state: What of the plan is done.
        publish: Is called when a shard is committed in the folder.
        forget: Removes a shard, by its number, that is to be made again.
        share: Is called when a file of another kind, by its name, is written in the folder.
    """

    folder: Path
    state: RunState
    publish: Callable[[CommitRecord], None]
    forget: Callable[[int], None]
    share: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What of an earlier run is kept.

    Attributes:
        overwrite: Nothing: remove another run's files, or this one's, and start over.
        retry_failed: Not the shards in which samples failed, which are made again.
        verify: Only shards whose bytes have their digest; their length alone is looked at if not.
    """

    overwrite: bool = False
    retry_failed: bool = False
    verify: bool = False

    def state(self, folder: Place, plan: RunPlan) -> RunState:
        """Return what of the plan is done in a folder.

        Raises:
            OSError: a remote place cannot be read.
        """
        state = committed_shards(folder, plan, verify=self.verify)
        return without_failures(state) if self.retry_failed else state


@contextmanager
def local_output(folder: Path, plan: RunPlan, trust: Trust) -> Iterator[Held]:
    """Hold a local folder, as `output_folder` does."""
    with output_folder(folder, plan, trust) as state:
        yield Held(
            folder=folder,
            state=state,
            publish=lambda commit: None,
            forget=lambda shard: remove_shard(folder, shard),
            share=lambda name: None,
        )


OURS = re.compile(r"shard-[0-9]{6}\.(?:tar|json)|" + re.escape(MANIFEST_NAME))


def check_output(folder: Place, text: str, *, may_be_remote: bool = False) -> None:
    """Refuse a folder that a run must not write to, before anything is read.

    Raises:
        UsageError: it is a URL, or the input itself.
        OutputError: a file is in the way.
    """
    if not isinstance(folder, Path):
        if may_be_remote:
            return
        raise UsageError(f"the output {folder} is a URL: name a local folder")
    if "://" in str(folder) or re.match(r"[a-z0-9]+:/", str(folder)):
        raise UsageError(f"the output {folder} is a URL: name a local folder")
    if folder.is_symlink() and not os.path.exists(folder):
        raise OutputError(f"the output {folder} is a link that leads nowhere: name a folder")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"the output {folder} is a file: name a folder")
    if folder.exists() and Path(text).exists() and folder.samefile(text):
        raise UsageError(f"{folder} is the input and the output: name another output folder")


@contextmanager
def output_folder(folder: Path, plan: RunPlan, trust: Trust) -> Iterator[RunState]:
    """Hold an output folder for this plan; give what of it is done, all else removed.

    Args:
        folder: Made if it is not there.
        plan: What is to be done.
        trust: What is kept of an earlier run.

    Raises:
        PlanMismatchError: the folder was begun with another plan.
        OutputError: it cannot be written, is in use, or holds shards that no plan speaks of.
    """
    make_folder(folder)
    with folder_lock(folder):
        begun = (folder / PLAN_NAME).exists()
        if not begun:
            _refuse_strangers(folder)
        elif trust.overwrite:
            _remove_run(folder)
        begin_run(folder, plan)
        state = trust.state(folder, plan)
        remove_leftovers(folder, state)
        yield state


def _refuse_strangers(folder: Path) -> None:
    """Refuse to mix with shards that were put there by someone else."""
    for path in folder.iterdir():
        if OURS.fullmatch(path.name):
            raise OutputError(
                f"{path} is there, but no {PLAN_NAME}: these shards are not of a run that could "
                "be resumed: name another folder, or move them"
            )


def _remove_run(folder: Path) -> None:
    """Remove a run's files; the plan last, so that the folder stays known as vtok's."""
    remove_leftovers(folder, RunState({}, {}))
    for name in (MANIFEST_NAME, *ROLL_UPS, PLAN_NAME):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{folder / name}: cannot be removed: {error.strerror}") from error
