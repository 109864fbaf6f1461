import dataclasses
import math
from pathlib import Path

import pytest
import torch
from training_fixtures import SHORT, TINY, picture

from vtok.errors import WeightsError
from vtok.models.vtok_base import VtokBaseTokenizer
from vtok.training.crops import RandomCrops
from vtok.training.loss import reconstruction_loss
from vtok.training.recipe import TrainingRecipe
from vtok.training.trainer import Trainer, rate_factor


def trainer(recipe: TrainingRecipe = SHORT, start: VtokBaseTokenizer | None = None) -> Trainer:
    crops = RandomCrops([picture(i) for i in range(6)], recipe)
    return Trainer(TINY, recipe, crops.batch, device=torch.device("cpu"), start=start)


def test_a_resumed_run_is_the_run_that_was_never_interrupted(tmp_path: Path) -> None:
    whole = trainer()
    whole.prepare()
    reports = [whole.train_step() for _ in range(6)]

    begun = trainer()
    begun.prepare()
    for _ in range(3):
        begun.train_step()
    begun.save(tmp_path / "checkpoint.pt")
    resumed = trainer()
    resumed.load(tmp_path / "checkpoint.pt")
    assert resumed.step == 3
    assert [resumed.train_step() for _ in range(3)] == reports[3:]
    for name, tensor in whole.averaged().state_dict().items():
        assert torch.equal(tensor, resumed.averaged().state_dict()[name]), name


def test_a_checkpoint_of_another_recipe_is_refused_with_the_difference(tmp_path: Path) -> None:
    begun = trainer()
    begun.save(tmp_path / "checkpoint.pt")
    other = trainer(dataclasses.replace(SHORT, batch_size=3))
    with pytest.raises(WeightsError, match="batch_size 2 → 3"):
        other.load(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_an_error_that_names_it(
    tmp_path: Path, damage: bytes | None
) -> None:
    path = tmp_path / "checkpoint.pt"
    begun = trainer()
    begun.save(path)
    path.write_bytes(path.read_bytes()[:1000] if damage is None else damage)
    with pytest.raises(WeightsError, match=r"checkpoint\.pt: not a whole checkpoint"):
        trainer().load(path)


def test_training_improves_on_the_transform_coder_it_starts_from() -> None:
    recipe = dataclasses.replace(
        SHORT, num_steps=150, batch_size=4, codebook_decay=0.9, revive_after=0, weight_average=0.9
    )
    run = trainer(recipe)
    run.prepare()
    pixels = torch.from_numpy(picture(1, height=32, width=32)).permute(2, 0, 1)[None] / 127.5 - 1

    def error() -> float:
        model = run.averaged()
        with torch.no_grad():
            return float((model.decode_indices(model.tokenize(pixels)) - pixels).square().mean())

    before = error()
    for _ in range(150):
        run.train_step()
    assert error() < 0.8 * before


def test_fine_tuning_starts_from_the_model_given() -> None:
    torch.manual_seed(3)
    given = VtokBaseTokenizer(TINY)
    run = trainer(start=given)
    for name, tensor in run.averaged().state_dict().items():
        assert torch.equal(tensor, given.state_dict()[name]), name
    run.train_step()
    assert run.step == 1


def test_the_rate_rises_stays_and_falls_to_a_hundredth() -> None:
    recipe = dataclasses.replace(SHORT, num_steps=100, warmup_steps=10, decay_share=0.4)
    factors = [rate_factor(recipe, step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10:60] == [1.0] * 50
    assert factors == sorted(factors[:11]) + sorted(factors[11:], reverse=True)
    assert rate_factor(recipe, 100) == pytest.approx(0.01)


def test_the_plateau_does_not_depend_on_how_long_the_run_will_be() -> None:
    short = dataclasses.replace(SHORT, num_steps=100, decay_share=0.4)
    long = dataclasses.replace(short, num_steps=1000)
    assert all(rate_factor(short, step) == rate_factor(long, step) for step in range(60))


def test_the_losss_psnr_is_the_mean_over_crops_of_their_decibels() -> None:
    torch.manual_seed(0)
    pixels, other = torch.rand(2, 3, 8, 8) * 2 - 1, torch.rand(2, 3, 8, 8) * 2 - 1
    latents = torch.rand(2, 4, 2, 2)
    loss = reconstruction_loss(pixels, other, latents, latents, commitment=1.0, log_floor=0.0)
    errors = [float(((pixels[i] - other[i]) / 2).square().mean()) for i in range(2)]
    expected = sum(-10 * math.log10(error) for error in errors) / 2
    assert float(loss.psnr_db) == pytest.approx(expected, abs=1e-3)
    assert float(loss.commitment) == 0
