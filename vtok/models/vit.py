"""The vision transformer of `vtok.nn` as an encoder: any size that patches divide, packed.

In: a model folder whose configuration names the family and the shape. Out: one vector a patch,
row-major, after the last norm or between the blocks. Views of different sizes are computed as one
sequence. Knows nothing of files.

Dimension letters: B batch, H W pixels, N patches, D channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import torch
from torch import Tensor

from vtok.errors import UsageError, WeightsError
from vtok.models.base import Encoder, EncoderSpec, PixelRange
from vtok.nn.vit import VisionTransformer, VitConfig, VitOutput
from vtok.quantities import counted
from vtok.records import Grid

FAMILY = "vtok-vit"


class VitEncoder(Encoder):
    """A `VisionTransformer` and what it takes.

    Args:
        config: Its shape.
        pixels: Its input range.
        name: The name it was asked for by.
        layers: The states to give, before any last norm and one after the other in each vector: 0
            before the first block, -1 after the last; empty for the last, normalised.

    Raises:
        UsageError: there is no such layer.
    """

    def __init__(
        self,
        config: VitConfig,
        *,
        pixels: PixelRange | None = None,
        name: str = FAMILY,
        layers: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        for layer in layers:
            if not -config.depth - 1 <= layer <= config.depth:
                raise UsageError(
                    f"{name} has {counted(config.depth, 'layer')}: a layer is in "
                    f"[{-config.depth - 1}, {config.depth}] (0 before the first, -1 after the "
                    f"last), not {layer}"
                )
        self.spec = EncoderSpec(
            name=name,
            family=FAMILY,
            patch_px=config.patch_px,
            dim=config.dim * max(1, len(layers)),
            layers=layers,
            pixels=pixels or PixelRange(),
            alignment_px=config.patch_px,
            interpolation=config.interpolation if config.position == "learned-1d" else None,
            packs=config.window is None,
        )
        self.can_pack = self.spec.packs
        self.vit = VisionTransformer(config)

    def features(self, pixels: Tensor) -> Tensor:
        """Return features (B, N, D), row-major, of pixels (B, 3, H, W)."""
        layers = self.spec.layers
        seen: VitOutput = self.vit(pixels, layers=layers)
        return torch.cat([seen.layers[n] for n in layers], dim=-1) if layers else seen.tokens

    def features_packed(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Return features (N, D) of each of some images (3, H, W), computed as one sequence."""
        if not self.can_pack:
            return super().features_packed(images)
        layers = self.spec.layers
        seen = self.vit.forward_packed(images, layers=layers)
        if not layers:
            return [each.tokens[0] for each in seen]
        return [torch.cat([each.layers[n][0] for n in layers], dim=-1) for each in seen]


def vit_json(config: VitConfig, pixels: PixelRange) -> dict[str, Any]:
    """Return the content of a model folder's config.json."""
    return {"family": FAMILY, "pixels": asdict(pixels), **asdict(config)}


def vit_from_json(config: Mapping[str, Any], name: str, layers: tuple[int, ...] = ()) -> VitEncoder:
    """Return the encoder that a config.json describes, its weights not yet loaded.

    Raises:
        WeightsError: a field is missing, unknown, or not what it should be.
    """
    given = {key: value for key, value in config.items() if key not in ("family", "pixels")}
    known = {field.name for field in fields(VitConfig)}
    if given.keys() != known or not isinstance(config.get("pixels"), dict):
        odd = ", ".join(sorted(given.keys() ^ known)) or "pixels"
        raise WeightsError(f"the configuration has missing or unknown fields: {odd}")
    try:
        grid = given["grid"]
        shape = VitConfig(**{**given, "grid": None if grid is None else Grid(**grid)})
        pixels = {key: _triple(value) for key, value in config["pixels"].items()}
        return VitEncoder(shape, pixels=PixelRange(**pixels), name=name, layers=layers)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise WeightsError(f"the configuration is none of a {FAMILY}: {error}") from error


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
