"""A model's function, compiled once for every shape that it is given, and kept for the next run.

In: a function of one tensor. Out: the same function, slow on its first call with a shape and faster
afterwards. What the compiler makes of it lies in a folder, where later processes find it. Knows no
model and forms no batch.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor

from vtok.errors import DeviceError

Function = Callable[[Tensor], Tensor]

BACKEND = "inductor"
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


class Compiled:
    """A compiled function; may be called from several threads.

    Args:
        function: Of a tensor; its result depends on nothing else that changes.
        device: Where it runs.
    """

    def __init__(self, function: Function, device: torch.device) -> None:
        require_compiler(device)
        keep_compiled()
        if device.type == "cpu" and BACKEND == "inductor":
            import torch._inductor.config as inductor

            inductor.cpp.threads = 1  # a batch is computed by one thread, whoever compiles
        self._function: Function = torch.compile(function, backend=BACKEND, dynamic=False)
        self._known: set[tuple[torch.Size, torch.dtype]] = set()
        self._lock = Lock()

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return what the function returns.

        Raises:
            DeviceError: it cannot be compiled here.
        """
        kind = (inputs.shape, inputs.dtype)
        if kind in self._known:
            return self._function(inputs)
        with self._lock:  # two threads would compile the same
            result = self._compile(inputs)
            self._known.add(kind)
        return result

    def _compile(self, inputs: Tensor) -> Tensor:
        from torch._dynamo.exc import TorchDynamoException  # loading the compiler takes a second

        try:
            return self._function(inputs)
        except TorchDynamoException as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            what = " ".join(lines[:2]) or type(error).__name__  # who failed, and how
            raise DeviceError(
                f"--compile: torch cannot compile this model here: {what} (leave out --compile)"
            ) from error


def require_compiler(device: torch.device) -> None:
    """Refuse where what makes code for the device is missing.

    Raises:
        DeviceError: there is no C++ compiler for a CPU, no Triton for a GPU, or no way at all.
    """
    if BACKEND != "inductor":
        return
    if device.type == "cpu":
        name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
        if shutil.which(name) is None:
            raise DeviceError(
                f"--compile needs a C++ compiler, and there is no {name} here: install one, name "
                "another by CXX=..., or leave out --compile"
            )
    elif device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise DeviceError(
                "--compile on a GPU needs Triton, which is not installed here (or does not know "
                "this GPU): pip install triton, or leave out --compile"
            )
    else:
        raise DeviceError(f"--compile is for cpu and cuda, not for {device.type}: leave it out")


def keep_compiled() -> None:
    """Have the compiler keep its results in the user's cache, unless it was told where."""
    if os.environ.get(CACHE_VARIABLE):
        return
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(root) / "vtok" / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # then it keeps them where temporary files go
    os.environ[CACHE_VARIABLE] = str(folder)
