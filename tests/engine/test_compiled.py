"""Compiled models: the same tokens, batches of one size, and a clear word where it cannot be."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from test_runner import CPU, plain, prepared
from torch import Tensor, nn

from vtok.engine import compiled
from vtok.engine.coding import TokenizeForward
from vtok.engine.compiled import CACHE_VARIABLE, Compiled
from vtok.engine.runner import Runner
from vtok.errors import DeviceError
from vtok.models.base import PixelRange, Tokenizer, TokenizerSpec


class LevelTokenizer(Tokenizer):
    """A small network and a code for every 4 x 4 block; each number is of its own block."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = TokenizerSpec(
            name="level", family="level", downsample=4, codebook_size=64, code_dim=3,
            pixels=PixelRange(), alignment_px=4,
        )  # fmt: skip
        torch.manual_seed(3)
        self.first = nn.Conv2d(3, 8, 4, 4)
        self.last = nn.Conv2d(8, 3, 1)
        self.num_rows: list[int] = []

    def encode(self, pixels: Tensor) -> Tensor:
        return torch.tanh(self.last(nn.functional.gelu(self.first(pixels))))

    def quantize(self, latents: Tensor) -> Tensor:
        self.num_rows.append(len(latents))
        levels = ((latents + 1) * 2).long().clamp(0, 3)  # (B, 3, h, w)
        return levels[:, 0] * 16 + levels[:, 1] * 4 + levels[:, 2]

    def lookup(self, indices: Tensor) -> Tensor:
        raise NotImplementedError

    def decode(self, codes: Tensor) -> Tensor:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def indices(tokenizer: LevelTokenizer, *, is_compiled: bool, num_lanes: int = 0) -> Any:
    forward = TokenizeForward(tokenizer, device=CPU)
    runner = Runner(forward, batch_size=4, num_lanes=num_lanes, is_compiled=is_compiled)
    found = plain(runner.encode(prepared(9)))
    runner.close()
    return found


@pytest.mark.parametrize("num_lanes", [0, 2])
def test_tokens_are_the_same_and_batches_of_one_size(
    monkeypatch: pytest.MonkeyPatch, num_lanes: int
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    expected = indices(LevelTokenizer(), is_compiled=False)
    tokenizer = LevelTokenizer()
    assert indices(tokenizer, is_compiled=True, num_lanes=num_lanes) == expected
    assert set(tokenizer.num_rows) == {4}


def test_a_batch_that_does_not_fit_is_halved_and_filled_to_the_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")

    class Short(LevelTokenizer):
        def quantize(self, latents: Tensor) -> Tensor:
            found = super().quantize(latents)
            if len(latents) > 2:
                raise torch.OutOfMemoryError("pretended")
            return found

    expected = indices(LevelTokenizer(), is_compiled=False)
    tokenizer = Short()
    assert indices(tokenizer, is_compiled=True) == expected
    assert tokenizer.num_rows[0] == 4
    assert tokenizer.num_rows[-1] == 2
    assert {rows for rows in tokenizer.num_rows if rows < 3} == {2}


def test_what_cannot_be_compiled_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(graph: object, inputs: object) -> object:
        raise RuntimeError("no such instruction\nand a long story")

    monkeypatch.setattr(compiled, "BACKEND", refuses)
    function = Compiled(lambda tensor: tensor + 1, CPU)
    with pytest.raises(DeviceError, match=r"^--compile: .*no such instruction.*leave out") as told:
        function(torch.ones(3))
    assert "\n" not in str(told.value)


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(DeviceError, match=r"no no-such-compiler here.*CXX"):
        Compiled(torch.sin, CPU)
    with pytest.raises(DeviceError, match="not for mps"):
        Compiled(torch.sin, torch.device("mps"))


def test_results_of_compiling_are_kept_in_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, "elsewhere")
    compiled.keep_compiled()
    assert compiled.os.environ[CACHE_VARIABLE] == "elsewhere"
    monkeypatch.delenv(CACHE_VARIABLE)
    compiled.keep_compiled()
    assert compiled.os.environ[CACHE_VARIABLE] == str(tmp_path / "vtok" / "compiled")
    (tmp_path / "file").touch()
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    compiled.keep_compiled()
    assert CACHE_VARIABLE not in compiled.os.environ


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the compiler, as it is loaded
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_the_compiler_itself_and_its_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torch._dynamo.utils import counters

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    expected = indices(LevelTokenizer(), is_compiled=False)
    assert indices(LevelTokenizer(), is_compiled=True, num_lanes=2) == expected
    assert list(tmp_path.rglob("*.so"))
    torch._dynamo.reset()
    counters.clear()
    assert indices(LevelTokenizer(), is_compiled=True, num_lanes=2) == expected
    found = counters["inductor"]
    assert (found["fxgraph_cache_hit"] > 0, found["fxgraph_cache_miss"]) == (True, 0)
