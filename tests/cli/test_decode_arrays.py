"""A single .npy of indices, and the models that cannot decode: refused before a folder is made."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from vtok.shards.shardset import open_shards

CODES = 300  # of the fixture's model


@pytest.fixture
def indices() -> npt.NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, CODES, (3, 4, 5))


def saved(path: Path, array: npt.NDArray[Any]) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "int32", "uint64", "int64"])
def test_every_integer_dtype_gives_the_same_image(
    vtok: Any, model: Path, tmp_path: Path, indices: Any, dtype: str
) -> None:
    vtok("decode-vq", saved(tmp_path / "a.npy", indices[0]), tmp_path / "a", "--model", model)
    typed = saved(tmp_path / "b.v1.npy", indices[0].astype(dtype))
    vtok("decode-vq", typed, tmp_path / "b", "--model", model)
    first, second = tmp_path / "a" / "a.png", tmp_path / "b" / "b.v1.png"
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as image:
        assert image.size == (5 * 8, 4 * 8)


def test_a_batch_is_its_images(vtok: Any, model: Path, tmp_path: Path, indices: Any) -> None:
    out = tmp_path / "out"
    batch = saved(tmp_path / "x.npy", np.asfortranarray(indices))
    report = vtok("decode-vq", batch, out, "--model", model, "--json").report
    assert report["written"] == 3
    assert sorted(path.name for path in out.glob("*.png")) == [f"x-00000{n}.png" for n in range(3)]
    one = saved(tmp_path / "one.npy", indices[2])
    vtok("decode-vq", one, tmp_path / "one", "--model", model, "--batch-size", 1)
    alone = np.asarray(Image.open(tmp_path / "one" / "one.png")).astype(int)
    assert np.abs(alone - np.asarray(Image.open(out / "x-000002.png"))).max() <= 1
    assert vtok("decode-vq", batch, out, "--model", model, "--json").report["images"] == 0


def test_it_gives_what_the_shards_give(
    vtok: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    vtok("encode-vq", photos / "a.png", made, "--model", model, "--workers", 0)
    array = next(iter(open_shards(made))).indices["whole"]
    out = tmp_path / "out"
    report = vtok(
        *("decode-vq", saved(tmp_path / "mine.npy", array), out, "--model", model, "--json"),
        *("--reference", photos / "a.png", "--output-format", "webdataset"),
    ).report
    assert report["quality"]["compared"] == 1  # one image, one original, whatever they are called
    assert (report["planned"], report["shards"]) == (1, 1)
    files = tmp_path / "files"
    shown = vtok("decode-vq", made, files, "--reference", photos / "a.png", "--json").report
    assert shown["quality"]["psnr_db"] == report["quality"]["psnr_db"]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((4, 5), CODES), f"index {CODES} is outside the codebook of {CODES}"),
        (np.array([[1, -1]], dtype=np.int8), "index -1 is outside"),
        (np.array([[2**63 + 3]], dtype=np.uint64), f"index {2**63 + 3} is outside"),
        (np.array([[65536]], dtype=np.int64), "index 65536 is outside"),  # 0 as uint16
        (np.zeros((4, 5), dtype=np.float32), "dtype float32 is not one of"),
        (np.zeros(20, dtype=np.int64), "indices of shape (20), and the model's are (h, w), or a"),
        (np.zeros((1, 2, 3, 4), dtype=np.int64), "or a batch of these"),
        (np.zeros((0, 4), dtype=np.int64), "no elements"),
        (np.array([[{"a": 1}]], dtype=object), "not one of a plain numeric array"),
    ],
)
def test_what_is_no_indices_is_refused_in_one_line(
    vtok: Any, model: Path, tmp_path: Path, array: Any, message: str
) -> None:
    path, out = tmp_path / "x.npy", tmp_path / "out"
    np.save(path, array, allow_pickle=array.dtype == object)
    said = vtok("decode-vq", path, out, "--model", model, code=3).stderr
    assert message in said
    assert str(path) in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_a_pickle_and_a_cut_file_are_refused(vtok: Any, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.")
    assert "not a version 1.0 .npy" in vtok("decode-vq", path, "o", "--model", model, code=3).stderr
    whole = saved(path, np.zeros((4, 5), dtype=np.uint16)).read_bytes()
    path.write_bytes(whole[:-1])
    assert "39 are there" in vtok("decode-vq", path, "o", "--model", model, code=3).stderr
    path.unlink()
    assert "cannot read" in vtok("decode-vq", path, "o", "--model", model, code=3).stderr
    assert not (tmp_path / "owned").exists()


def test_an_array_needs_a_model(vtok: Any, tmp_path: Path, indices: Any) -> None:
    path = saved(tmp_path / "x.npy", indices)
    said = vtok("decode-vq", path, tmp_path / "out", code=2).stderr
    assert "--model NAME" in said
    assert not (tmp_path / "out").exists()


@pytest.fixture
def encoder_only(tmp_path: Path) -> Path:
    """A small DALL-E encoder, as FLAVA has it: there is no decoder."""
    import torch

    from vtok.models.families.dalle import DalleShape, DalleTokenizer
    from vtok.models.files.converted import write_converted

    torch.manual_seed(0)
    shape = DalleShape(width=8, num_blocks=1, codebook_size=16, code_dim=None)
    tokenizer = DalleTokenizer(shape, name="half")
    write_converted(tmp_path / "half", tokenizer, {}, tokenizer.state_dict(), licence="")
    return tmp_path / "half"


def test_a_model_without_decoder_is_refused_before_a_folder_is_made(
    vtok: Any, photos: Path, encoder_only: Path, tmp_path: Path
) -> None:
    made, out = tmp_path / "made", tmp_path / "out"
    arguments = ("encode-vq", photos, made, "--model", encoder_only, "--workers", 0)
    vtok(*arguments, "--limit", 2)
    for source in (made, saved(tmp_path / "x.npy", np.zeros((2, 3), dtype=np.uint8))):
        said = vtok("decode-vq", source, out, "--model", encoder_only, code=4).stderr
        assert "cannot decode: its weights have no decoder" in said
        assert said.count("\n") == 1
        assert not out.exists()
