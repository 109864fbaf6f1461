"""What a model's own image processor does, as a pixel range and a resolution scheme.

In: the content of `preprocessor_config.json` (or of `processor_config.json`), the model's
configuration. Out: a `Preprocessing`. What the file leaves open is as the class in transformers has
it. A processor that no scheme of this package follows gives a pixel range alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vtok.errors import WeightsError
from vtok.models.base import PixelRange
from vtok.models.vision.towers import patch_px_of
from vtok.models.vision.wholes import gemma_merge

Facts = Mapping[str, Any]
Options = dict[str, Any]

_NO_FILE = (
    "there is no preprocessor_config.json: bytes become [-1, 1] and images are cut as --scheme "
    "says, which need not be what the model was trained on"
)
_NOT_FOLLOWED = (
    "no scheme here cuts images as its own image processor ({kind}) does with these numbers: they "
    "are cut as --scheme says"
)
_SUFFIXES = ("Fast", "Pil")
_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Of the processors that transformers has for torchvision alone.
_DEFAULTS: dict[str, Facts] = {
    "DINOv3ViTImageProcessor": {
        "do_resize": True,
        "size": {"height": 224, "width": 224},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": _IMAGENET_MEAN,
        "image_std": _IMAGENET_STD,
    },
}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """A model's own preprocessing.

    Attributes:
        pixels: How bytes become its input.
        scheme: The scheme that its views follow; None where there is none.
        options: The scheme's numbers.
        note: What of it is a guess, in one line; empty where nothing is.
    """

    pixels: PixelRange
    scheme: str | None = None
    options: Options = field(default_factory=dict)
    note: str = ""


def preprocessing_of(facts: Facts | None, config: Any, transformers: Any) -> Preprocessing:
    """Return what an image processor does.

    Args:
        facts: Its file's content; None where there is none: bytes become [-1, 1] then.
        config: The model's configuration.
        transformers: The library.

    Raises:
        WeightsError: a number is not what it must be.
    """
    if facts is None:
        return Preprocessing(PixelRange(), note=_NO_FILE)
    kind = _kind(facts) or _usual_kind(config, transformers)
    try:
        whole = _as_read(kind, facts, transformers)
        pixels = _pixel_range(whole)
        scheme = _SCHEMES.get(kind, _plain)(whole, config)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise WeightsError(f"the image processor's file is not understood: {error}") from error
    if scheme is not None:
        return Preprocessing(pixels, *scheme)
    return Preprocessing(pixels, note=_NOT_FOLLOWED.format(kind=kind or "without a name"))


def _kind(facts: Facts) -> str:
    kind = str(facts.get("image_processor_type") or facts.get("feature_extractor_type") or "")
    for suffix in _SUFFIXES:
        kind = kind.removesuffix(suffix)
    return kind.replace("FeatureExtractor", "ImageProcessor")


def _usual_kind(config: Any, transformers: Any) -> str:
    """Return the processor of models of a configuration, where the file does not name its own."""
    auto = transformers.models.auto.image_processing_auto
    found = auto.IMAGE_PROCESSOR_MAPPING_NAMES.get(getattr(config, "model_type", ""), ())
    names = found.values() if isinstance(found, Mapping) else found
    return _kind({"image_processor_type": next((name for name in names if name), "")})


def _as_read(kind: str, facts: Facts, transformers: Any) -> Facts:
    """Return the file as its class reads it: with what is not in it, in today's terms.

    Of CLIP, for one, old files have `"size": 224` for the short side; others mean a square by it.
    """
    given = {name: value for name, value in facts.items() if value is not None}
    if kind in _DEFAULTS:
        return {**_DEFAULTS[kind], **given}
    make = getattr(transformers, f"{kind}Pil", None)
    if make is None:
        return facts
    read: Any = make(**{name: value for name, value in given.items() if name[-5:] != "_type"})
    return {**facts, **dict(read.to_dict())}


def _pixel_range(facts: Facts) -> PixelRange:
    """Return the two steps of rescaling and normalising as the one of `PixelRange`."""
    factor = facts.get("rescale_factor", 1 / 255) if facts.get("do_rescale", True) else 1.0
    ratio = 255 * factor
    if abs(ratio - 1) < 1e-12:
        ratio = 1.0
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if facts.get("do_normalize", True):
        mean, std = _triple(facts["image_mean"]), _triple(facts["image_std"])
    return PixelRange(mean=_divided(mean, ratio), std=_divided(std, ratio))


def _triple(numbers: Any) -> tuple[float, float, float]:
    if isinstance(numbers, int | float):
        return (float(numbers),) * 3
    first, second, third = map(float, numbers)
    return first, second, third


def _divided(numbers: tuple[float, float, float], by: float) -> tuple[float, float, float]:
    return numbers[0] / by, numbers[1] / by, numbers[2] / by


Scheme = tuple[str, Options] | None
Reads = Callable[[Facts, Any], Scheme]


def _side(facts: Facts, name: str = "size") -> int | None:
    """Return the side of a square size, None where it is none."""
    size = facts.get(name)
    if isinstance(size, int):
        return size
    if isinstance(size, Mapping) and size.get("height") and size["height"] == size.get("width"):
        return int(size["height"])
    return None


def _edge(facts: Facts, edge: str, name: str = "size") -> int | None:
    size = facts.get(name)
    found = size.get(edge) if isinstance(size, Mapping) else None
    return int(found) if found else None


def _resample(facts: Facts) -> str:
    return _FILTERS[int(facts.get("resample", 3))]


def _vision(config: Any) -> Any:
    return getattr(config, "vision_config", None) or config


def _plain(facts: Facts, config: Any) -> Scheme:
    """One square: resized to it, or cut out of the centre."""
    patch = {"patch_px": patch_px_of(_vision(config)), "resample": _resample(facts)}
    if not facts.get("do_resize", True) or facts.get("do_pad") or facts.get("crop_pct"):
        return None
    side, short = _side(facts), _edge(facts, "shortest_edge")
    if facts.get("do_center_crop"):
        crop = _side(facts, "crop_size")
        if crop is not None and short is not None and short >= crop:
            return "centre-crop", {"tile_size_px": crop, "short_side_px": short, **patch}
        return ("squash", {"tile_size_px": side, **patch}) if side and side == crop else None
    return ("squash", {"tile_size_px": side, **patch}) if side else None


def _anyres(scheme: str) -> Reads:
    def read(facts: Facts, config: Any) -> Scheme:
        vision = _vision(config)
        side = int(vision.image_size)
        asked = _side(facts, "crop_size") if scheme == "llava-next" else _side(facts)
        grids = {tuple(cell / side for cell in pair) for pair in config.image_grid_pinpoints}
        most = getattr(config, "vision_aspect_ratio", _MOST_TILES)
        if asked != side or grids != _PINPOINTS[scheme] or most != _MOST_TILES:
            return None
        return scheme, {"tile_size_px": side, "patch_px": patch_px_of(vision)}

    return read


_MOST_TILES = "anyres_max_9"  # of LLaVA-OneVision: more are reduced to as many vectors
_PINPOINTS: dict[str, set[tuple[float, ...]]] = {
    "llava-next": {(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)},
    "llava-onevision": {(rows, cols) for rows in range(1, 7) for cols in range(1, 7)},
}


def _internvl(facts: Facts, config: Any) -> Scheme:
    side = _side(facts)
    if side is None or getattr(config, "downsample_ratio", None) != 0.5:
        return None
    return "internvl", {
        "tile_size_px": side,
        "patch_px": patch_px_of(_vision(config)),
        "min_tiles": int(facts.get("min_patches", 1)),
        # The class leaves images whole; the model's processor cuts them all the same.
        "max_tiles": int(facts.get("max_patches", 12)),
    }


def _qwen(facts: Facts, config: Any) -> Scheme:
    least = facts.get("min_pixels") or _edge(facts, "shortest_edge")
    most = facts.get("max_pixels") or _edge(facts, "longest_edge")
    patch = int(facts.get("patch_size", 14))
    if not least or not most or facts.get("merge_size", 2) != 2:
        return None
    name = "qwen3-vl" if patch == 16 else "qwen2.5-vl"
    return name, {"patch_px": patch, "min_pixels": int(least), "max_pixels": int(most)}


def _pixtral(facts: Facts, config: Any) -> Scheme:
    longest = _edge(facts, "longest_edge")
    if longest is None:
        return None
    merge = getattr(config, "spatial_merge_size", 1)
    name = {1: "pixtral", 2: "mistral-small"}.get(merge)
    patch = patch_px_of(_vision(config))
    return None if name is None else (name, {"long_side_px": longest, "patch_px": patch})


def _idefics3(facts: Facts, config: Any) -> Scheme:
    tile = _edge(facts, "longest_edge", "max_image_size")
    longest = _edge(facts, "longest_edge")
    scale = getattr(config, "scale_factor", None)
    name = None if scale is None else {2: "idefics3", 3: "smolvlm", 4: "smolvlm2"}.get(scale)
    if name is None or tile is None or longest is None or not facts.get("do_image_splitting"):
        return None
    patch = patch_px_of(_vision(config))
    return name, {"tile_size_px": tile, "long_side_px": longest, "patch_px": patch}


def _gemma3(facts: Facts, config: Any) -> Scheme:
    side = _side(facts)
    if side is None or gemma_merge(config) != 4:
        return None
    options = {"tile_size_px": side, "patch_px": patch_px_of(_vision(config))}
    if facts.get("do_pan_and_scan"):
        most = int(facts.get("pan_and_scan_max_num_crops") or 4)
        return "gemma3-pan-and-scan", {**options, "max_tiles": most}
    return "gemma3", options


def _mllama(facts: Facts, config: Any) -> Scheme:
    side = _side(facts)
    if side is None:
        return None
    most = int(facts.get("max_image_tiles", 4))
    patch = patch_px_of(_vision(config))
    return "llama-3.2-vision", {"tile_size_px": side, "patch_px": patch, "max_tiles": most}


def _naflex(facts: Facts, config: Any) -> Scheme:
    return "siglip2", {
        "patch_px": int(facts.get("patch_size", 16)),
        "max_tokens": int(facts.get("max_num_patches", 256)),
    }


_SCHEMES: dict[str, Reads] = {
    "LlavaNextImageProcessor": _anyres("llava-next"),
    "LlavaOnevisionImageProcessor": _anyres("llava-onevision"),
    "GotOcr2ImageProcessor": _internvl,
    "Qwen2VLImageProcessor": _qwen,
    "PixtralImageProcessor": _pixtral,
    "Idefics3ImageProcessor": _idefics3,
    "SmolVLMImageProcessor": _idefics3,
    "Gemma3ImageProcessor": _gemma3,
    "MllamaImageProcessor": _mllama,
    "Siglip2ImageProcessor": _naflex,
}
