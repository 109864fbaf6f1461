"""The program on a faulty disk, and small inputs for each of its commands.

A few faults of every kind are tried by `make test`, all of them (`--torture`) by `make torture`.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sweeps import Program, Scenario, digests

UNFINISHED = 8
"""The exit code that says that the same command is to be run again."""


@pytest.fixture(scope="session")
def in_full(request: pytest.FixtureRequest) -> bool:
    """Whether every fault is tried at every place."""
    return bool(request.config.getoption("--torture"))


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def program(work: Path) -> Iterator[Program]:
    program = Program(work / "log")
    yield program
    program.close()


@pytest.fixture(scope="session")
def photos(work: Path) -> Path:
    """Four small pictures in two folders, and a file that is none."""
    folder = work / "photos"
    (folder / "deep").mkdir(parents=True)
    for seed, name in enumerate(["a.png", "b.png", "deep/a.png", "deep/c.d.png"]):
        coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((32, 24)).save(folder / name)
    (folder / "broken.png").write_bytes(b"not an image")
    return folder


@pytest.fixture(scope="session")
def model(work: Path) -> Path:
    import torch

    from vtok.models.files.weights import save_folder
    from vtok.models.vtok_base import VtokBaseTokenizer
    from vtok.models.vtok_base_networks import VtokBaseConfig

    config = VtokBaseConfig(
        width=16, hidden=16, encoder_layers="c", decoder_layers="c", num_heads=2, window=4,
        codebook_size=300, code_dim=8,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_folder(work / "model", VtokBaseTokenizer(config), config.to_json())
    return work / "model"


@pytest.fixture(scope="session")
def scenarios(work: Path, photos: Path, model: Path, program: Program) -> dict[str, Scenario]:
    tiny = ["--shard-size", "3", "--workers", "0", "--quiet"]
    small = ["--model", str(model), "--batch-size", "2", *tiny]
    indices = work / "indices"
    assert program.run(["encode-vq", str(photos), str(indices), *small]).status == 0
    tile = ["--tile-size", "28", *tiny]
    earlier, finished = work / "earlier", work / "finished"
    assert program.run(["tile", str(photos), str(earlier), *tiny, "--tile-size", "14"]).status == 0
    assert program.run(["tile", str(photos), str(finished), *tile]).status == 0
    twins = work / "twins"
    shutil.copytree(photos, twins)
    for name in ("deep/b.png", "z.png"):
        shutil.copy(photos / "a.png", twins / name)

    def copied(folder: Path, of: Path = earlier) -> dict[str, str]:
        shutil.copytree(of, folder)
        return digests(folder)

    def damaged(folder: Path) -> dict[str, str]:
        shutil.copytree(finished, folder)
        tar = bytearray((folder / "shard-000001.tar").read_bytes())
        tar[len(tar) // 2] ^= 1
        (folder / "shard-000001.tar").write_bytes(tar)
        return digests(folder)

    return {
        each.name: each
        for each in [
            Scenario(name="tile", arguments=lambda out: ["tile", str(photos), str(out), *tile]),
            Scenario(
                name="tile --overwrite",
                arguments=lambda out: ["tile", str(photos), str(out), "--overwrite", *tile],
                before=copied,
            ),
            Scenario(
                name="tile --retry-failed",
                arguments=lambda out: ["tile", str(photos), str(out), "--retry-failed", *tile],
                before=lambda out: copied(out, finished),
            ),
            Scenario(
                name="tile --dedupe",
                arguments=lambda out: ["tile", str(twins), str(out), "--dedupe", *tile],
            ),
            Scenario(
                name="verify --repair",
                arguments=lambda out: ["verify", str(out), "--repair", "--workers", "1"],
                before=damaged,
                status=UNFINISHED,
                is_damaged=True,
            ),
            Scenario(
                name="encode-continuous",
                arguments=lambda out: ["encode-continuous", str(photos), str(out), *small],
            ),
            Scenario(
                name="encode-vq",
                arguments=lambda out: [
                    *["encode-vq", str(photos), str(out), "--layout", "block", *small]
                ],
            ),
            Scenario(
                name="decode-vq",
                arguments=lambda out: [
                    *["decode-vq", str(indices), str(out), "--model", str(model)],
                    *["--format", "png", "--workers", "1", "--quiet"],
                ],
            ),
            Scenario(
                name="decode-vq to webdataset",
                arguments=lambda out: [
                    *["decode-vq", str(indices), str(out), "--model", str(model)],
                    *["--format", "png", "--output-format", "webdataset"],
                    *["--shard-size", "3", "--workers", "1", "--quiet"],
                ],
            ),
            Scenario(
                name="models convert",
                arguments=lambda out: ["models", "convert", str(model), str(out)],
            ),
            Scenario(
                name="train-vq",
                arguments=lambda out: [
                    *["train-vq", str(photos), str(out), "--from", str(model), "--steps", "2"],
                    *["--batch-size", "1", "--crop", "8", "--quiet"],
                ],
            ),
        ]
    }
