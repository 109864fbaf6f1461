"""The numbers of a training run, and the preset that made the shipped model.

In: nothing. Out: frozen records that go into the checkpoint and the model card. Knows no torch.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from vtok.errors import UnknownNameError, UsageError
from vtok.models.vtok_base_networks import VtokBaseConfig

Precision = Literal["bf16", "fp32"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """How a tokenizer is trained; everything that its curve depends on, beside the images.

    Attributes:
        num_steps: Optimizer steps.
        batch_size: Crops a step, of all processes together.
        crop_px: Side of a (square) crop; a multiple of the patch.
        learning_rate: Of AdamW at its highest.
        straight_rate: Factor on it for the straight (linear) paths, which start solved.
        warmup_steps: Steps over which the rate rises from 0.
        decay_share: Share of the steps, at the end, over which the rate falls to 1 % (cosine).
        commitment: Weight of the squared distance of codes to what each is the nearest one to.
        log_floor: Added to a crop's mean squared error before its logarithm is taken.
        codebook_decay: Of the codebook's moving averages.
        revive_after: Steps without a use after which a code is placed anew.
        filter_decay: Of the sums that the filter of error diffusion is fitted to.
        filter_damping: Share of the fitted filter that is used.
        weight_average: Decay of the moving average of the weights that is saved.
        start_crops: Crops whose principal components and clusters the model starts from.
        precision: What the layers compute in; `bf16` is autocast, with the straight paths, latents,
            codebook, loss and weights in fp32 all the same.
        min_scale: Crops are cut from images scaled by a factor drawn from [min_scale, 1].
        colour_jitter: Most that saturation, contrast and brightness are changed by, as a share.
        generated_share: Share of crops that are drawn instead: dead leaves, text, line art,
            gradients.
        seed: Of every draw; a crop depends on it, the step's number and its own only.
    """

    num_steps: int = 7000
    batch_size: int = 6
    crop_px: int = 160
    learning_rate: float = 5e-4
    straight_rate: float = 0.05
    warmup_steps: int = 100
    decay_share: float = 0.5
    commitment: float = 0.5
    log_floor: float = 1e-3
    codebook_decay: float = 0.99
    revive_after: int = 100
    filter_decay: float = 0.99
    filter_damping: float = 0.7
    weight_average: float = 0.998
    start_crops: int = 512
    precision: Precision = "bf16"
    min_scale: float = 0.6
    colour_jitter: float = 0.0
    generated_share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.num_steps, self.batch_size, self.crop_px, self.start_crops) < 1:
            raise UsageError("steps, batch size, crop size and start crops must be at least 1")
        if not 0 < self.min_scale <= 1:
            raise UsageError(f"min_scale must be in (0, 1], not {self.min_scale}")
        if self.precision not in get_args(Precision):
            raise UsageError(f"--precision must be bf16 or fp32, not {self.precision!r}")
        for name, share in (("colour", self.colour_jitter), ("generated", self.generated_share)):
            if not 0 <= share <= 1:
                raise UsageError(f"--{name} must be in [0, 1], not {share}")


_NATIVE = TrainingRecipe(
    num_steps=18000,
    batch_size=5,
    crop_px=192,
    learning_rate=4e-4,
    warmup_steps=30,
    decay_share=1.0,
    codebook_decay=0.998,
    revive_after=1000,
    log_floor=2e-4,
    min_scale=1.0,
)

PRESETS: dict[str, tuple[VtokBaseConfig, TrainingRecipe]] = {
    "vtok-base": (VtokBaseConfig(), TrainingRecipe()),
    # A later stage: crops as sharp as what it is used on, weighed as a mean of PSNR weighs them.
    "vtok-base-native": (VtokBaseConfig(), _NATIVE),
    # The last one: almost whole photographs.
    "vtok-base-whole": (
        VtokBaseConfig(),
        replace(_NATIVE, num_steps=1800, batch_size=3, crop_px=256, learning_rate=3e-4),
    ),
}


def preset(name: str) -> tuple[VtokBaseConfig, TrainingRecipe]:
    """Return the model's shape and the recipe of a preset.

    Raises:
        UnknownNameError: there is none of this name.
    """
    if name not in PRESETS:
        raise UnknownNameError(f"no preset {name!r}; there are: {', '.join(sorted(PRESETS))}")
    return PRESETS[name]
