"""`vtok train-vq`: photographs in, a model folder out.

In: any input that vtok reads, a preset and what differs from it. Out: a folder that `--model`
loads. The work is done in `vtok.training`.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vtok.engine.device import resolve_device
from vtok.errors import OutputError, UsageError
from vtok.io.sources import open_source
from vtok.models.registry import load_tokenizer
from vtok.models.vtok_base import VtokBaseTokenizer
from vtok.training.photographs import split_photographs
from vtok.training.processes import joined_processes, own_device
from vtok.training.recipe import TrainingRecipe, preset
from vtok.training.run import CHECKPOINT_NAME, LOG_NAME, Progress, RunOptions, train
from vtok.training.validation import Validation


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainVqConfig:
    """`vtok train-vq`.

    Attributes:
        images: What to learn from and to be judged by, as the user typed it.
        output: The folder to write.
        preset: Shape of the model and recipe.
        start: A model to fine-tune instead; its shape is taken, the preset's recipe kept.
        steps: Optimizer steps; None for the preset's.
        batch_size: Crops a step; None for the preset's.
        crop_px: Side of a crop; None for the preset's.
        learning_rate: At its highest; None for the preset's.
        colour: Most that colours are changed by, as a share; None for the preset's.
        generated: Share of crops that are drawn instead; None for the preset's.
        precision: `bf16` or `fp32`; None for the preset's.
        seed: Of every draw.
        holdout: Most images, the last by name, that are never learnt from.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        overwrite: Start over if the folder holds another run, instead of refusing.
    """

    images: str
    output: Path
    preset: str = "vtok-base"
    start: str | None = None
    steps: int | None = None
    batch_size: int | None = None
    crop_px: int | None = None
    learning_rate: float | None = None
    colour: float | None = None
    generated: float | None = None
    precision: str | None = None
    seed: int = 0
    holdout: int = 100
    device: str = "auto"
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse what no run can do."""
        if self.holdout < 1:
            raise UsageError(f"--holdout must be at least 1, not {self.holdout}")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise UsageError(f"--learning-rate must be above 0, not {self.learning_rate}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What came out of a training run.

    Attributes:
        output: The model folder.
        weights_sha256: Digest of its weights.
        figures: Over all the images held out, with the weights as they are stored.
        num_learnt: Images learnt from.
        failures: Source → why it could not be decoded.
    """

    output: str
    weights_sha256: str
    figures: Validation
    num_learnt: int
    failures: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the report, JSON-ready."""
        return {
            "output": self.output,
            "weights_sha256": self.weights_sha256,
            "validation": self.figures._asdict(),
            "num_learnt": self.num_learnt,
            "failures": self.failures,
        }


def train_vq(config: TrainVqConfig, progress: Progress) -> TrainReport | None:
    """Train a tokenizer, going on where an earlier call was interrupted.

    Under torch's launcher (`torchrun`) the processes share the run; all but the first return None.

    Raises:
        UsageError: a number or a preset cannot be.
        InputError: there are too few images, or none can be decoded.
        WeightsError: the checkpoint in the folder is of another run, or damaged.
        DeviceError: there is no such device.
        OutputError: the folder cannot be written.
    """
    shape, recipe = preset(config.preset)
    recipe = _with_overrides(recipe, config)
    device = resolve_device(own_device(config.device))
    start = _fine_tuned(config.start)
    if start is not None:
        # A model from before codes were chosen together learns to choose them so.
        sweeps = start.config.diffusion_sweeps or shape.diffusion_sweeps
        shape = replace(start.config, diffusion_sweeps=sweeps)
    if recipe.crop_px % shape.patch_px:
        raise UsageError(f"--crop must be a multiple of {shape.patch_px}, not {recipe.crop_px}")
    images = split_photographs(open_source(config.images), holdout=config.holdout)
    with joined_processes(device) as processes:
        if config.overwrite and processes.is_first:
            _remove_run(config.output)
        processes.wait()
        options = RunOptions(device=device, progress=progress, processes=processes)
        result = train(config.output, shape, recipe, images, start=start, options=options)
    if result is None:
        return None
    saved, figures = result
    return TrainReport(
        output=str(saved.path),
        weights_sha256=saved.weights_sha256,
        figures=figures,
        num_learnt=len(images[0]),
        failures={**images[0].failures, **images[1].failures},
    )


def _with_overrides(recipe: TrainingRecipe, config: TrainVqConfig) -> TrainingRecipe:
    given = {
        "num_steps": config.steps,
        "batch_size": config.batch_size,
        "crop_px": config.crop_px,
        "learning_rate": config.learning_rate,
        "colour_jitter": config.colour,
        "generated_share": config.generated,
        "precision": config.precision,
        "seed": config.seed,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(recipe, **changes)


def _fine_tuned(name: str | None) -> VtokBaseTokenizer | None:
    """Return the model to start from, if there is to be one.

    Raises:
        UsageError: it is of a family that this recipe does not train.
    """
    if name is None:
        return None
    model = load_tokenizer(name)
    if not isinstance(model, VtokBaseTokenizer):
        raise UsageError(
            f"--from {name}: only models of the family vtok-base are trained, "
            f"not {model.spec.family}"
        )
    return model


def _remove_run(folder: Path) -> None:
    """Remove an earlier run's folder, if it is one and nothing else.

    Raises:
        OutputError: the folder holds no run of ours, and is left alone.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / CHECKPOINT_NAME).exists() and not (folder / LOG_NAME).exists():
        raise OutputError(f"{folder} holds no training run: --overwrite leaves it alone")
    shutil.rmtree(folder)
