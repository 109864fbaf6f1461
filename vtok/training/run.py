"""A training run in a folder: begun, interrupted, resumed, finished with a model that loads.

In: images to learn from, images to judge by, a recipe, a folder. Out: in the folder, a checkpoint
(replaced as the run goes on), `log.jsonl` (a line every so many steps), `samples.png` (originals
above reconstructions), and at the end `config.json`, `model.safetensors`, `training.json`. Knows
nothing of the command line; progress goes to a callback. Of several processes that share a run,
one writes.
"""

import io
import json
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from vtok.engine.quality import psnr
from vtok.io.files import folder_lock, make_folder, remove_partials, write_bytes
from vtok.models.files.weights import ModelFolder, save_folder
from vtok.models.vtok_base import VtokBaseTokenizer
from vtok.models.vtok_base_networks import VtokBaseConfig
from vtok.report import Pair, contact_sheet
from vtok.training.crops import RandomCrops
from vtok.training.photographs import Photographs
from vtok.training.processes import Processes
from vtok.training.recipe import TrainingRecipe
from vtok.training.trainer import StepReport, Trainer
from vtok.training.validation import Validation, reconstruct, validate
from vtok.training.whitening import fit_whitening

CHECKPOINT_NAME = "checkpoint.pt"
LOG_NAME = "log.jsonl"
SAMPLES_NAME = "samples.png"
FIGURES_NAME = "training.json"

_LOG_EVERY_STEPS = 50
_SAMPLES = 6


class Progress:
    """What a run tells while it goes on; the default says nothing."""

    def begun(self, step: int, num_steps: int) -> None:
        """The run starts, or goes on, at this step."""

    def stepped(self, report: StepReport) -> None:
        """A step was done."""

    def validated(self, step: int, figures: Validation) -> None:
        """The model was compared with the images held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run goes, changing nothing of what it learns.

    Attributes:
        device: Where the model trains.
        progress: Told of every step.
        save_every_s: Seconds between checkpoints.
        validate_every: Steps between validations, besides the last one.
        quick_images: Images of all but the last validation.
        processes: Those that share the run; the first one writes.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: Progress = field(default_factory=Progress)
    save_every_s: float = 120.0
    validate_every: int = 500
    quick_images: int = 20
    processes: Processes = field(default_factory=Processes)


def train(
    folder: Path,
    config: VtokBaseConfig,
    recipe: TrainingRecipe,
    images: tuple[Photographs, Photographs],
    *,
    start: VtokBaseTokenizer | None = None,
    options: RunOptions | None = None,
) -> tuple[ModelFolder, Validation] | None:
    """Train a tokenizer in a folder, going on from the checkpoint that is there.

    Args:
        folder: Made if it is not there; only one run at a time works in it.
        config: The model's shape.
        recipe: The numbers that the curve depends on.
        images: To learn from, and to judge by.
        start: A model to fine-tune instead of starting from principal components.
        options: Where it trains, how often it saves and validates, who is told.

    Returns:
        The model folder, and its figures over all the images held out; None in a process that
        only helps the one that writes.

    Raises:
        WeightsError: the checkpoint is damaged or of another run.
        OutputError: the folder cannot be written, or another run works in it.
        InputError: no image can be decoded.
    """
    options = options or RunOptions()
    processes = options.processes
    crops = RandomCrops(images[0], recipe)
    make_folder(folder)
    with folder_lock(folder) if processes.is_first else nullcontext():
        trainer = Trainer(
            config, recipe, crops.batch, device=options.device, start=start, processes=processes
        )
        try:
            checkpoint = folder / CHECKPOINT_NAME
            if checkpoint.exists():
                trainer.load(checkpoint)
            elif start is None:
                trainer.prepare()
            if not processes.is_first:
                _help(trainer)
                return None
            remove_partials(folder)
            scribe = _Scribe(folder, trainer, images, options)
            options.progress.begun(trainer.step, recipe.num_steps)
            if start is not None and trainer.step == 0:
                scribe.judge()  # what the fine-tuning starts from
            while trainer.step < recipe.num_steps:
                scribe.take(trainer.train_step())
            return scribe.finish()
        finally:
            trainer.close()


def _help(trainer: Trainer) -> None:
    """Do a process's share of the steps that are left; another one writes."""
    while trainer.step < trainer.recipe.num_steps:
        trainer.train_step()


