import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from vtok.cli.app import app


@pytest.fixture
def run():
    """Return a runner of `vtok inspect ...` in this process."""

    def invoke(*arguments: object):
        return CliRunner().invoke(app, ["inspect", *map(str, arguments)])

    return invoke


def test_images_are_a_table(run, images: Path) -> None:
    result = run(images)
    assert result.exit_code == 0, result.output
    assert "4,032" in result.stdout
    assert "2 unreadable" in result.stdout


def test_schemes_options_json(run, images: Path) -> None:
    result = run(
        images / "a-landscape.jpg", "--scheme", "closest", "--scheme", "internvl",
        "--max-tiles", 4, "--json",
    )  # fmt: skip
    answer = json.loads(result.stdout)
    assert [scheme["options"]["max_tiles"] for scheme in answer["schemes"]] == [4, 4]
    assert "plan" in answer["images"][0]["cuts"][0]


def test_csv_and_budget(run, images: Path) -> None:
    result = run(images, "--csv", "--budget", 2000)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("image,width,height")
    assert ",yes," in result.stdout


def test_drawing_without_colour_is_ascii(run, images: Path) -> None:
    result = run(images / "a-landscape.jpg", "--show")
    assert result.exit_code == 0, result.output
    assert "+---" in result.stdout
    assert "thumbnail" in result.stdout
    assert "\x1b" not in result.stdout


def test_pictures_are_saved_whole(run, images: Path, tmp_path: Path, build_run) -> None:
    for asked in (images / "a-landscape.jpg", build_run()):
        target = tmp_path / "picture.png"
        result = run(asked, "--save", target)
        assert result.exit_code == 0, result.output
        with Image.open(target) as picture:
            picture.load()
            assert max(picture.size) > 800
        target.unlink()


def test_shards_and_token_maps(run, build_run) -> None:
    result = run(build_run(), "--show")
    assert result.exit_code == 0, result.output
    assert "perplexity" in result.stdout
    assert "whole  6x9" in result.stdout


def test_damage_ends_with_3_after_the_report(run, build_run) -> None:
    folder = build_run()
    (folder / "shard-000001.tar").unlink()
    result = run(folder, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["health"]["state"] == "damaged"
    assert result.stderr.count("\n") == 1
    assert "shard-000001.tar" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{images}", "--scheme", "lava-next"], 2, "did you mean llava-next"),
        (["{images}", "--max-tiles", "0"], 2, "--max-tiles"),
        (["{images}", "--scheme", "qwen2.5-vl", "--max-tiles", "4"], 2, "no option --max-tiles"),
        (["{images}", "--budget", "0"], 2, "--budget"),
        (["{images}", "--json", "--csv"], 2, "--csv"),
        (["{images}", "--show"], 2, "holds several"),
        (["{images}", "--verify"], 2, "--verify"),
        (["{images}/a-landscape.jpg", "--show", "--scheme", "all"], 2, "one cut"),
        (["{images}/a-landscape.jpg", "--save", "{images}/x.jpg"], 2, ".png"),
        (["{images}/c-dot.png", "--save", "{images}/c-dot.png"], 2, "the image itself"),
        (["{images}/e-empty.jpg"], 3, "the file is empty"),
        (["{images}/e-empty.jpg", "--show"], 3, "the file is empty"),
        (["{images}/f-text.png"], 3, "not an image"),
        (["{images}/d-strip.png", "--show", "--scheme", "qwen2.5-vl"], 3, ""),
        (["{images}/missing.jpg"], 3, "missing.jpg"),
        (["{out}", "--scheme", "closest"], 2, "holds shards"),
        (["{out}", "--csv"], 2, "holds shards"),
    ],
)  # fmt: skip
def test_errors_are_one_line(
    run, images: Path, build_run, arguments: list[str], code: int, words: str
) -> None:
    folder = build_run()
    result = run(*(each.format(images=images, out=folder) for each in arguments))
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("vtok: error: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_images_are_inspected_without_torch(images: Path) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from vtok.cli.app import app; "
        f"CliRunner().invoke(app, ['inspect', {str(images)!r}]); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
