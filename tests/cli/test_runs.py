"""What the commands make: read by plain webdataset, resumed, the same bytes every time."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

import vtok as library
from vtok.engine import runner
from vtok.io.sources import open_source
from vtok.models.registry import load_encoder, load_tokenizer
from vtok.resolution import Plan

# webdataset leaves closing its files to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
QUICK = ("--workers", "0")
ENCODINGS = ("encode-vq", "encode-continuous")


def webdataset_samples(folder: Path) -> list[dict[str, Any]]:
    urls = [str(path) for path in sorted(folder.glob("shard-*.tar"))]
    return list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))


def test_tiles_are_read_by_webdataset(vtok: Any, photos: Path, tmp_path: Path) -> None:
    report = vtok("tile", photos, tmp_path, *QUICK, "--tile-size", 28, "--json").report
    samples = webdataset_samples(tmp_path)
    assert (report["planned"], report["written"], report["failed"]) == (7, 7, 0)
    assert [each["__key__"] for each in samples] == [f"{index:012d}" for index in range(7)]
    metas = [json.loads(each["json"]) for each in samples]
    sources = ["a.png", "b.v2.jpg", "c.webp", "deep/a.png", "deep/d.bmp", "deep/e.png", "f.png"]
    assert [meta["source"] for meta in metas] == sources
    assert samples[0]["txt"] == b"a smooth picture"
    assert metas[0]["metadata"] == {"rating": 5}
    for sample, meta in zip(samples, metas, strict=True):
        plan = Plan.from_json(meta)
        fields = {f"{view.name}.png" for view in plan.views}
        assert fields == {name for name in sample if name.endswith(".png")}
        assert plan.views[-1].role == "thumbnail"
    assert report["views"] == sum(len(meta["views"]) for meta in metas)


@pytest.mark.parametrize("layout", ["sample", "block"])
def test_indices_are_the_models_own(
    vtok: Any, photos: Path, model: Path, tmp_path: Path, layout: str
) -> None:
    """Against the model called directly on pixels that Pillow decodes and numpy pads."""
    import torch

    arguments = (photos, tmp_path, "--model", model, "--layout", layout, *QUICK)
    report = vtok("encode-vq", *arguments, "--shard-size", 3, "--json").report
    tokenizer = load_tokenizer(str(model))
    num_tokens = 0
    for sample in library.open_shards(tmp_path):
        with Image.open(photos / sample.meta["source"]) as image:
            pixels = np.asarray(image.convert("RGB"))
        height, width, _ = pixels.shape
        padded = np.pad(pixels, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
        inputs = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            expected = tokenizer.tokenize(inputs)[0].numpy()
        assert sample.array.dtype == np.uint16
        assert (sample.array == expected).mean() > 0.99
        assert sample.meta["token_grids"]["whole"] == {
            "rows": expected.shape[0],
            "cols": expected.shape[1],
        }
        num_tokens += expected.size
    assert report["tokens"] == num_tokens
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert len(manifest["shards"]) == 3
    assert sum(manifest["codebook_counts"]) == num_tokens


def test_features_are_the_models_own(vtok: Any, photos: Path, model: Path, tmp_path: Path) -> None:
    import torch

    arguments = ("--model", model, "--scheme", "squash", "--tile-size", 32, *QUICK)
    vtok("encode-continuous", photos, tmp_path, *arguments, "--dtype", "fp32")
    encoder = load_encoder(str(model))
    for sample in library.open_shards(tmp_path):
        with Image.open(photos / sample.meta["source"]) as image:
            square = image.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC)
        inputs = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            expected = encoder.features(inputs)[0].numpy()
        assert sample.array.shape == (16, encoder.spec.dim)
        np.testing.assert_allclose(sample.array, expected, atol=1e-4)


@pytest.mark.parametrize("command", ENCODINGS)
def test_nothing_left_to_do_loads_no_model(
    vtok: Any,
    photos: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    arguments = (command, photos, tmp_path, "--model", model, *QUICK, "--json")
    first = vtok(*arguments).report
    for name in ("load_tokenizer", "load_encoder"):
        monkeypatch.setattr(f"vtok.models.registry.{name}", lambda *_, **__: pytest.fail("loaded"))
    again = vtok(*arguments).report
    assert (again["written"], again["images"], again["images_per_second"]) == (7, 0, None)
    assert again["tokens"] == first["tokens"]


def test_a_missing_shard_alone_is_made_again(
    vtok: Any,
    photos: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    digests: Any,
) -> None:
    arguments = ("encode-vq", photos, tmp_path, "--model", model, *QUICK, "--shard-size", 2)
    vtok(*arguments)
    before = digests(tmp_path)
    (tmp_path / "shard-000001.json").unlink()
    encoded: list[str] = []
    real = runner.Runner.encode

    def spy(self: runner.Runner, outcomes: Any) -> Any:
        for each in real(self, outcomes):
            encoded.append(each.task.key)
            yield each

    monkeypatch.setattr(runner.Runner, "encode", spy)
    report = vtok(*arguments, "--json").report
    assert encoded == ["000000000002", "000000000003"]
    assert (report["images"], report["resumed_shards"], report["written"]) == (2, 3, 7)
    assert digests(tmp_path) == before


@pytest.mark.parametrize("command", ["tile", *ENCODINGS])
def test_workers_change_no_byte(
    vtok: Any, photos_and_broken: Path, model: Path, tmp_path: Path, digests: Any, command: str
) -> None:
    rest = () if command == "tile" else ("--model", model)
    for workers in (1, 3):
        out = tmp_path / str(workers)
        vtok(command, photos_and_broken, out, *rest, "--workers", workers, "--shard-size", 4)
    assert digests(tmp_path / "1") == digests(tmp_path / "3")


def test_broken_images_are_counted_and_named(
    vtok: Any, photos_and_broken: Path, tmp_path: Path
) -> None:
    arguments = ("tile", photos_and_broken, tmp_path / "out", *QUICK, "--verbose", "--json")
    outcome = vtok(*arguments)
    report = outcome.report
    reasons = {each["source"]: each["reason"] for each in report["failures"]}
    assert reasons == {
        "empty.png": "not-an-image",
        "text.jpg": "not-an-image",
        "cut.png": "corrupt",
    }
    assert report["planned"] == report["written"] + report["duplicates"] + report["failed"] == 7
    assert outcome.stderr.count("vtok: failed: ") == 3
    assert vtok(*arguments).report["failures"] == report["failures"]


def test_on_error_fail_drops_the_shard_at_hand(
    vtok: Any, photos_and_broken: Path, tmp_path: Path
) -> None:
    arguments = ("tile", photos_and_broken, tmp_path / "out", *QUICK, "--shard-size", 2)
    outcome = vtok(*arguments, "--on-error", "fail", code=6)
    assert "cut.png" in outcome.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        ".vtok.lock",
        "failures.jsonl",
        "inputs.jsonl.gz",
        "plan.json",
        "shard-000000.tar",
        "shard-000000.json",
    }
    assert vtok(*arguments, "--json").report["failed"] == 3
    vtok(*arguments, "--on-error", "fail", code=6)


def test_all_images_broken_is_a_failure(vtok: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.png").write_bytes(b"no")
    for _ in range(2):
        outcome = vtok("tile", tmp_path / "in", tmp_path / "out", *QUICK, code=7)
        assert outcome.stderr.startswith("vtok: error: finished, but the only image failed")
        assert outcome.stdout.startswith("1 planned = 0 written + 0 duplicates + 1 failed")


def test_limit_takes_the_first_of_the_sorted_input(vtok: Any, photos: Path, tmp_path: Path) -> None:
    report = vtok("tile", photos, tmp_path, *QUICK, "--limit", 2, "--json").report
    assert report["planned"] == 2
    assert [each.meta["source"] for each in library.open_shards(tmp_path)] == ["a.png", "b.v2.jpg"]


@pytest.mark.parametrize("image_format", ["png", "jpg", "webp"])
def test_formats(vtok: Any, photos: Path, tmp_path: Path, image_format: str) -> None:
    vtok("tile", photos, tmp_path, *QUICK, "--format", image_format, "--limit", 1)
    (sample,) = library.open_shards(tmp_path)
    assert {each.format for each in sample.images.values()} == {image_format}


def psnr_by_numpy(first: Path, second: Path) -> float:
    arrays = []
    for path in (first, second):
        with Image.open(path) as image:
            arrays.append(np.asarray(image.convert("RGB"), np.float64))
    return 10 * math.log10(255**2 / ((arrays[0] - arrays[1]) ** 2).mean())


def test_decode_gives_names_sizes_and_quality(
    vtok: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    vtok("encode-vq", photos, tmp_path / "indices", "--model", model, *QUICK, "--shard-size", 3)
    arguments = ("decode-vq", tmp_path / "indices", tmp_path / "images", "--reference", photos)
    report = vtok(*arguments, "--json").report
    images = tmp_path / "images"
    originals = {item.source: photos / item.source for item in open_source(str(photos)).list()}
    quality = {each["source"]: each for each in report["quality"]["images"]}
    assert quality.keys() == originals.keys()
    for source, original in originals.items():
        decoded = (images / source).with_suffix(".png")
        with Image.open(original) as first, Image.open(decoded) as second:
            assert first.size == second.size
        assert quality[source]["psnr_db"] == pytest.approx(psnr_by_numpy(original, decoded))
    mean = np.mean([each["psnr_db"] for each in quality.values()])
    assert report["quality"]["psnr_db"] == pytest.approx(mean)
    record = json.loads((images / "images.json").read_text())
    assert [each["files"][0] for each in record["images"]][:2] == ["a.png", "b.v2.png"]


def test_decode_resumes_to_the_same_bytes(
    vtok: Any, photos: Path, model: Path, tmp_path: Path, digests: Any
) -> None:
    vtok("encode-vq", photos, tmp_path / "indices", "--model", model, *QUICK, "--shard-size", 3)
    arguments = ("decode-vq", tmp_path / "indices", tmp_path / "images")
    vtok(*arguments)
    before = digests(tmp_path / "images")
    (tmp_path / "images" / "b.v2.png").unlink()
    assert vtok(*arguments, "--json").report["images"] == 3
    assert digests(tmp_path / "images") == before
    assert "nothing was left to do" in vtok(*arguments).stdout
    outcome = vtok(*arguments, "--format", "jpg", code=3)
    assert "another plan" in outcome.stderr
    vtok(*arguments, "--overwrite")
    assert digests(tmp_path / "images") == before


def test_tiles_are_stitched(vtok: Any, photos: Path, model: Path, tmp_path: Path) -> None:
    cut = ("--scheme", "closest", "--tile-size", 16)
    vtok("encode-vq", photos, tmp_path / "indices", "--model", model, *QUICK, *cut)
    vtok("decode-vq", tmp_path / "indices", tmp_path / "images", "--reference", photos)
    for sample in library.open_shards(tmp_path / "indices"):
        plan = Plan.from_json(sample.meta)
        with Image.open((tmp_path / "images" / sample.meta["source"]).with_suffix(".png")) as image:
            assert plan.grid is not None
            assert 0 <= plan.size.width - image.width < plan.grid.cols
            assert 0 <= plan.size.height - image.height < plan.grid.rows


def test_a_webdataset_in_keeps_its_keys(vtok: Any, photos: Path, tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "in.tar")) as tar:
        for key in ("x/one", "x/two"):
            data = (photos / "a.png").read_bytes()
            tar.write({"__key__": key, "png": data, "txt": f"caption of {key}"})
    vtok("tile", tmp_path / "in.tar", tmp_path / "out", *QUICK)
    samples = webdataset_samples(tmp_path / "out")
    assert [each["__key__"] for each in samples] == ["x/one", "x/two"]
    assert [each["txt"] for each in samples] == [b"caption of x/one", b"caption of x/two"]


def test_how_images_are_decoded_and_how_many_at_once_is_in_the_plan(
    vtok: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    arguments = ("encode-vq", photos, tmp_path / "out", "--model", model, "--workers", 1)
    vtok(*arguments)
    plan = json.loads((tmp_path / "out" / "plan.json").read_text(encoding="utf-8"))
    assert plan["configuration"]["batch_pixels"] > 0
    assert "decoding" in vtok(*arguments, "--decoding", "scaled", code=3).stderr
    assert "resizing" in vtok(*arguments, "--resizing", "fast", code=3).stderr
    assert vtok(*arguments, "--json").report["images"] == 0
    one_by_one = vtok(*arguments, "--batch-size", 1, code=3).stderr
    assert "batch_size" in one_by_one


@pytest.mark.parametrize("command", ENCODINGS)
def test_devices_change_no_byte(
    vtok: Any, photos_and_broken: Path, model: Path, tmp_path: Path, digests: Any, command: str
) -> None:
    for devices in ("cpu", "cpu,cpu"):
        report = vtok(
            command, photos_and_broken, tmp_path / devices, "--model", model, "--device", devices,
            "--workers", 1, "--shard-size", 2, "--json",
        ).report  # fmt: skip
        assert (report["written"], report["failed"], report["images"]) == (4, 3, 7)
        assert report["stages"]["batches"] > 0
    assert digests(tmp_path / "cpu") == digests(tmp_path / "cpu,cpu")


def test_a_failure_on_one_device_ends_a_run_that_must_not_fail(
    vtok: Any, photos_and_broken: Path, model: Path, tmp_path: Path
) -> None:
    outcome = vtok(
        "encode-vq", photos_and_broken, tmp_path / "out", "--model", model, "--device", "cpu,cpu",
        "--workers", 1, "--shard-size", 2, "--on-error", "fail", code=6,
    )  # fmt: skip
    assert "--on-error skip would go on" in outcome.stderr
    assert not list((tmp_path / "out").glob("*.tmp*"))


def test_only_the_encoders_take_several_devices(vtok: Any, photos: Path, tmp_path: Path) -> None:
    refused = vtok("bench", photos, "--device", "cpu,cpu", code=2)
    assert "only the encoders take several devices" in refused.stderr
