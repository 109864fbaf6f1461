"""The program, loaded once and forked for every run: a sweep of hundreds of runs in seconds.

    python tests/torture/zygote.py

In, a line each: `{"arguments": [...], "kind": "kill" | ... | null, "at": n, "log": path,
"mount": path}`. Out, a line each: `{"status": exit code or -signal, "operations": [their
kinds], "struck": which kind, "max_bytes": resident memory at its highest}`. What the run prints
goes to the file `log`. The parent of the runs is one thread that does nothing else.
"""

import functools
import gc
import importlib
import json
import os
import pkgutil
import sys
import time
from contextlib import suppress

from faulty_disk import Counter, FaultyDisk

MAX_RUN_S = 120.0
NOT_RUN = 99


def main() -> None:
    """Serve until standard input ends."""
    preload()
    counter = Counter()
    for line in sys.stdin:
        order = json.loads(line)
        counter.reset()
        pid = os.fork()
        if pid == 0:
            try:
                run(order, counter)
            finally:
                os._exit(NOT_RUN)
        status, max_bytes = wait(pid)
        reply = {"status": status, "operations": counter.operations, "struck": counter.struck}
        reply["max_bytes"] = max_bytes
        print(json.dumps(reply), flush=True)


def preload() -> None:
    """Import all that any command imports, so that no run pays for it."""
    import torch
    import torch._dynamo
    import torch.fx.experimental.symbolic_shapes
    from PIL import Image

    import vtok
    import vtok.cli.app as app

    with suppress(ImportError):
        import typer._adapters  # noqa: F401 - what it loads when a command is first called

    torch.set_num_threads(1)
    Image.init()
    for module in pkgutil.walk_packages(vtok.__path__, "vtok."):
        with suppress(ImportError):  # of an extra that is not installed
            importlib.import_module(module.name)
    app.load_command = functools.cache(app.load_command)
    for row in app.COMMANDS:
        app.load_command(row)
    gc.freeze()  # a collection in a fork would copy every page


def run(order: dict[str, object], counter: Counter) -> None:
    """Be the program, on a faulty disk."""
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    train_in_small_steps()
    import vtok.cli.app as app

    disk = FaultyDisk(counter, order["kind"], order["at"], order["mount"])  # type: ignore[arg-type]
    disk.install()
    code = 0
    try:
        app.app(args=order["arguments"], prog_name="vtok")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - as at the top of a program
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def train_in_small_steps() -> None:
    """Save and validate at every step of training, not every two minutes."""
    import vtok.pipelines.train_vq as train_vq

    train_vq.RunOptions = functools.partial(  # type: ignore[misc,assignment]
        train_vq.RunOptions, save_every_s=0.0, validate_every=2
    )


def wait(pid: int) -> tuple[int, int]:
    """Wait for a run, not for ever; return its exit code or minus its signal, and its memory."""
    ends = time.monotonic() + MAX_RUN_S
    while time.monotonic() < ends:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            unit = 1 if sys.platform == "darwin" else 1024
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss * unit
        time.sleep(0.002)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    raise TimeoutError(f"a run did not end within {MAX_RUN_S:g} s")


if __name__ == "__main__":
    main()
