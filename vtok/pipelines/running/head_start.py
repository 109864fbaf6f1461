"""What a run begins before its model is there: listing its inputs, and starting decode workers.

In: where a run reads and writes. Out: its list when that is asked for, and processes that wait for
a preparation. Nothing here loads torch, so that all of it goes on while others do. What cannot be
of a command's input and output is said before anything starts.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

from vtok.engine.decoding import default_num_workers, first_workers
from vtok.engine.process import WorkerProcess
from vtok.pipelines.config.commands import EncodeContinuousConfig, EncodeVqConfig
from vtok.pipelines.config.parts import RunConfig
from vtok.pipelines.inputs.listing import Listing
from vtok.pipelines.outputs.folder import check_output
from vtok.shards.plan import PLAN_NAME


class HeadStart:
    """A list in the making and decode workers; a context manager that leaves no process behind.

    Args:
        config: Where the run reads and writes.
        with_workers: Whether this process is the one that decodes.

    Attributes:
        listing: The inputs.
        workers: Decode workers that nobody has told anything; whoever needs them takes them out.

    Raises:
        UsageError: the output cannot be one.
        OutputError: likewise.
        InputError: there is nothing to read.
        ShardError: an archive is damaged.
    """

    def __init__(self, config: RunConfig, *, with_workers: bool = True) -> None:
        check_output(config.output, config.input, may_be_remote=True)
        self.workers: list[WorkerProcess] = []
        self.listing = Listing(config.input, config.limit, also=config.limits.extensions())
        if with_workers and _is_fresh(config):
            wanted = config.workers
            if wanted is None:
                wanted = first_workers(default_num_workers())
            self.workers += [WorkerProcess() for _ in range(self.listing.most(wanted))]

    @classmethod
    def of_model(cls, config: EncodeVqConfig | EncodeContinuousConfig) -> Self:
        """Return the head start of a run with a model; errors as the class."""
        return cls(config.run, with_workers=not config.model.is_spread)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.listing.__exit__(kind, error, trace)
        while self.workers:
            self.workers.pop().kill()


def _is_fresh(config: RunConfig) -> bool:
    """Tell whether there is work for certain: a run that goes on may have done all of it."""
    if not isinstance(config.output, Path):
        return False
    return config.overwrite or not (config.output / PLAN_NAME).exists()
