"""`vtok verify --repair`: what cannot be read just now may be whole, and is not removed."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from vtok.errors import OutputError
from vtok.io import files, retries
from vtok.io.files import folder_lock
from vtok.pipelines.verifying import audits

QUICK = ("--workers", "0", "--tile-size", "28", "--shard-size", "3", "--quiet")
TAR, COMMIT = "shard-000001.tar", "shard-000001.json"
Digests = Callable[[Path], dict[str, str]]
Refuse = Callable[[str, int], None]


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of tiles."""
    from typer.testing import CliRunner

    from vtok.cli.app import app

    folder = tmp_path_factory.mktemp("finished") / "out"
    arguments = ["tile", str(photos), str(folder), "--dedupe", *QUICK]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    return folder


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Let the system refuse to open the files of a name, with this error."""

    def begin(name: str, code: int) -> None:
        whole = files._open_if_regular

        def opener(path: str | bytes, flags: int) -> int:
            if os.fsdecode(path).endswith(f"/{name}"):
                raise OSError(code, os.strerror(code), path)
            return whole(path, flags)

        monkeypatch.setattr(files, "_open_if_regular", opener)

    return begin


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE, errno.ESTALE, errno.ENOTCONN])
@pytest.mark.parametrize("name", [TAR, COMMIT])
def test_a_shard_that_cannot_be_read_is_left_alone(
    vtok: Any, out: Path, digests: Digests, refuse: Refuse, name: str, code: int
) -> None:
    whole = digests(out)
    refuse(name, code)
    outcome = vtok("verify", out, "--repair", code=3)
    assert outcome.stderr.count("\n") == 1
    assert f"{out}: {TAR}: " in outcome.stderr
    assert f"cannot be read: {os.strerror(code)}: nothing is known of it" in outcome.stderr
    assert outcome.stdout.splitlines()[-1] == f"{out}: unreachable"
    assert "2 of 3 shards read" in outcome.stdout
    assert "damaged" not in outcome.stdout
    assert digests(out) == whole
    report = vtok("verify", out, "--json", code=3).report
    assert [each["state"] for each in report["shards"]] == ["whole", "unreachable", "whole"]
    assert len(report["unreachable"]) == 1
    assert not report["problems"]


@pytest.mark.parametrize(
    "name",
    [
        *("manifest.json", "failures.jsonl", "duplicates.jsonl"),
        *("identical.jsonl.gz", "inputs.jsonl.gz"),
    ],
)
def test_so_is_what_speaks_of_the_run(
    vtok: Any, out: Path, digests: Digests, refuse: Refuse, name: str
) -> None:
    whole = digests(out)
    assert name in whole
    refuse(name, errno.EACCES)
    report = vtok("verify", out, "--repair", "--json", code=3).report
    assert (report["state"], report["problems"], report["removed"]) == ("unreachable", [], [])
    assert len(report["unreachable"]) == 1
    assert name in report["unreachable"][0]
    assert digests(out) == whole


@pytest.mark.parametrize("name", [TAR, COMMIT])
def test_a_failing_disk_is_damage(vtok: Any, out: Path, refuse: Refuse, name: str) -> None:
    """As a run that goes on has it: what the disk cannot give back is made again."""
    refuse(name, errno.EIO)
    assert vtok("verify", out, "--json", code=3).report["state"] == "damaged"
    removed = vtok("verify", out, "--repair", "--json", code=8).report["removed"]
    assert set(removed) == {"manifest.json", COMMIT, TAR}


def test_damage_beside_it_is_repaired_alone(
    vtok: Any, out: Path, photos: Path, digests: Digests, refuse: Refuse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    whole = digests(out)
    (out / "shard-000002.tar").write_bytes(b"no tar")
    refuse(TAR, errno.EACCES)
    report = vtok("verify", out, "--repair", "--json", code=3).report
    assert report["state"] == "unreachable"
    assert set(report["removed"]) == {"manifest.json", "shard-000002.json", "shard-000002.tar"}
    monkeypatch.undo()
    vtok("tile", photos, out, "--dedupe", *QUICK)
    assert digests(out) == whole


def test_a_store_that_is_away_is_no_damage(
    vtok: Any, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, read = "memory://unreachable/out", MemoryFileSystem.cat_file

    def cat(self: Any, path: str, **rest: Any) -> Any:
        if path.endswith(TAR):
            raise ConnectionError("503 slow down")
        return read(self, path, **rest)

    try:
        vtok("tile", photos, url, *QUICK)
        monkeypatch.setattr(retries, "WAITS_S", (0.0, 0.0, 0.0))
        monkeypatch.setattr(MemoryFileSystem, "cat_file", cat)
        assert f"{TAR}: cannot be read: 503 slow down" in vtok("verify", url, code=3).stderr
        assert "remove the objects by hand" in vtok("verify", url, "--repair", code=2).stderr
    finally:
        MemoryFileSystem.store.clear()
        MemoryFileSystem.pseudo_dirs[:] = [""]


def test_inspect_calls_it_no_damage_either(vtok: Any, out: Path, refuse: Refuse) -> None:
    refuse(TAR, errno.EACCES)
    for path in (out, out / TAR, out / "shard-{000000..000002}.tar"):
        outcome = vtok("inspect", path, code=3)
        assert outcome.stderr.count("\n") == 1
        assert "Permission denied" in outcome.stderr
        assert "remove" not in outcome.stderr
        assert "damaged" not in outcome.stdout


def test_a_repair_holds_the_folder_from_its_first_look(
    vtok: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run could commit meanwhile what the repair takes for an interrupted run's leftover."""
    looked, audit = [], audits.audit_shard

    def looking(task: Any) -> Any:
        with pytest.raises(OutputError, match="in use by another run"), folder_lock(out):
            pass
        looked.append(task.path.name)
        return audit(task)

    monkeypatch.setattr(audits, "audit_shard", looking)
    vtok("verify", out, "--repair")
    assert len(looked) == 3


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None,
    reason="root reads everything, and there is no setpriv to be bound by modes",
)
def test_as_someone_who_may_not_read_it(out: Path, digests: Digests) -> None:
    whole = digests(out)
    (out / TAR).chmod(0)
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # as root, but bound by the modes of files like everyone
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    program = [sys.executable, "-c", "from vtok.cli.app import main; main()"]
    done = subprocess.run(
        [*prefix, *program, "verify", out, "--repair"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "Permission denied: nothing is known of it, and it was left alone" in done.stderr
    (out / TAR).chmod(0o644)
    assert digests(out) == whole
