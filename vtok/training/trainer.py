"""The training loop: one object that holds all the state of a run, and steps it.

In: a model's shape, a recipe, crops. Out: a trained model; a checkpoint at any step, from which
the curve goes on as if nothing had happened. Knows nothing of folders of images, progress bars or
the command line.
"""

import io
import math
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vtok.errors import WeightsError
from vtok.io.files import write_bytes
from vtok.models.vtok_base import VtokBaseTokenizer
from vtok.models.vtok_base_networks import VtokBaseConfig
from vtok.nn.quantizer import Choice, EmaVectorQuantizer, straight_through
from vtok.training.error_filter import ErrorFilterFit
from vtok.training.loader import Batches, CropLoader
from vtok.training.loss import reconstruction_loss
from vtok.training.processes import Processes
from vtok.training.recipe import TrainingRecipe
from vtok.training.start import start_codebook, start_from_components

_START_DRAW = 2**62  # no step has this number, so no step repeats the crops of the start

_DAMAGE = (OSError, KeyError, TypeError, ValueError, RuntimeError, EOFError, UnpicklingError)


class StepReport(NamedTuple):
    """What one step found.

    Attributes:
        step: Steps done, this one included.
        loss: The loss that was minimised.
        psnr_db: Mean PSNR of the step's crops.
        commitment: Mean squared distance of codes to what each is the nearest one to.
        codes_used: Codes in use of late.
        perplexity: 2 ** entropy of their use.
    """

    step: int
    loss: float
    psnr_db: float
    commitment: float
    codes_used: int
    perplexity: float


