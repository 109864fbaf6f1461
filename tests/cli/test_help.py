"""Help teaches, costs nothing, and says of every flag the same everywhere."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from vtok.cli.app import COMMANDS, CommandRow, load_command
from vtok.pipelines.config import commands, limits, parts
from vtok.resolution import SchemeOptions

HEAVY = ("torch", "webdataset", "transformers", "PIL", "numpy", "rich", "vtok.pipelines")
OURS = ("tile", "encode-continuous", "encode-vq", "decode-vq")
CONFIGS = (
    parts.RunConfig,
    parts.CutConfig,
    parts.ModelConfig,
    commands.ProjectorConfig,
    commands.OutputConfig,
    parts.ImageConfig,
    commands.EncodeContinuousConfig,
    commands.DecodeVqConfig,
    limits.LimitConfig,
    SchemeOptions,
)
SAID = {"json", "quiet", "verbose"}
RENAMED = {
    "images": "input",
    "model": "name",
    "projector_weights": "weights",
    "projector_dim": "dim",
    "feature_output": "output",
    "layer": "layers",
    "help": "help",
    "ten_crop": "scheme",
}


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stderr.split())


RUN = "from vtok.cli.app import app; app({arguments!r}, prog_name='vtok', standalone_mode=False)"


def command(name: str) -> Any:
    return load_command(next(row for row in COMMANDS if row.name == name))


def flags(name: str) -> dict[str, Any]:
    return {parameter.name: parameter for parameter in command(name).params}


@pytest.mark.parametrize("arguments", [["--help"], [], ["--version"]])
def test_help_and_version_load_nothing(arguments: list[str]) -> None:
    assert not modules_after(RUN.format(arguments=arguments)) & set(HEAVY)


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_help_of_a_command_loads_no_more_than_the_command_line(row: CommandRow) -> None:
    loaded = modules_after(RUN.format(arguments=[row.name, "--help"]))
    assert loaded.isdisjoint({*HEAVY, "pydantic"} - {"vtok.pipelines"})


def test_import_vtok_loads_nothing() -> None:
    assert not modules_after("import vtok") & set(HEAVY)


def test_tile_never_loads_torch(photos: Path, tmp_path: Path) -> None:
    arguments = ["tile", str(photos), str(tmp_path / "out"), "--workers", "1", "--quiet"]
    loaded = modules_after(RUN.format(arguments=arguments))
    assert (tmp_path / "out" / "manifest.json").exists()
    assert not loaded & {"torch", "webdataset", "transformers"}


def test_version(vtok: Any) -> None:
    assert vtok("--version").stdout == "vtok 0.1.0\n"


def test_help_lists_every_command(vtok: Any) -> None:
    lines = vtok("--help").stdout.splitlines()
    for row in COMMANDS:
        assert any(line.split()[:1] == [row.name] and row.summary in line for line in lines)


@pytest.mark.parametrize("name", OURS)
def test_help_has_examples_and_explains_every_flag(vtok: Any, name: str) -> None:
    text = vtok(name, "--help").stdout
    assert f"  vtok {name} " in text.split("Examples:")[1]
    for parameter in command(name).params:
        assert parameter.help, f"{name}: {parameter.name} is not explained"


@pytest.mark.parametrize("words", [("models",), ("models", "convert")])
def test_examples_of_a_command_of_commands_keep_their_lines(
    vtok: Any, words: tuple[str, ...]
) -> None:
    _, examples = vtok(*words, "--help").stdout.split("\n  Examples:\n")
    assert examples.startswith(f"    vtok {' '.join(words)}")


def test_help_does_not_promise_encode_vq_a_resize_that_it_refuses(vtok: Any) -> None:
    said = " ".join(vtok("encode-vq", "--help").stdout.split())
    assert "for a model of one size encode-continuous squash, and encode-vq asks for --size" in said


@pytest.mark.parametrize("name", OURS)
def test_every_flag_is_a_field_of_a_configuration(name: str) -> None:
    known = {each.name for group in CONFIGS for each in fields(group)}
    for flag in flags(name).keys() - SAID:
        renamed = RENAMED.get(flag, flag)
        assert renamed in known or f"{renamed}_px" in known, f"{name}: --{flag}"


@pytest.mark.parametrize("name", OURS)
def test_a_flag_has_one_meaning_and_one_default(name: str) -> None:
    for flag, parameter in flags(name).items():
        for other in OURS:
            twin = flags(other).get(flag)
            if twin is None or (flag == "model" and "decode-vq" in (name, other)):
                continue  # the shards name the model to decode with
            assert (parameter.opts, parameter.help, parameter.default) == (
                twin.opts,
                twin.help,
                twin.default,
            )


def test_every_option_of_a_scheme_has_its_flag() -> None:
    missing = {each.name.removesuffix("_px") for each in fields(SchemeOptions)} - flags(
        "tile"
    ).keys()
    assert not missing


def test_unknown_command_names_the_near_one(vtok: Any) -> None:
    outcome = vtok("tiles", "a", "b", code=2)
    assert outcome.stderr == "vtok: error: no command is called 'tiles': did you mean tile?\n"
