"""One run shared among processes: each takes its crops of a step, all keep the same weights.

In: what torch's own launcher puts in the environment (`torchrun --nproc-per-node 8 --no-python
vtok train-vq ...`). Out: averages and collections over the processes. Alone, everything here is the
identity. Knows nothing of models, losses or folders.

The curve is that of one process with the whole batch, but for the order of sums: gradients are
averaged over equal shares of the crops, and every process moves its codebook by all latents.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from vtok.errors import UsageError


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: This one's number.
        number: How many there are.
    """

    rank: int = 0
    number: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def share(self, batch_size: int) -> range:
        """Return the numbers of this process's crops of a batch.

        Raises:
            UsageError: the batch cannot be cut into equal shares.
        """
        if batch_size % self.number:
            raise UsageError(
                f"a batch of {batch_size} crops cannot be shared among {self.number} processes: "
                "give a --batch-size that they divide"
            )
        size = batch_size // self.number
        return range(self.rank * size, (self.rank + 1) * size)

    def wait(self) -> None:
        """Return once every process is here."""
        if self.number > 1:
            distributed.barrier()

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors of one dtype and device, in place, by their means over the processes."""
        if self.number == 1:
            return
        parts = list(tensors)
        flat = torch.cat([part.flatten() for part in parts])
        distributed.all_reduce(flat)
        flat /= self.number
        for part, mean in zip(
            parts, torch.split(flat, [part.numel() for part in parts]), strict=True
        ):
            part.copy_(mean.view_as(part))

    def agree(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors, in place, by those of the first process.

        What a GPU sums by atomic additions differs in the last bit from one to the next.
        """
        if self.number > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, src=0)

    def collect(self, tensor: Tensor) -> Tensor:
        """Return the tensors (B, ...) of all processes, joined in their order along B."""
        if self.number == 1:
            return tensor
        parts = [torch.empty_like(tensor) for _ in range(self.number)]
        distributed.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)


@contextmanager
def joined_processes(device: torch.device) -> Iterator[Processes]:
    """Join the processes that the launcher started, if it did, while the block lasts."""
    number = int(os.environ.get("WORLD_SIZE", "1"))
    if number == 1:
        yield Processes()
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), number)
    finally:
        distributed.destroy_process_group()


def own_device(name: str) -> str:
    """Return the device of this process: under the launcher, each takes a GPU of its own."""
    local_rank = os.environ.get("LOCAL_RANK")
    is_gpu = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    return f"cuda:{local_rank}" if local_rank is not None and is_gpu else name
