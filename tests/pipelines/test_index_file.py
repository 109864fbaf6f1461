"""One array of indices of each of the four shapes: of one image, or of a batch."""

from pathlib import Path

import numpy as np
import pytest

from vtok.codeshape import CodeShape
from vtok.errors import ShardError
from vtok.models.base import PixelRange, TokenizerSpec
from vtok.pipelines.decoding.index_file import survey_index_file
from vtok.records import Grid, Size
from vtok.shards.header import ModelRecord

SCALES = (Grid(rows=1, cols=1), Grid(rows=2, cols=2))
SHAPES = {
    "grid": (CodeShape(), (3, 4)),
    "deep-grid": (CodeShape(kind="deep-grid", depth=4), (3, 5, 4)),
    "codebooks": (CodeShape(kind="codebooks", num_codebooks=1, length=32), (1, 32)),
    "several codebooks": (CodeShape(kind="codebooks", num_codebooks=8, length=16), (8, 16)),
    "scales": (CodeShape(kind="scales", scales=SCALES), (5,)),
}


def spec(codes: CodeShape) -> TokenizerSpec:
    size = None if codes.kind in ("grid", "deep-grid") else Size(height=16, width=16)
    return TokenizerSpec(
        name="any",
        family="any",
        downsample=8,
        codebook_size=50,
        code_dim=4,
        pixels=PixelRange(),
        codes=codes,
        size_policy="fixed" if size else "any",
        fixed_size=size,
        alignment_px=8,
    )


RECORD = ModelRecord(name="any", family="any", weights_sha256="0" * 64, codebook_size=50)


@pytest.mark.parametrize("kind", SHAPES)
def test_one_image_and_a_batch_are_told_apart(kind: str, tmp_path: Path) -> None:
    codes, shape = SHAPES[kind]
    batch = np.random.default_rng(0).integers(0, 50, (3, *shape)).astype(np.int32)
    for array, names in ((batch[1], ["x"]), (batch, ["x-000000", "x-000001", "x-000002"])):
        np.save(tmp_path / "x.npy", array)
        found = survey_index_file(tmp_path / "x.npy", spec(codes), RECORD, limit=None, ending="png")
        ((samples, decoded),) = found.shards
        assert [str(each.pictures[0].file) for each in decoded] == [f"{n}.png" for n in names]
        arrays = np.stack([sample.indices["whole"] for sample in samples])
        assert np.array_equal(arrays, array.reshape(-1, *shape))
    limited = survey_index_file(tmp_path / "x.npy", spec(codes), RECORD, limit=2, ending="png")
    assert limited.num_samples == 2


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("grid", (2, 3, 4, 1)),
        ("grid", (12,)),
        ("deep-grid", (3, 5)),
        ("deep-grid", (3, 5, 3)),
        ("codebooks", (32,)),
        ("codebooks", (2, 32)),
        ("several codebooks", (16, 8)),
        ("scales", (6,)),
        ("scales", (5, 1)),
    ],
)
def test_other_shapes_are_refused_with_the_models_own(
    kind: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    codes, _ = SHAPES[kind]
    np.save(tmp_path / "x.npy", np.zeros(shape, dtype=np.uint8))
    with pytest.raises(ShardError, match="or a batch of these") as caught:
        survey_index_file(tmp_path / "x.npy", spec(codes), RECORD, limit=None, ending="png")
    assert str(codes) in str(caught.value)
