"""Image models of timm as encoders: its configuration and network, this package's reading of files.

In: a folder or a repository with timm's `config.json` (or that of transformers' timm wrapper) and
its weights. Out: an encoder of one size. timm is imported when such a model is loaded, not
before; of a configuration nothing is taken that would make it fetch or unpickle a file.

Dimension letters: B batch, H W pixels, N vectors of a view, S tokens before the patches, h w cells
of the last map, D channels.
"""

import math
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vtok.errors import UsageError, WeightsError
from vtok.models.base import Encoder, EncoderSpec, Output, PixelRange
from vtok.models.files.folder import CONFIG_NAME
from vtok.models.files.partial import open_weights
from vtok.models.files.sources import ModelSource, read_json
from vtok.models.files.tensors import Tensors
from vtok.records import Size

Facts = Mapping[str, Any]

_WRAPPER_TYPE, _WRAPPER_PREFIX = "timm_wrapper", "timm_model."
_ARCHITECTURE = re.compile(r"\w+(\.\w+)?")  # not `hf-hub:...`, which timm would fetch
# What timm is told of the checkpoint: not where files of it might be.
_TOLD = ("input_size", "fixed_input_size", "pool_size", "first_conv", "classifier", "mean", "std")
# Arguments of `create_model` that are this file's to give, or that name files.
_REFUSED = frozenset(
    {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}
    | {"model_name", "features_only", "scriptable", "exportable", "no_jit"}
)
# What timm's own evaluation transform assumes where the configuration is silent.
_MEAN, _STD, _CROP_PCT = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.875
_FILTERS = ("bicubic", "bilinear", "lanczos", "nearest")
_NOT_FOLLOWED = (
    "no scheme here cuts images as its pretrained_cfg has timm do: they are cut as --scheme says"
)
_MAX_NAMES_SHOWN = 5


class TimmEncoder(Encoder):
    """A network of timm.

    Args:
        network: With its tensors, without its classifier.
        spec: The facts.

    Attributes:
        num_bytes_read: Of its weights files, where it was loaded from some.
    """

    def __init__(self, network: nn.Module, spec: EncoderSpec) -> None:
        super().__init__()
        self.network: Any = network
        self.spec = spec
        self.num_bytes_read = 0

    def features(self, pixels: Tensor) -> Tensor:
        """Return features (B, N, D) of pixels (B, 3, H, W).

        Raises:
            WeightsError: the network gives another grid, or vectors of another length, than it
                says of itself.
        """
        states: Tensor = self.network.forward_features(pixels)
        if self.spec.output == "pooled":
            features: Tensor = self.network.forward_head(states, pre_logits=True).unsqueeze(1)
        elif self.spec.output == "cls":
            features = states[:, :1]
        else:
            features = self._patches(states)
        grid = self.spec.token_grid(Size(height=pixels.shape[2], width=pixels.shape[3]))
        expected = (len(pixels), 1 if grid is None else grid.rows * grid.cols, self.spec.dim)
        if tuple(features.shape) != expected:
            raise WeightsError(
                f"{self.spec.name}: features of shape {tuple(features.shape)}, and timm says that "
                f"they are {expected}"
            )
        return features

    def _patches(self, states: Tensor) -> Tensor:
        if states.ndim == 3:  # (B, S + N, D)
            return states[:, _num_prefix(self.network) :]
        if getattr(self.network, "output_fmt", "NCHW") == "NHWC":  # as timm says, else the usual
            return states.flatten(1, 2)  # (B, h, w, D) → (B, N, D)
        return states.flatten(2).transpose(1, 2)  # (B, D, h, w) → (B, N, D)


def is_timm(config: Facts) -> bool:
    """Return whether a configuration is timm's, in any of the forms that it was written in."""
    if config.get("model_type") == _WRAPPER_TYPE:
        return True
    if "model_type" in config or not isinstance(config.get("architecture"), str):
        return False
    return "pretrained_cfg" in config or {"input_size", "mean", "std"} <= config.keys()


def load_timm_encoder(
    source: ModelSource, *, name: str, output: Output = "patches", layers: tuple[int, ...] = ()
) -> Encoder:
    """Return an encoder of a model of timm, ready to run on the CPU in fp32.

    Args:
        source: Its files.
        name: The name that it was asked for by.
        output: What its features are to be; there is no projected one.
        layers: There is no choice of them: empty.

    Raises:
        WeightsError: timm is not installed or does not know it; its files are missing or damaged.
        UsageError: it does not have that output or a choice of layers.
    """
    if layers:
        raise UsageError(f"{name} is a model of timm: it has no choice of --layer")
    if output == "projected":
        raise UsageError(
            f"{name} has no projected output: it is a model of timm, with no projector"
        )
    timm = _timm_for(name)
    config = read_json(source, CONFIG_NAME) or {}
    facts = config.get("pretrained_cfg", config)
    try:
        size = _size(facts)
        network = _network(timm, config, facts)
        spec = _spec(network, facts, size, name=name, output=output)
    except UsageError:
        raise
    except Exception as error:  # whatever timm, or one of its hundreds of models, objects with
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{source.where}: timm {getattr(timm, '__version__', '')} does not build it: {reason}"
        ) from error
    files = open_weights(source)
    _fill(network, files, _classifiers(facts, network), source.where)
    encoder = TimmEncoder(network.eval().requires_grad_(False), spec)
    encoder.weights_sha256 = files.sha256
    encoder.num_bytes_read = files.num_bytes_read
    encoder.note = "" if spec.scheme else _NOT_FOLLOWED
    return encoder.eval()


