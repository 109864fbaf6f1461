"""`decode-vq` writes in threads: an interrupt waits for the file at hand, and for no other."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vtok.pipelines.decoding.files import _Pen
from vtok.pipelines.outputs.pictures import ImageCodec, Pixels


class SlowCodec(ImageCodec):
    """Takes its time; says when it has begun."""

    begun = threading.Event()

    def encode(self, pixels: Pixels) -> bytes:
        SlowCodec.begun.set()
        time.sleep(0.3)
        return b"whole"


def test_a_thread_that_was_being_started_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(
        pool: ThreadPoolExecutor, function: Callable[..., None], *arguments: Any
    ) -> Future[None]:
        """Start a thread, as the pool does, and be interrupted before it is in the pool's list."""
        threading.Thread(target=function, args=arguments).start()
        SlowCodec.begun.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    pixels = np.zeros((2, 2, 3), np.uint8)
    with (
        pytest.raises(KeyboardInterrupt),
        _Pen(tmp_path, SlowCodec(format="png", quality=None), 1) as pen,
    ):
        pen.write(Path("a.png"), pixels)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"whole"
    pen._write(Path("b.png"), pixels)  # a thread that had not begun yet
    assert not (tmp_path / "b.png").exists()
