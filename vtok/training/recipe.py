"""The numbers of a training run, and the preset that made the shipped model.

In: nothing. Out: frozen records that go into the checkpoint and the model card. Knows no torch.
"""

from dataclasses import dataclass

from vtok.errors import UnknownNameError, UsageError
from vtok.models.vtok_base import VtokBaseConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """How a tokenizer is trained; everything that its curve depends on, beside the images.

    Attributes:
        num_steps: Optimizer steps.
        batch_size: Crops a step.
        crop_px: Side of a (square) crop; a multiple of the patch.
        learning_rate: Of AdamW at its highest.
        straight_rate: Factor on it for the straight (linear) paths, which start solved.
        warmup_steps: Steps over which the rate rises from 0.
        decay_share: Share of the steps, at the end, over which the rate falls to 1 % (cosine).
        commitment: Weight of the latents' squared distance to their codes.
        log_floor: Added to a crop's mean squared error before its logarithm is taken.
        codebook_decay: Of the codebook's moving averages.
        revive_after: Steps without a use after which a code is placed anew.
        weight_average: Decay of the moving average of the weights that is saved.
        start_crops: Crops whose principal components and clusters the model starts from.
        min_scale: Crops are cut from images scaled by a factor drawn from [min_scale, 1].
        seed: Of every draw; a step's draws depend on it and the step's number only.
    """

    num_steps: int = 6000
    batch_size: int = 8
    crop_px: int = 128
    learning_rate: float = 6e-4
    straight_rate: float = 0.05
    warmup_steps: int = 50
    decay_share: float = 0.45
    commitment: float = 0.5
    log_floor: float = 1e-3
    codebook_decay: float = 0.99
    revive_after: int = 100
    weight_average: float = 0.998
    start_crops: int = 512
    min_scale: float = 0.6
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.num_steps, self.batch_size, self.crop_px, self.start_crops) < 1:
            raise UsageError("steps, batch size, crop size and start crops must be at least 1")
        if not 0 < self.min_scale <= 1:
            raise UsageError(f"min_scale must be in (0, 1], not {self.min_scale}")


PRESETS: dict[str, tuple[VtokBaseConfig, TrainingRecipe]] = {
    "vtok-base": (VtokBaseConfig(), TrainingRecipe()),
}


def preset(name: str) -> tuple[VtokBaseConfig, TrainingRecipe]:
    """Return the model's shape and the recipe of a preset.

    Raises:
        UnknownNameError: there is none of this name.
    """
    if name not in PRESETS:
        raise UnknownNameError(f"no preset {name!r}; there are: {', '.join(sorted(PRESETS))}")
    return PRESETS[name]
