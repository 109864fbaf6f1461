"""Where a model's own preprocessing is not known or not followed, that is said."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the reference models are an extra")

from typer.testing import CliRunner
from vision_models import made, tower_configs, whole_configs
from vision_processors import processors

from vtok.cli.app import app
from vtok.models.registry import load_encoder

pytestmark = pytest.mark.slow

CONFIGS = {**tower_configs(), **whole_configs()}


def saved(folder: Path, name: str, **facts: Any) -> Path:
    made(CONFIGS[name]).save_pretrained(folder)
    processors()[name].save_pretrained(folder)
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **facts}))
    return folder


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("clip", {"do_resize": False}),
        ("siglip", {"size": {"height": 28, "width": 56}}),
        ("qwen2.5-vl", {"merge_size": 3}),
        ("idefics3", {"do_image_splitting": False}),
    ],
)
def test_a_processor_that_no_scheme_follows_is_named(
    name: str, facts: dict[str, Any], tmp_path: Path
) -> None:
    assert load_encoder(str(saved(tmp_path / "own", name))).note == ""
    encoder = load_encoder(str(saved(tmp_path / "other", name, **facts)))
    assert encoder.spec.scheme is None
    assert "ImageProcessor" in encoder.note
    assert encoder.note.startswith("no scheme here cuts images as")


def test_onevision_with_another_limit_of_tiles_has_no_scheme(tmp_path: Path) -> None:
    folder = saved(tmp_path, "llava-onevision")
    assert load_encoder(str(folder)).spec.scheme == "llava-onevision"
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "vision_aspect_ratio": "anyres_max_4"})
    )
    encoder = load_encoder(str(folder))
    assert encoder.spec.scheme is None
    assert encoder.note


def test_a_missing_file_is_said_by_the_command(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", "clip")
    samples = Path(__file__).parents[2] / "sample_images"
    arguments = ["encode-continuous", samples, tmp_path / "out", "--model", folder, "--limit", 1]
    arguments += ["--workers", 0]
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == 0
    assert "preprocessor_config" not in result.stderr
    (folder / "preprocessor_config.json").unlink()
    result = CliRunner().invoke(app, [str(each) for each in [*arguments, "--overwrite"]])
    assert result.exit_code == 0
    assert "there is no preprocessor_config.json: bytes become [-1, 1]" in result.stderr
