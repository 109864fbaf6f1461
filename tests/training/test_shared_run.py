"""A run shared among processes follows the curve of the run that is not."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_fixtures import SHORT, TINY, write_pictures

from vtok.errors import UsageError
from vtok.io.sources import open_source
from vtok.training.loader import CropLoader
from vtok.training.photographs import split_photographs
from vtok.training.processes import Processes, own_device
from vtok.training.run import RunOptions, train

# fp32, so that the order of sums is the only difference.
RECIPE = dataclasses.replace(SHORT, batch_size=4, precision="fp32")

SHARED_RUN = """
import sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
from test_shared_run import run_into
from vtok.training.processes import joined_processes
torch.set_num_threads(1)
with joined_processes(torch.device("cpu")) as processes:
    run_into(Path(sys.argv[2]), Path(sys.argv[3]), processes)
"""


def run_into(folder: Path, photographs: Path, processes: Processes) -> None:
    options = RunOptions(processes=processes, validate_every=4)
    images = split_photographs(open_source(str(photographs)), holdout=3)
    train(folder, TINY, RECIPE, images, options=options)


def test_two_processes_follow_the_curve_of_one(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", 12)
    run_into(tmp_path / "one", tmp_path / "photos", Processes())
    here = str(Path(__file__).parent)
    arguments = [sys.executable, "-c", SHARED_RUN, here]
    arguments += [str(tmp_path / "two"), str(tmp_path / "photos")]
    rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "WORLD_SIZE": "2"}
    rendezvous["MASTER_PORT"] = str(29500 + os.getpid() % 20000)
    started = [
        subprocess.Popen(arguments, env={**os.environ, **rendezvous, "RANK": str(rank)})
        for rank in range(2)
    ]
    assert [each.wait(timeout=120) for each in started] == [0, 0]
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-3, rtol=2e-2, msg=name)
    lines = [
        json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[0])
        for name in ("one", "two")
    ]
    assert lines[0]["validation"]["psnr_db"] == pytest.approx(
        lines[1]["validation"]["psnr_db"], abs=0.01
    )


def test_shares_are_equal_and_cover_the_batch() -> None:
    shares = [Processes(rank, 3).share(12) for rank in range(3)]
    assert [n for share in shares for n in share] == list(range(12))
    with pytest.raises(UsageError, match="a batch of 10 crops"):
        Processes(0, 3).share(10)


def test_alone_everything_is_as_it_was() -> None:
    alone = Processes()
    values = torch.arange(3.0)
    alone.average([values])
    alone.agree([values])
    assert torch.equal(alone.collect(values), torch.arange(3.0))


def test_each_process_takes_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_device("cuda") == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert own_device("cuda") == "cuda:3"
    assert own_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert own_device("auto") == "auto"


def test_a_loader_gives_each_step_its_own_crops_in_any_order() -> None:
    def draw(step: int, numbers: range) -> torch.Tensor:
        return torch.tensor([[100 * step + number] for number in numbers])

    loader = CropLoader(draw, range(2, 5))
    try:
        for step in (0, 1, 2, 7):
            assert loader.step(step).flatten().tolist() == [100 * step + n for n in (2, 3, 4)]
    finally:
        loader.close()