class _Scribe:
    """Writes what a run leaves: log, checkpoints, samples, and the model at the end."""

    def __init__(
        self,
        folder: Path,
        trainer: Trainer,
        images: tuple[Photographs, Photographs],
        options: RunOptions,
    ) -> None:
        self._folder = folder
        self._trainer = trainer
        self._learnt, self._held_out = images
        self._options = options
        self._log = _Log(folder / LOG_NAME, trainer.step)
        self._saved_at = time.monotonic()

    def take(self, report: StepReport) -> None:
        """Log a step; validate and save when it is time to."""
        options = self._options
        options.progress.stepped(report)
        self._log.step(report)
        is_last = report.step == self._trainer.recipe.num_steps
        if report.step % options.validate_every == 0 and not is_last:
            self.judge()
        if time.monotonic() - self._saved_at > options.save_every_s:
            self._save()
            self._saved_at = time.monotonic()

    def judge(self) -> None:
        """Compare the model with some of the images held out, and write samples to look at."""
        options, step = self._options, self._trainer.step
        model = self._trainer.averaged().to(options.device)
        figures = validate(model, self._held_out[: options.quick_images], device=options.device)
        options.progress.validated(step, figures)
        self._log.validation(step, figures)
        self._write_samples(model)

    def finish(self) -> tuple[ModelFolder, Validation]:
        """Write the model and its figures, measured with the weights as they are stored."""
        self._save()
        trainer, folder = self._trainer, self._folder
        device = self._options.device
        model = trainer.averaged().to(device)
        fit_whitening(model, self._learnt, device=device, seed=trainer.recipe.seed)
        model.cpu()
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.half().float())
        saved = save_folder(folder, model, trainer.config.to_json())
        model.to(device)
        figures = validate(model, self._held_out, device=device)
        self._options.progress.validated(trainer.step, figures)
        self._write_samples(model)
        facts = {
            "recipe": asdict(trainer.recipe),
            "steps": trainer.step,
            "validation": figures._asdict(),
            "weights_sha256": saved.weights_sha256,
        }
        write_bytes(folder / FIGURES_NAME, (json.dumps(facts, indent=2) + "\n").encode())
        return saved, figures

    def _save(self) -> None:
        self._log.write()
        self._trainer.save(self._folder / CHECKPOINT_NAME)

    def _write_samples(self, model: VtokBaseTokenizer) -> None:
        samples = self._held_out[:_SAMPLES]
        pairs = [
            Pair(
                Image.fromarray(each.original),
                Image.fromarray(each.reconstructed),
                f"{psnr(each.original, each.reconstructed):.2f} dB",
            )
            for each in reconstruct(model, samples, device=self._options.device)
        ]
        encoded = io.BytesIO()
        contact_sheet(pairs).save(encoded, format="PNG")
        write_bytes(self._folder / SAMPLES_NAME, encoded.getbuffer())


class _Log:
    """The lines of log.jsonl; those after the checkpoint's step are dropped when a run resumes."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        # A run without a checkpoint starts over, and is judged at step 0 again.
        lines = path.read_text().splitlines() if step and path.exists() else []
        self._records: list[dict[str, Any]] = [
            record for line in lines if (record := json.loads(line))["step"] <= step
        ]
        self._psnr_db: list[float] = []

    def step(self, report: StepReport) -> None:
        """Take a step's report; every so many make a line."""
        self._psnr_db.append(report.psnr_db)
        if report.step % _LOG_EVERY_STEPS == 0:
            mean = sum(self._psnr_db) / len(self._psnr_db)
            self._psnr_db.clear()
            self._records.append({**report._asdict(), "psnr_db": mean})

    def validation(self, step: int, figures: Validation) -> None:
        """Take a validation."""
        self._records.append({"step": step, "validation": figures._asdict()})

    def write(self) -> None:
        """Write all lines, atomically."""
        write_bytes(self._path, "".join(json.dumps(each) + "\n" for each in self._records).encode())
