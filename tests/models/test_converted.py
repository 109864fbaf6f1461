"""A converted folder is the same tokenizer, says what it is, and decodes its source's shards."""

import json
from pathlib import Path

import pytest
import torch
from checkpoints import STORED, chameleon
from parity import TAGS, pixels_of, references

from vtok.errors import OutputError, WeightsError
from vtok.models.catalogue import catalogue
from vtok.models.presets import PRESETS
from vtok.models.registry import convert_tokenizer, load_tokenizer
from vtok.pipelines.running.model import load_recorded_tokenizer, record_of


@pytest.mark.parametrize("label", STORED)
def test_it_gives_the_same_indices(label: str, tmp_path: Path) -> None:
    stored, write = STORED[label]
    source, output = tmp_path / stored, tmp_path / "converted"
    source.mkdir()
    first = load_tokenizer(str(write(source)))
    convert_tokenizer(str(source), output)
    assert {each.name for each in output.iterdir()} == {"config.json", "model.safetensors"}
    again = load_tokenizer(str(output))
    assert again.spec.family == first.spec.family
    assert again.source_sha256 == first.weights_sha256
    for name, tensor in first.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    pixels = pixels_of(first, references(stored)[f"img_{TAGS[1]}"])
    with torch.no_grad():
        assert torch.equal(first.tokenize(pixels), again.tokenize(pixels))


def test_it_says_what_it_is_and_decodes_for_its_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    first = load_tokenizer(str(chameleon(source)), family="ibq")
    convert_tokenizer(str(source), tmp_path / "once", family="ibq")
    convert_tokenizer(str(tmp_path / "once"), tmp_path / "twice")
    described = json.loads((tmp_path / "twice" / "config.json").read_text())
    assert (described["format"], described["family"]) == ("vtok-model", "ibq")
    assert described["source"]["weights_sha256"] == first.weights_sha256
    assert described["spec"]["codes"] == {"kind": "grid"}
    assert load_tokenizer(str(tmp_path / "twice")).spec.family == "ibq"
    record = record_of(first)
    assert load_recorded_tokenizer(record, str(tmp_path / "twice")).spec.family == "ibq"
    assert load_recorded_tokenizer(record, None).spec.family == "ibq", "the shards know it"
    with pytest.raises(WeightsError, match="the shards were made with weights"):
        load_recorded_tokenizer(record, "vtok-base")
    with pytest.raises(OutputError, match="is there already"):
        convert_tokenizer(str(source), tmp_path / "once")


def written(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


@pytest.mark.parametrize("kept", [[], ["model.safetensors"], ["model.safetensors", "config.json"]])
def test_it_goes_on_where_it_was_killed(kept: list[str], tmp_path: Path) -> None:
    source, output = tmp_path / "source", tmp_path / "converted"
    source.mkdir()
    chameleon(source)
    convert_tokenizer(str(source), output)
    whole = written(output)
    for name in whole.keys() - set(kept):
        (output / name).unlink()
    (output / ".vtok.lock").write_bytes(b"1\n")
    (output / ".model.safetensors.0123456789abcdef.partial").write_bytes(b"half")
    convert_tokenizer(str(source), output)
    assert written(output) == whole


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "notes.txt"])
def test_it_writes_over_nothing_that_is_not_its_own(name: str, tmp_path: Path) -> None:
    source, output = tmp_path / "source", tmp_path / "mine"
    source.mkdir()
    chameleon(source)
    output.mkdir()
    (output / name).write_bytes(b"mine")
    with pytest.raises(OutputError, match="is there already"):
        convert_tokenizer(str(source), output)
    assert (output / name).read_bytes() == b"mine"
    assert not {"model.safetensors", "config.json"} & (written(output).keys() - {name})


def test_the_catalogue_has_every_name() -> None:
    rows = {row.name: row for row in catalogue()}
    assert rows.keys() == {"vtok-base", *PRESETS}
    assert rows["vtok-base"].is_here
    assert (rows["llamagen-vq16"].indices_256, rows["llamagen-vq16"].dtype) == (256, "uint16")
    assert rows["open-magvit2-256"].dtype == "uint32"
    assert all(row.licence and (row.hub_id or row.page or row.is_here) for row in rows.values())


def test_models_published_elsewhere_say_where() -> None:
    with pytest.raises(WeightsError, match=r"last\.ckpt and model\.yaml at https://heibox"):
        load_tokenizer("taming-imagenet-f16-16384")
