import dataclasses
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from training_fixtures import SHORT, TINY, write_pictures
from typer.testing import CliRunner

from vtok.cli.app import app
from vtok.errors import InputError, WeightsError
from vtok.io.sources import open_source
from vtok.models.files.weights import save_folder
from vtok.models.registry import load_encoder, load_tokenizer
from vtok.models.vtok_base import VtokBaseTokenizer
from vtok.training.photographs import split_photographs
from vtok.training.run import Progress, RunOptions, train
from vtok.training.trainer import StepReport
from vtok.training.validation import validate


class Stop(Exception):  # noqa: N818 (an interruption, not an error)
    pass


class StopAt(Progress):
    def __init__(self, step: int) -> None:
        self.at = step

    def stepped(self, report: StepReport) -> None:
        if report.step == self.at:
            raise Stop


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "photos", 12)
    return tmp_path / "photos"


def run_into(folder: Path, photographs: Path, progress: Progress | None = None) -> None:
    options = RunOptions(progress=progress or Progress(), validate_every=4, save_every_s=0.0)
    images = split_photographs(open_source(str(photographs)), holdout=3)
    train(folder, TINY, SHORT, images, options=options)


def test_a_run_ends_with_a_model_that_loads_and_the_figures_of_what_is_stored(
    tmp_path: Path, photographs: Path
) -> None:
    folder = tmp_path / "model"
    run_into(folder, photographs)
    names = {path.name for path in folder.iterdir()} - {".vtok.lock"}
    assert names == {
        "checkpoint.pt",
        "config.json",
        "log.jsonl",
        "model.safetensors",
        "samples.png",
        "training.json",
    }
    tokenizer, encoder = load_tokenizer(str(folder)), load_encoder(str(folder))
    facts = json.loads((folder / "training.json").read_text())
    assert facts["weights_sha256"] == tokenizer.weights_sha256 == encoder.weights_sha256
    assert facts["validation"]["num_images"] == 1
    pixels = torch.zeros(1, 3, 12, 20)
    assert tokenizer.decode_indices(tokenizer.tokenize(pixels)).shape == pixels.shape
    assert encoder.features(pixels).shape == (1, 15, TINY.width)
    Image.open(folder / "samples.png").verify()


def test_an_interrupted_run_ends_as_the_quiet_one(tmp_path: Path, photographs: Path) -> None:
    run_into(tmp_path / "quiet", photographs)
    with pytest.raises(Stop):
        run_into(tmp_path / "cut", photographs, StopAt(5))
    run_into(tmp_path / "cut", photographs)
    for name in ("model.safetensors", "log.jsonl", "training.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "quiet" / name).read_bytes()


def test_fine_tuning_says_what_it_starts_from(tmp_path: Path, photographs: Path) -> None:
    run_into(tmp_path / "first", photographs)
    start = load_tokenizer(str(tmp_path / "first"))
    assert isinstance(start, VtokBaseTokenizer)
    images = split_photographs(open_source(str(photographs)), holdout=3)
    train(tmp_path / "second", TINY, SHORT, images, start=start)
    first_line = (tmp_path / "second" / "log.jsonl").read_text().splitlines()[0]
    expected = validate(start, images[1], device=torch.device("cpu"))
    assert json.loads(first_line) == {"step": 0, "validation": expected._asdict()}


def test_a_model_from_before_codes_were_chosen_together_loads_and_learns_to(
    tmp_path: Path, photographs: Path
) -> None:
    folder = tmp_path / "before"
    run_into(folder, photographs)
    config = json.loads((folder / "config.json").read_text())
    assert config.pop("diffusion_sweeps") == 2
    (folder / "config.json").write_text(json.dumps(config))
    state = load_file(folder / "model.safetensors")
    assert state.pop("diffusion.error_filter").any()
    save_file(state, folder / "model.safetensors")

    model = load_tokenizer(str(folder))
    assert isinstance(model, VtokBaseTokenizer)
    latents = torch.randn(1, TINY.code_dim, 5, 6)
    nearest = model.quantizer.quantize(latents.movedim(1, -1))
    assert torch.equal(model.quantize(latents), nearest)

    arguments = ["train-vq", str(photographs), str(tmp_path / "after"), "--from", str(folder)]
    arguments += ["--batch-size", "2", "--crop", "32", "--steps", "2", "--quiet"]
    result = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert load_file(tmp_path / "after" / "model.safetensors")["diffusion.error_filter"].any()
    assert json.loads((tmp_path / "after" / "config.json").read_text())["diffusion_sweeps"] == 2


def test_fine_tuning_keeps_the_rounds_of_the_model_that_it_starts_from(
    tmp_path: Path, photographs: Path
) -> None:
    start = dataclasses.replace(TINY, diffusion_sweeps=1)
    save_folder(tmp_path / "start", VtokBaseTokenizer(start), start.to_json())
    arguments = ["train-vq", str(photographs), str(tmp_path / "out"), "--batch-size", "2"]
    arguments += ["--from", str(tmp_path / "start"), "--crop", "32", "--steps", "1", "--quiet"]
    result = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out" / "config.json").read_text())["diffusion_sweeps"] == 1


def test_images_held_out_are_the_last_by_name_and_a_broken_one_is_passed_over(
    photographs: Path,
) -> None:
    (photographs / "picture-000.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    learnt, held_out = split_photographs(open_source(str(photographs)), holdout=1)
    assert held_out.source(0).endswith("picture-011.png")
    assert len(learnt) == 11
    assert (learnt[0] == learnt[1]).all()
    assert list(learnt.failures) == ["picture-000.png"]


def test_a_folder_of_broken_images_is_an_error(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"no image")
    learnt, _ = split_photographs(open_source(str(tmp_path)), holdout=1)
    with pytest.raises(InputError, match="none of the 2 images"):
        learnt[0]


def test_the_command_trains_resumes_and_refuses_another_recipe(
    tmp_path: Path, photographs: Path
) -> None:
    arguments = ["train-vq", str(photographs), str(tmp_path / "out"), "--batch-size", "1"]
    arguments += ["--crop", "32", "--steps", "1", "--json", "--quiet", "--device", "cpu"]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    report = json.loads(first.stdout)
    assert report["num_learnt"] == 11
    again = CliRunner().invoke(app, arguments)
    assert json.loads(again.stdout) == report
    other = CliRunner().invoke(app, [*arguments, "--seed", "1"])
    assert other.exit_code == WeightsError.exit_code
    assert "seed 0 → 1" in other.stderr
    restarted = CliRunner().invoke(app, [*arguments, "--seed", "1", "--overwrite"])
    assert restarted.exit_code == 0, restarted.output


def test_overwrite_leaves_a_folder_alone_that_holds_no_run(
    tmp_path: Path, photographs: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    result = CliRunner().invoke(
        app, ["train-vq", str(photographs), str(tmp_path / "out"), "--overwrite"]
    )
    assert result.exit_code == 3
    assert (tmp_path / "out" / "thesis.txt").exists()