def _timm_for(name: str) -> Any:
    try:
        import timm
    except (ImportError, RuntimeError) as error:  # a torchvision of another torch: RuntimeError
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{name} needs timm ({reason}): pip install timm") from error
    return timm


def _size(facts: Facts) -> Size:
    channels, height, width = (int(length) for length in facts.get("input_size", (3, 224, 224)))
    if channels != 3 or min(height, width) < 1:
        raise ValueError(f"input_size {facts['input_size']} is not that of pictures in RGB")
    return Size(height=height, width=width)


def _network(timm: Any, config: Facts, facts: Facts) -> nn.Module:
    """Return the network with random tensors: tables that are computed are in no checkpoint."""
    architecture = str(config.get("architecture"))
    if not _ARCHITECTURE.fullmatch(architecture):
        raise ValueError(f"architecture {architecture!r} is not a name of timm's")
    arguments = {**(config.get("model_args") or {}), "num_classes": 0}  # no classifier
    refused = sorted(_REFUSED & arguments.keys())
    if refused:
        raise ValueError(f"model_args has {', '.join(refused)}, which is no part of a network")
    told = {key: facts[key] for key in _TOLD if key in facts}
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = timm.create_model(
            architecture, pretrained=False, pretrained_cfg=told, **arguments
        )
    return network.float()


def _num_prefix(network: Any) -> int:
    return int(getattr(network, "num_prefix_tokens", 0))


def _spec(network: Any, facts: Facts, size: Size, *, name: str, output: Output) -> EncoderSpec:
    has_class = _num_prefix(network) > 0 and getattr(network, "has_class_token", True)
    if output == "cls" and not has_class:
        raise UsageError(f"{name} has no cls output: it has no class token")
    patch = int(network.feature_info[-1]["reduction"])
    leaves_over = size.height % patch or size.width % patch
    if leaves_over and not hasattr(network, "patch_embed"):  # whose convolution drops it
        raise ValueError(f"its vectors stand for {patch} px a side, which does not divide {size}")
    dim = int(network.num_features)
    if output == "pooled":
        dim = int(getattr(network, "head_hidden_size", None) or dim)
    scheme, options = _scheme(facts, size, patch)
    return EncoderSpec(
        name=name,
        family="timm",
        patch_px=patch,
        dim=dim,
        pixels=PixelRange(
            mean=_triple(facts.get("mean") or _MEAN), std=_triple(facts.get("std") or _STD)
        ),
        size_policy="fixed",
        fixed_size=size,
        alignment_px=patch,
        output=output,
        num_tokens=None if output == "patches" else 1,
        scheme=scheme,
        scheme_options=options,
    )


def _triple(numbers: Iterable[float]) -> tuple[float, float, float]:
    first, second, third = map(float, numbers)
    return first, second, third


def _scheme(facts: Facts, size: Size, patch: int) -> tuple[str | None, dict[str, Any]]:
    """Return the scheme of timm's evaluation transform: none where no scheme here is it."""
    side, share = size.height, float(facts.get("crop_pct") or _CROP_PCT)
    resample = str(facts.get("interpolation") or "bicubic")
    if size.width != side or resample not in _FILTERS or share > 1:
        return None, {}
    options = {"tile_size_px": side, "patch_px": patch, "resample": resample}
    mode = facts.get("crop_mode") or "center"
    if mode == "center":
        return "centre-crop", {**options, "short_side_px": math.floor(side / share)}
    return ("squash", options) if mode == "squash" and share == 1 else (None, {})


def _classifiers(facts: Facts, network: Any) -> tuple[str, ...]:
    """Return the names of the layers that give classes, which are left out."""
    own = getattr(network, "pretrained_cfg", None) or {}
    found = facts.get("classifier") or own.get("classifier") or ()
    return (found,) if isinstance(found, str) else tuple(map(str, found))


def _fill(network: nn.Module, files: Tensors, classifiers: tuple[str, ...], where: str) -> None:
    """Give a network its tensors.

    Raises:
        WeightsError: tensors are missing, left over, misshapen or not finite.
    """
    expected = network.state_dict()
    dropped = tuple(f"{layer}." for layer in classifiers)
    names = [
        name for name in files.names
        if _own_name(name) in expected or not _own_name(name).startswith(dropped)
    ]  # fmt: skip
    state = {_own_name(name): _as_float(tensor, name, where) for name, tensor in files.read(names)}
    if state.keys() != expected.keys():
        state = _renamed(state, network)
    both = state.keys() & expected.keys()
    for what, wrong in (
        ("missing", expected.keys() - state.keys()),
        ("not of this architecture", state.keys() - expected.keys()),
        (
            "of another shape than the configuration says",
            {name for name in both if state[name].shape != expected[name].shape},
        ),
    ):
        if wrong:
            shown, more = ", ".join(sorted(wrong)[:_MAX_NAMES_SHOWN]), len(wrong) - _MAX_NAMES_SHOWN
            raise WeightsError(
                f"{where}: tensors are {what}: {shown}{f' and {more} more' if more > 0 else ''}"
            )
    network.load_state_dict(state)


def _own_name(name: str) -> str:
    return name.removeprefix(_WRAPPER_PREFIX)


def _renamed(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors under the names of today, where timm's file of the model has old ones."""
    rename = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if rename is None:
        return state
    try:
        found = rename(dict(state), network)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return state  # of another architecture: what is missing is named
    return found if isinstance(found, dict) else state


def _as_float(tensor: Tensor, name: str, where: str) -> Tensor:
    found = tensor.to(torch.float32) if tensor.is_floating_point() else tensor
    if not torch.isfinite(found).all():
        raise WeightsError(f"{where}: {name} is not finite")
    return found