class Trainer:
    """A run in progress.

    Args:
        config: The model's shape.
        recipe: The run's numbers.
        batches: Draws crops; called from several threads.
        device: Where the model trains.
        start: A model to fine-tune, of the same shape; None starts from principal components.
        processes: Those that share the run; each has a trainer of its own.
    """

    def __init__(
        self,
        config: VtokBaseConfig,
        recipe: TrainingRecipe,
        batches: Batches,
        *,
        device: torch.device,
        start: VtokBaseTokenizer | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.config = config
        self.recipe = recipe
        self.step = 0
        self._batches = batches
        self._processes = processes or Processes()
        self._loader = CropLoader(batches, self._processes.share(recipe.batch_size))
        self._device = device
        torch.manual_seed(recipe.seed)
        self.model = VtokBaseTokenizer(config)
        self.quantizer = EmaVectorQuantizer(
            config.codebook_size,
            config.code_dim,
            decay=recipe.codebook_decay,
            revive_after=recipe.revive_after,
            seed=recipe.seed,
        )
        if start is not None:
            # One from before codes were chosen together has no filter: it begins with none.
            self.model.load_state_dict({**self.model.state_dict(), **start.state_dict()})
        self.model.quantizer = self.quantizer
        self.model.to(device)
        if start is not None:
            self.quantizer.adopt(start.quantizer.codebook)
        self._filter_fit = ErrorFilterFit(
            config.code_dim,
            decay=recipe.filter_decay,
            damping=recipe.filter_damping,
            device=device,
            start=None if self.model.diffusion is None else self.model.diffusion.error_filter,
        )
        self._optimizer = self._make_optimizer()
        self._average: dict[str, Tensor] = {}

    def prepare(self) -> None:
        """Start a new run from principal components and clusters, unless it fine-tunes."""
        pixels = self._to_pixels(self._batches(_START_DRAW, range(self.recipe.start_crops)))
        start_from_components(self.model, pixels)
        start_codebook(self.model, self.quantizer, pixels)
        self._processes.agree(each.data for each in self.model.parameters())
        self._processes.agree(self.quantizer.averages())

    def train_step(self) -> StepReport:
        """Do one optimizer step, and move the codebook."""
        recipe = self.recipe
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.learning_rate * group["factor"] * rate_factor(recipe, self.step)
        pixels = self._to_pixels(self._loader.step(self.step))
        with self._precision():
            latents = self.model.encode(pixels)
        choice = self.model.choose(latents)
        codes = straight_through(latents, self.model.lookup(choice.indices))
        codes.retain_grad()
        with self._precision():
            reconstructed = self.model.decode(codes)
        loss = reconstruction_loss(
            pixels,
            reconstructed,
            # With the value of what the code was chosen for, and the gradient of the latent.
            straight_through(latents, choice.targets.movedim(-1, 1)),
            codes,
            commitment=recipe.commitment,
            log_floor=recipe.log_floor,
        )
        self._optimizer.zero_grad()
        torch.autograd.backward(loss.total)
        self._processes.average(
            each.grad for each in self.model.parameters() if each.grad is not None
        )
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), max_norm=1.0)
        self._optimizer.step()
        self._move_codes(choice)
        self._fit_filter(latents, codes, loss.errors)
        self.step += 1
        self._move_average()
        usage = self.quantizer.usage()
        figures = torch.stack((loss.total.detach(), loss.psnr_db, loss.commitment))
        self._processes.average([figures])
        total, psnr_db, commitment = figures.tolist()
        return StepReport(
            step=self.step,
            loss=total,
            psnr_db=psnr_db,
            commitment=commitment,
            codes_used=usage.distinct,
            perplexity=usage.perplexity,
        )

    def close(self) -> None:
        """Stop drawing crops ahead."""
        self._loader.close()

    def averaged(self) -> VtokBaseTokenizer:
        """Return the model with the moving average of its weights, in eval mode, on the CPU."""
        model = VtokBaseTokenizer(self.config)
        state = self._average or self.model.state_dict()
        model.load_state_dict({name: tensor.cpu() for name, tensor in state.items()})
        return model.eval()

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically.

        Raises:
            OutputError: it cannot be written.
        """
        state = {
            "step": self.step,
            "config": asdict(self.config),
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
            "quantizer": self.quantizer.training_state(),
            "filter_fit": self._filter_fit.state(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(path, buffer.getbuffer())

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            WeightsError: it is damaged, or of another shape or recipe; the message says which.
        """
        try:
            state: dict[str, Any] = torch.load(path, map_location=self._device, weights_only=True)
            self._require_same(path, "shape", state["config"], asdict(self.config))
            self._require_same(path, "recipe", state["recipe"], asdict(self.recipe))
            self.model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.quantizer.load_training_state(state["quantizer"])
            self._filter_fit.load_state(state["filter_fit"])
            self._average = state["average"]
            self.step = state["step"]
        except _DAMAGE as error:
            reason = str(error).partition(". ")[0] or type(error).__name__
            raise WeightsError(f"{path}: not a whole checkpoint ({reason}): remove it") from error

    @staticmethod
    def _require_same(path: Path, what: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        differing = [
            f"{name} {theirs.get(name)} → {ours.get(name)}"
            for name in sorted(theirs.keys() | ours.keys())
            if theirs.get(name) != ours.get(name)
        ]
        if differing:
            raise WeightsError(
                f"{path}: the run was begun with another {what} ({'; '.join(differing)}): "
                "give another output folder, or --overwrite"
            )

    def _precision(self) -> torch.autocast:
        is_low = self.recipe.precision == "bf16"
        return torch.autocast(self._device.type, torch.bfloat16, enabled=is_low)

    def _to_pixels(self, crops: Tensor) -> Tensor:
        return crops.to(self._device).float() / 127.5 - 1

    def _make_optimizer(self) -> torch.optim.Optimizer:
        named = list(self.model.named_parameters())
        straight = [parameter for name, parameter in named if ".straight." in name]
        others = [parameter for name, parameter in named if ".straight." not in name]
        return torch.optim.AdamW(
            [
                {"params": others, "factor": 1.0},
                {"params": straight, "factor": self.recipe.straight_rate},
            ],
            lr=self.recipe.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=0.0,
        )

    def _move_codes(self, choice: Choice) -> None:
        """Move the codebook towards what its codes stood for."""
        self.quantizer.update(
            self._processes.collect(choice.targets), self._processes.collect(choice.indices)
        )
        self._processes.agree(self.quantizer.averages())

    @torch.no_grad()
    def _fit_filter(self, latents: Tensor, codes: Tensor, errors: Tensor) -> None:
        """Learn from a step's gradient how neighbours' errors are made up for."""
        if self.model.diffusion is None:
            return
        assert codes.grad is not None
        # The loss has the logarithm of each crop's error: its gradient is that of the error itself
        # but for this factor.
        gradient = codes.grad * errors[:, None, None, None]
        self._filter_fit.add(
            (latents - codes).movedim(1, -1), gradient.movedim(1, -1), self._processes
        )
        self.model.diffusion.error_filter.copy_(self._filter_fit.error_filter())

    @torch.no_grad()
    def _move_average(self) -> None:
        """Follow the weights; early on faster, so that the start is forgotten."""
        decay = min(self.recipe.weight_average, (1 + self.step) / (10 + self.step))
        for name, tensor in self.model.state_dict().items():
            if name in self._average:
                self._average[name].lerp_(tensor, 1 - decay)
            else:
                self._average[name] = tensor.clone()


def rate_factor(recipe: TrainingRecipe, step: int) -> float:
    """Return the learning rate of a step as a share of the highest: rise, plateau, cosine."""
    rise = min(1.0, (step + 1) / max(recipe.warmup_steps, 1))
    decay_steps = max(1, round(recipe.num_steps * recipe.decay_share))
    done = max(0.0, (step - (recipe.num_steps - decay_steps)) / decay_steps)
    return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
