"""Each of the four shapes of indices survives a shard, whichever its layout; another is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shard_samples import MODEL, index_header, write_shard

from vtok.codeshape import CodeShape
from vtok.errors import ShardError
from vtok.records import Grid
from vtok.shards.header import Layout, ShardHeader
from vtok.shards.reader import Shard
from vtok.shards.samples import Sample
from vtok.shards.writer import ShardWriter

SCALES = tuple(Grid(rows=n, cols=n + 1) for n in (1, 2, 4))
SHAPES = {
    "grid": (CodeShape(), (4, 5), (4, 5, 1)),
    "deep-grid": (CodeShape(kind="deep-grid", depth=4), (4, 5, 4), (4, 5, 3)),
    "cells": (CodeShape(kind="codebooks", num_codebooks=8), (8, 20), (7, 20)),
    "sequence": (CodeShape(kind="codebooks", length=32), (1, 32), (1, 31)),
    "scales": (CodeShape(kind="scales", scales=SCALES), (2 + 6 + 20,), (27,)),
}


@pytest.mark.parametrize("layout", ["sample", "block"])
@pytest.mark.parametrize("name", SHAPES)
def test_a_shard_alone_tells_its_shape(name: str, layout: Layout, tmp_path: Path) -> None:
    codes, shape, _ = SHAPES[name]
    header = replace(index_header(layout), model=replace(MODEL, codes=codes))
    arrays = [np.random.default_rng(n).integers(0, 8192, shape) for n in range(3)]
    samples = [Sample(key=f"{n:012d}", indices={"whole": each}) for n, each in enumerate(arrays)]
    write_shard(tmp_path / "one.tar", header, samples)
    shard = Shard(tmp_path / "one.tar")
    assert shard.header.model is not None
    assert shard.header.model.codes == codes
    for sample, array in zip(shard, arrays, strict=True):
        assert sample.array.dtype == np.uint16
        assert np.array_equal(sample.array, array)


@pytest.mark.parametrize("layout", ["sample", "block"])
@pytest.mark.parametrize("name", SHAPES)
def test_another_shape_is_refused_both_ways(
    name: str, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, _, other = SHAPES[name]
    header = replace(index_header(layout), model=replace(MODEL, codes=codes))
    with (
        ShardWriter(tmp_path / "one.tar", header) as writer,
        pytest.raises(ShardError, match=r"whole: indices of shape \(.*and the model's are"),
    ):
        writer.add(Sample(key="000000000000", indices={"whole": np.zeros(other, np.int64)}))
    with monkeypatch.context() as patched:
        patched.setattr(ShardHeader, "check_shape", lambda *_args, **_kwargs: None)
        sample = Sample(key="000000000000", indices={"whole": np.zeros(other, np.int64)})
        write_shard(tmp_path / "two.tar", header, [sample])
    with pytest.raises(ShardError, match=r"two\.tar: member .*the model's are"):
        list(Shard(tmp_path / "two.tar"))


@given(
    codes=st.one_of(
        st.just(CodeShape()),
        st.builds(CodeShape, kind=st.just("deep-grid"), depth=st.integers(1, 9)),
        st.builds(
            CodeShape,
            kind=st.just("codebooks"),
            num_codebooks=st.integers(1, 9),
            length=st.none() | st.integers(1, 300),
        ),
        st.lists(st.builds(Grid, rows=st.integers(1, 9), cols=st.integers(1, 9)), min_size=1).map(
            lambda scales: CodeShape(kind="scales", scales=tuple(scales))
        ),
    ),
    rows=st.integers(1, 40),
    cols=st.integers(1, 40),
)
def test_shape_and_grid_agree(codes: CodeShape, rows: int, cols: int) -> None:
    assert CodeShape.from_json(codes.to_json()) == codes
    grid = codes.scales[-1] if codes.scales else Grid(rows=rows, cols=cols)
    shape = codes.shape_of(grid)
    assert codes.problem(shape) is None
    assert codes.grid_of(shape) in (grid, None)
    assert codes.problem((*shape, 2)) is not None
    assert codes.problem((0, *shape[1:])) is not None


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"kind": "hexagons"},
        {"kind": "grid", "depth": 2},
        {"kind": "deep-grid", "depth": 0},
        {"kind": "scales", "scales": []},
        {"kind": "scales", "scales": [[1]]},
        {"kind": "codebooks", "num_codebooks": 8},
    ],
)
def test_no_shape_is_believed(value: object) -> None:
    with pytest.raises(ValueError, match=r"shape|grid|scales|unpack"):
        CodeShape.from_json(value)
