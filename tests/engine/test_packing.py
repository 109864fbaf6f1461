"""Native ratio: views of any sizes as one sequence, without padding, none seeing another."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from engine_fakes import picture
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vtok.engine.batching import Member
from vtok.engine.packed import PackedForward, features_forward
from vtok.engine.packs import PackLimits, form_packs
from vtok.errors import DeviceError, NonFiniteError
from vtok.models.vit import VitEncoder
from vtok.nn.vit import VitConfig
from vtok.records import Grid

CPU = torch.device("cpu")
PATCH = 8
SIZES = [(24, 40), (8, 8), (64, 16), (24, 40), (40, 24), (16, 72)]
POSITIONS: list[dict[str, Any]] = [
    {"position": "rotary-2d"},
    {"position": "sine-cosine-2d", "num_prefix": 2},
    {"position": "learned-1d", "grid": Grid(rows=4, cols=4), "num_prefix": 1},
    {"position": "learned-2d", "grid": Grid(rows=9, cols=9)},
]


def encoder(*, layers: tuple[int, ...] = (), **options: Any) -> VitEncoder:
    """Return a small transformer whose every weight has a say."""
    torch.manual_seed(0)
    shape = {"patch_px": PATCH, "dim": 32, "depth": 3, "num_heads": 4, "mlp_ratio": 2.0}
    model = VitEncoder(VitConfig(**(shape | (options or POSITIONS[0]))), layers=layers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.15)
    return model.eval()


def views(sizes: Sequence[tuple[int, int]] = tuple(SIZES)) -> list[np.ndarray]:
    """Return views as decode workers hand them on: not to be written to."""
    found = [picture(height, width, seed) for seed, (height, width) in enumerate(sizes)]
    for view in found:
        view.flags.writeable = False
    return found


def run(forward: PackedForward, pack: Sequence[np.ndarray]) -> list[Any]:
    return forward.finish(forward.launch(pack))


def packed(model: VitEncoder, dtype: torch.dtype = torch.float32) -> PackedForward:
    forward = features_forward(model, device=CPU, dtype=dtype)
    assert isinstance(forward, PackedForward)
    return forward


@pytest.mark.parametrize("layers", [(), (-2, 0)])
@pytest.mark.parametrize("options", POSITIONS, ids=lambda options: options["position"])
def test_a_pack_gives_what_each_view_gives_alone(
    options: dict[str, Any], layers: tuple[int, ...]
) -> None:
    model = encoder(**options, layers=layers)
    together = run(packed(model), views())
    for (height, width), features, view in zip(SIZES, together, views(), strict=True):
        pixels = torch.from_numpy(view.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            alone = model.features(pixels)[0].numpy()
        assert features.shape == (height // PATCH * (width // PATCH), 32 * max(1, len(layers)))
        np.testing.assert_allclose(features, alone, rtol=0, atol=1e-4)
        assert np.abs(alone).mean() > 0.1


@pytest.mark.parametrize("sizes", [SIZES, [(24, 40)] * 4])
@pytest.mark.parametrize("options", POSITIONS, ids=lambda options: options["position"])
def test_no_view_sees_another(options: dict[str, Any], sizes: list[tuple[int, int]]) -> None:
    """Exchanging one view for noise changes not a bit of the others."""
    forward, pack = packed(encoder(**options)), views(sizes)
    before = run(forward, pack)
    for changed in range(len(sizes)):
        noise = np.random.default_rng(9).integers(0, 256, pack[changed].shape, np.uint8)
        after = run(forward, [*pack[:changed], noise, *pack[changed + 1 :]])
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            assert np.array_equal(old, new) == (number != changed)


def test_bfloat16_comes_home_as_float32_and_close() -> None:
    exact = run(packed(encoder()), views())
    for low, high in zip(run(packed(encoder(), torch.bfloat16), views()), exact, strict=True):
        assert low.dtype == np.float32
        cosine = (low * high).sum(1) / np.linalg.norm(low, axis=1) / np.linalg.norm(high, axis=1)
        assert cosine.min() > 0.99


class Troubled(VitEncoder):
    """Has memory for so many views, and finds no number for those of one size."""

    def __init__(self, most_views: int = 99, bad: tuple[int, int] = (0, 0)) -> None:
        super().__init__(VitConfig(patch_px=PATCH, dim=16, depth=1, num_heads=2))
        self.most_views = most_views
        self.bad = bad
        self.calls: list[int] = []

    def features_packed(self, images: Sequence[Tensor]) -> list[Tensor]:
        self.calls.append(len(images))
        if len(images) > self.most_views:
            raise torch.OutOfMemoryError("pretended")
        features = super().features_packed(images)
        return [
            torch.full_like(each, torch.nan) if tuple(image.shape[1:]) == self.bad else each
            for each, image in zip(features, images, strict=True)
        ]


def test_a_view_that_is_not_finite_fails_alone() -> None:
    results = run(packed(Troubled(bad=(8, 8))), views())
    assert [isinstance(each, NonFiniteError) for each in results] == [i == 1 for i in range(6)]


def test_packs_shrink_to_the_memory_that_there_is() -> None:
    torch.manual_seed(1)
    expected = run(packed(Troubled()), views())
    torch.manual_seed(1)
    small = Troubled(most_views=2)
    forward = packed(small)
    for results in (run(forward, views()), run(forward, views())):
        for result, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-5)
    assert max(small.calls[small.calls.index(1) :]) <= 3  # what was learned is kept
    with pytest.raises(DeviceError, match="single input of 24x40x3"):
        run(packed(Troubled(most_views=0)), views()[:1])


STREAMS = st.lists(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=4), max_size=9
)


@given(sizes=STREAMS, num_pixels=st.integers(1, 200), num_arrays=st.integers(1, 5))
def test_every_view_is_in_one_pack_in_order(
    sizes: list[list[tuple[int, int]]], num_pixels: int, num_arrays: int
) -> None:
    def stream() -> Iterator[list[np.ndarray]]:
        for sample in sizes:
            yield [np.zeros((*size, 3), np.uint8) for size in sample]

    packs = list(form_packs(stream(), PackLimits(num_pixels, num_arrays)))
    members = [member for pack in packs for member in pack.members]
    assert members == [Member(s, p) for s, sample in enumerate(sizes) for p in range(len(sample))]
    totals = []
    for pack in packs:
        shapes = [sizes[member.sample][member.position] for member in pack.members]
        assert shapes == [array.shape[:2] for array in pack.arrays]
        totals.append(sum(height * width for height, width in shapes))
        assert len(pack.arrays) <= num_arrays
        assert totals[-1] <= num_pixels or len(pack.arrays) == 1
    for total, pack, following in zip(totals, packs, packs[1:], strict=False):
        height, width, _ = following.arrays[0].shape
        assert len(pack.arrays) == num_arrays or total + height * width > num_pixels


def test_none_ends_a_pack_and_is_not_counted() -> None:
    def stream() -> Iterator[list[np.ndarray] | None]:
        for number in (None, 0, 1, None, None, 2, None):
            yield None if number is None else [np.zeros((2, 2, 3), np.uint8)]

    packs = form_packs(stream(), PackLimits(100, 10))
    assert [pack.members for pack in packs] == [(Member(0, 0), Member(1, 0)), (Member(2, 0),)]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_gpus_kernel_keeps_views_apart(dtype: torch.dtype) -> None:
    expected = run(packed(encoder()), views())
    forward = features_forward(encoder(), device=torch.device("cuda"), dtype=dtype)
    tolerance = 1e-3 if dtype == torch.float32 else 0.2
    before = forward.finish(forward.launch(views()))
    for features, wanted in zip(before, expected, strict=True):
        np.testing.assert_allclose(np.asarray(features, np.float32), wanted, atol=tolerance)
    noise = [np.full_like(views()[0], 7), *views()[1:]]
    after = forward.finish(forward.launch(noise))
    for old, new in zip(before[1:], after[1:], strict=True):
        assert np.array_equal(old, new)
