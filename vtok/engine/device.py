"""Where and how precisely a model runs, and the way of pixels there and back.

In: names from a command line, uint8 images (B, H, W, 3). Out: torch devices and dtypes, model
inputs (B, 3, H, W), and uint8 images again. This file knows no model and forms no batches.

Dimension letters: B batch, H W pixels.
"""

import re
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vtok.errors import DeviceError, UnknownNameError, UsageError
from vtok.models.base import PixelRange

Purpose = Literal["indices", "features", "exact", "pixels"]

# A CLIP ViT-B/32 takes half of its fp32 time by AVX-512's products of bfloat16, 0.23 by AMX.
_FAST_BFLOAT16 = frozenset({"amx_bf16", "avx512_bf16"})

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device that a name stands for, if it can be used.

    Args:
        name: `auto` (CUDA, else CPU), `cpu`, `cuda` or `cuda:N`.

    Raises:
        UnknownNameError: there is no such kind of device.
        DeviceError: this machine has none, or not so many.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")
    if name == "mps":
        raise DeviceError(
            "mps computes nothing in float64, by which near-ties between codes and positions are "
            "settled: use --device cpu"
        )
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UnknownNameError(f"unknown device {name!r}: use auto, cpu, cuda or cuda:N")
    if name.startswith("cuda"):
        number = int(name.partition(":")[2] or 0)
        num_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if number >= num_devices:
            found = f"{num_devices} CUDA devices" if num_devices else "no CUDA device"
            raise DeviceError(f"{name} was asked for, but there is {found}: try --device auto")
        return torch.device("cuda", number)
    return torch.device(name)


def resolve_devices(text: str) -> tuple[torch.device, ...]:
    """Return the devices of a list, all of one kind.

    Args:
        text: Names as `resolve_device` takes them, with commas between them; `cuda:all` for every
            CUDA device.

    Raises:
        UnknownNameError: there is no such kind of device.
        DeviceError: this machine does not have one of them.
        UsageError: they are of different kinds, or a GPU is named twice.
    """
    if text == "cuda:all":
        text = ",".join(f"cuda:{number}" for number in range(max(1, torch.cuda.device_count())))
    devices = tuple(resolve_device(name.strip()) for name in text.split(","))
    if len({device.type for device in devices}) > 1:
        raise UsageError(
            f"--device {text}: devices of one kind only, or bytes would depend on them"
        )
    if devices[0].type != "cpu" and len(set(devices)) < len(devices):
        raise UsageError(f"--device {text}: a device is named twice")
    return devices


def resolve_dtype(
    name: str = "auto", *, device: torch.device, purpose: Purpose = "indices"
) -> torch.dtype:
    """Return the dtype that a model computes in.

    Args:
        name: `auto`, `float32`, `bfloat16`, `float16`, or their short forms `fp32`, `bf16`, `fp16`.
        device: Where it will run.
        purpose: What is made of the outputs. `auto` is float32 for indices and pixels, since
            rounding moves latents across the borders between codes, and for features whose every
            bit is kept (`exact`); for other features it is bfloat16 where the device multiplies it
            faster than float32.

    Raises:
        UnknownNameError: there is no such dtype.
    """
    if name == "auto":
        fast = purpose == "features" and _is_bfloat16_fast(device)
        return torch.bfloat16 if fast else torch.float32
    if name not in _DTYPES:
        raise UnknownNameError(f"unknown dtype {name!r}: use auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


def _is_bfloat16_fast(device: torch.device) -> bool:
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return major >= 8
    return device.type == "cpu" and not _FAST_BFLOAT16.isdisjoint(_cpu_flags())


@cache
def _cpu_flags() -> frozenset[str]:
    """Return what Linux says the processor can do; nothing where it is not Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def to_pixels(
    images: Tensor,
    pixel_range: PixelRange,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return images as a model's input; bytes travel to the device, floats are made there.

    Args:
        images: (B, H, W, 3) uint8, contiguous, on the host.
        pixel_range: (byte / 255 - mean) / std; computed in float32, in this order, so that the
            result is bit for bit that of the usual two transforms.
        device: Where the result is.
        dtype: Its dtype.

    Returns:
        (B, 3, H, W) in channels-last memory, as the bytes lay.
    """
    moved = images.to(device, non_blocking=True).permute(0, 3, 1, 2)  # (B, 3, H, W)
    mean, std = _constants(pixel_range, device)
    return moved.to(torch.float32).div_(255).sub_(mean).div_(std).to(dtype)


def to_bytes(pixels: Tensor, pixel_range: PixelRange) -> Tensor:
    """Return a model's output as images.

    The value of a byte is (pixel * std + mean) * 255 in float32, clamped to [0, 255], then rounded
    to the nearest integer; halves go to the even one. NaN has no meaning here and must not come in.

    Args:
        pixels: (B, 3, H, W) float, on any device.
        pixel_range: The model's.

    Returns:
        (B, H, W, 3) uint8, contiguous, on the same device.
    """
    mean, std = _constants(pixel_range, pixels.device)
    values = pixels.to(torch.float32).mul(std).add_(mean).mul_(255)
    rounded = values.clamp_(0, 255).round_().to(torch.uint8)
    return rounded.permute(0, 2, 3, 1).contiguous()  # (B, H, W, 3)


def _constants(pixel_range: PixelRange, device: torch.device) -> tuple[Tensor, Tensor]:
    mean = torch.tensor(pixel_range.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(pixel_range.std, device=device).view(1, 3, 1, 1)
    return mean, std
