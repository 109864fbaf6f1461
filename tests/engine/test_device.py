"""Devices, dtypes, and bytes on their way into a model and out of it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vtok.engine.device import resolve_device, resolve_devices, resolve_dtype, to_bytes, to_pixels
from vtok.errors import DeviceError, UnknownNameError
from vtok.models.base import PixelRange

CPU = torch.device("cpu")
CLIP = PixelRange(
    mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)
)


def test_devices_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == resolve_device("cpu") == CPU
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(DeviceError, match="--device") as caught:
            resolve_device(name)
        assert "\n" not in str(caught.value)
    for name in ("gpu", "cuda:", "cuda:-1", "", "cpu:0", "meta"):
        with pytest.raises(UnknownNameError):
            resolve_device(name)


def test_a_device_must_be_among_those_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda", 0)
    with pytest.raises(DeviceError, match="2 CUDA devices"):
        resolve_device("cuda:2")


def test_dtypes_by_name_and_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_dtype("bf16", device=CPU) == torch.bfloat16
    assert resolve_dtype("auto", device=CPU, purpose="indices") == torch.float32
    monkeypatch.setattr("vtok.engine.device._cpu_flags", lambda: frozenset({"amx_bf16"}))
    assert resolve_dtype("auto", device=CPU, purpose="features") == torch.bfloat16
    monkeypatch.setattr("vtok.engine.device._cpu_flags", lambda: frozenset({"avx2"}))
    assert resolve_dtype("auto", device=CPU, purpose="features") == torch.float32
    with pytest.raises(UnknownNameError, match="float8"):
        resolve_dtype("float8", device=CPU)


@pytest.mark.parametrize("pixel_range", [PixelRange(), CLIP])
def test_pixels_are_bit_for_bit_those_of_the_formula(pixel_range: PixelRange) -> None:
    images = np.arange(2 * 16 * 24 * 3).reshape(2, 16, 24, 3).astype(np.uint8)
    pixels = to_pixels(torch.from_numpy(images), pixel_range, device=CPU)
    # In NumPy's float32, operation by operation.
    scaled = images.astype(np.float32) / np.float32(255)
    expected = (scaled - np.float32(pixel_range.mean)) / np.float32(pixel_range.std)
    assert pixels.shape == (2, 3, 16, 24)
    np.testing.assert_array_equal(pixels.numpy(), expected.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    "pixel_range", [PixelRange(), CLIP, PixelRange(mean=(0, 0, 0), std=(1, 1, 1))]
)
def test_every_byte_survives_the_way_there_and_back(pixel_range: PixelRange) -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    pixels = to_pixels(images.contiguous(), pixel_range, device=CPU)
    assert torch.equal(to_bytes(pixels, pixel_range), images)


def test_bytes_are_clamped_then_rounded_half_to_even() -> None:
    # A range in which a pixel is 1/255 of its byte, times a power of two: halves stay exact.
    values = torch.tensor([-9.0, 0.5, 1.5, 2.5, 127.5, 254.5, 254.75, 300.0])
    exact = torch.tensor([0, 0, 2, 2, 128, 254, 255, 255], dtype=torch.uint8)
    pixels = (values / 255).view(1, 1, 1, -1).expand(1, 3, 1, -1)
    keeps_halves = (values / 255 * 255) == values
    assert keeps_halves.sum() >= 6
    images = to_bytes(pixels, PixelRange(mean=(0, 0, 0), std=(1, 1, 1)))
    assert images.shape == (1, 1, 8, 3)
    assert torch.equal(images[0, 0, keeps_halves, 0], exact[keeps_halves])


@settings(deadline=None)
@given(st.floats(-3, 3, width=32))
def test_rounding_is_that_of_numpy(value: float) -> None:
    pixels = torch.full((1, 3, 1, 1), value)
    scaled = (np.float32(value) * np.float32(0.5) + np.float32(0.5)) * np.float32(255)
    expected = np.rint(np.clip(scaled, 0, 255))
    assert to_bytes(pixels, PixelRange()).flatten().tolist() == [expected] * 3


def test_several_devices_are_of_one_kind() -> None:
    assert [str(device) for device in resolve_devices("cpu, cpu")] == ["cpu", "cpu"]
    with pytest.raises(DeviceError):
        resolve_devices("cuda:998,cuda:999")
    with pytest.raises(UnknownNameError):
        resolve_devices("cpu,tpu")
