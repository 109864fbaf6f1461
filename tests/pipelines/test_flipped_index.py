"""An index that changed on the disk is found before anything is decoded from it."""

from pathlib import Path

from typer.testing import CliRunner

from vtok.cli.app import app

ICON = Path(__file__).parents[2] / "sample_images" / "horse.png"


def test_a_flipped_index_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    shards, images = tmp_path / "indices", tmp_path / "images"
    made = CliRunner().invoke(app, ["encode-vq", str(ICON), str(shards), "--quiet"])
    assert made.exit_code == 0, made.output
    tar = shards / "shard-000000.tar"
    data = bytearray(tar.read_bytes())
    data[data.index(b"\x93NUMPY") + 128] ^= 1  # the first index: still one of the codebook's
    tar.write_bytes(bytes(data))
    result = CliRunner().invoke(app, ["decode-vq", str(shards), str(images)])
    assert result.exit_code == 3
    assert "sha256" in result.stderr
    assert not images.exists() or list(images.glob("*.png")) == []
