"""The files that set the project up agree with each other and need nothing beyond pip."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]


def declared_requirements() -> list[Requirement]:
    """Return what `vtok[dev]` asks for by name: the core, and the extras that `dev` pulls in."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    found, pending = list(project["dependencies"]), ["dev"]
    while pending:
        for line in extras[pending.pop()]:
            requirement = Requirement(line)
            if requirement.name == project["name"]:
                pending.extend(sorted(requirement.extras))  # a set: its order is not stable
            else:
                found.append(line)
    return [Requirement(line) for line in found]


def pins() -> dict[str, Version]:
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    entries = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(entry) == 2 for entry in entries), "a constraint is not an exact pin"
    return {canonicalize_name(name): Version(version) for name, version in entries}


@pytest.mark.parametrize("requirement", declared_requirements(), ids=lambda item: item.name)
def test_every_declared_package_is_pinned_inside_its_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_pins_fit_cpu_and_cuda_builds_alike() -> None:
    assert [name for name, version in pins().items() if version.local] == []


def hook_values(key: str) -> list[str]:
    """Return every value of one key in the hook file, in order."""
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    return re.findall(rf"^[\s-]*{key}: (.*)$", text, flags=re.MULTILINE)


def make(*arguments: str) -> list[str]:
    """Return the lines that make prints, deaf to a make that may be running these tests."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--silent", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_every_hook_is_local() -> None:
    """A hook from elsewhere would be downloaded, and could differ from `make check`."""
    assert set(hook_values("repo")) == {"local"}


def test_hooks_run_the_tools_of_make_check() -> None:
    """The two differ in their reach only: changed files here, the whole tree there."""
    tools = (".venv/bin/ruff", ".venv/bin/mypy", ".venv/bin/lint-imports")
    checked = [line for line in make("--dry-run", "check") if line.startswith(tools)]
    assert len(checked) == 4
    assert hook_values("entry") == [
        re.sub(r"^(\S+ruff \w+).*", r"\1 --force-exclude", line) for line in checked
    ]


def test_make_alone_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)
    assert phony is not None
    assert [line.split()[1] for line in make()] == phony[1].split()


def test_the_licence_is_apache_2_and_complete() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert re.findall(r"^   (\d)\. ", text, flags=re.MULTILINE) == list("123456789")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "limitations under the License." in text


def test_the_changelog_opens_with_what_is_unreleased() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert headings[0] == "[Unreleased]"
