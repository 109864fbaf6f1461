"""Output behind a URL: the same bytes as on the disk, over a store that cuts and refuses."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from vtok.io import retries
from vtok.pipelines.outputs import remote
from vtok.shards.shardset import open_shards

QUICK = ("--workers", "0", "--tile-size", "28", "--shard-size", "2")


class FaultyFileSystem(LocalFileSystem):
    """A local folder behind `faulty://`, whose every action fails as it is told to."""

    protocol = "faulty"
    cachable = False
    faults: ClassVar[list[str]] = []
    calls: ClassVar[list[str]] = []

    @classmethod
    def _strip_protocol(cls, path: Any, **rest: Any) -> Any:
        return super()._strip_protocol(str(path).removeprefix("faulty://"))

    def _fault(self, kinds: str) -> str:
        """Return the next fault, if it is one of these."""
        if self.faults and self.faults[0] in kinds.split():
            return self.faults.pop(0)
        return ""

    def put_file(self, lpath: str, rpath: str, *rest: Any, **more: Any) -> None:
        self.calls.append(f"put {Path(rpath).name}")
        fault = self._fault("refuse cut garble")
        if fault == "refuse":
            raise ConnectionError("503 slow down")
        data = Path(lpath).read_bytes()
        if fault == "cut":
            data = data[: len(data) // 2]
        elif fault == "garble":
            data = data[:-1] + b"x"
        Path(rpath).write_bytes(data)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **rest: Any) -> None:
        self.calls.append(f"{mode} {Path(path).name}")
        fault = self._fault("lost-answer refuse-pipe")
        if fault == "refuse-pipe":
            raise ConnectionError("503 slow down")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        super().pipe_file(path, value, mode=mode)
        if fault == "lost-answer":
            raise TimeoutError("no answer came")

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **rest: Any
    ) -> bytes:
        data: bytes = super().cat_file(path, start, end)
        return data[:-1] if self._fault("short-read") else data


@pytest.fixture(autouse=True)
def stores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(retries, "WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(remote.tempfile, "gettempdir", lambda: str(tmp_path))
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    FaultyFileSystem.faults.clear()
    FaultyFileSystem.calls.clear()
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture
def expected(vtok: Any, photos: Path, tmp_path: Path) -> dict[str, bytes]:
    """What the run leaves on a disk."""
    vtok("tile", photos, tmp_path / "quiet", *QUICK, "--quiet")
    return files_in(tmp_path / "quiet")


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".vtok.lock"}


def objects() -> dict[str, bytes]:
    store = MemoryFileSystem.store
    return {name.rpartition("/")[2]: file.getvalue() for name, file in store.items()}


def test_the_same_files_behind_a_url(
    vtok: Any, photos: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    url = "memory://bucket/out"
    report = vtok("tile", photos, url, *QUICK, "--json").report
    assert (report["output"], report["written"], report["shards"]) == (url, 7, 4)
    assert objects() == expected
    (staging,) = tmp_path.glob("vtok-staging-*")
    assert [path.name for path in staging.iterdir()] == [".vtok.lock"]
    assert vtok("verify", url, "--json").report["state"] == "whole"
    assert vtok("inspect", url, "--json").report["health"]["state"] == "finished"
    assert len(list(open_shards(url))) == 7
    assert vtok("tile", photos, url, *QUICK, "--json").report["images"] == 0
    assert objects() == expected


def test_indices_behind_a_url_are_decoded(
    vtok: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    url, arguments = "memory://bucket/indices", ("--model", model, "--workers", 0)
    vtok("encode-vq", photos, url, *arguments, "--dedupe", "--quiet")
    report = vtok("decode-vq", url, tmp_path / "images", "--json").report
    assert (report["planned"], report["written"]) == (7, 7)
    vtok("verify", url, "--decode", 2, "--min-psnr", 0)


FAULTS: dict[str, list[str]] = {
    "refused": ["refuse", "refuse"],
    "cut": ["cut"],
    "garbled at the right length": ["garble"],
    "one after another": ["refuse", "cut", "garble"],
    "a lost answer": ["lost-answer"],
    "refused records": ["refuse-pipe", "lost-answer"],
    "short reads": ["short-read", "short-read"],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_survived(
    vtok: Any, photos: Path, tmp_path: Path, expected: dict[str, bytes], fault: str
) -> None:
    FaultyFileSystem.faults[:] = FAULTS[fault]
    vtok("tile", photos, f"faulty://{tmp_path}/store", *QUICK, "--quiet")
    assert FaultyFileSystem.faults == []
    assert files_in(tmp_path / "store") == expected


def test_a_commit_never_comes_before_its_tar(
    vtok: Any, photos: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    """The store refuses for good, at every upload in turn; then the run goes on."""
    store = tmp_path / "store"
    url = f"faulty://{store}"
    for num_good in range(4):
        FaultyFileSystem.faults[:] = ["refuse"] * 4
        outcome = vtok("tile", photos, url, *QUICK, code=3)
        assert "503 slow down" in outcome.stderr
        assert "shard-" in outcome.stderr
        report = vtok("verify", url, "--json", code=8).report
        assert report["state"] == "unfinished"
        assert sum(each["state"] == "whole" for each in report["shards"]) == num_good
        if num_good < 3:  # one shard more, then it refuses again
            FaultyFileSystem.faults[:] = []
            real, left = FaultyFileSystem.put_file, [1]

            def put(self: Any, *rest: Any, left: Any = left, real: Any = real, **more: Any) -> None:
                if not left[0]:
                    raise ConnectionError("503 slow down")
                left[0] -= 1
                real(self, *rest, **more)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(FaultyFileSystem, "put_file", put)
                vtok("tile", photos, url, *QUICK, code=3)
    FaultyFileSystem.faults.clear()
    vtok("tile", photos, url, *QUICK, "--quiet")
    assert files_in(store) == expected


def test_what_is_there_and_the_same_is_not_sent_again(
    vtok: Any, photos: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    for name in ("plan.json", "shard-000000.tar", "shard-000001.tar", "shard-000001.json"):
        (store / name).write_bytes(expected[name])
    vtok("tile", photos, f"faulty://{store}", *QUICK, "--quiet")
    sent = [call for call in FaultyFileSystem.calls if call.endswith(".tar")]
    assert sent == ["put shard-000002.tar", "put shard-000003.tar"]
    assert files_in(store) == expected


def test_another_runs_shard_is_not_written_over(
    vtok: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run commits other bytes while this one is at work."""
    url = "memory://bucket/out"
    theirs = b'{"theirs": true}'
    real = remote.put_file

    def put(local: Path, target: Any) -> None:
        real(local, target)
        MemoryFileSystem().pipe_file("/bucket/out/shard-000000.json", theirs)

    monkeypatch.setattr(remote, "put_file", put)
    assert "another run" in vtok("tile", photos, url, *QUICK, code=3).stderr
    assert objects()["shard-000000.json"] == theirs


def change(folder: Path) -> None:
    shutil.copy(folder / "f.png", folder / "g.png")


CASES: dict[str, tuple[Callable[[Path], None], tuple[str, ...], str]] = {
    "another option": (lambda folder: None, ("--format", "jpg"), "configuration.image.format"),
    "another input": (change, (), "1 new (g.png)"),
}


@pytest.mark.parametrize("case", CASES)
def test_another_plan_is_refused(vtok: Any, photos: Path, tmp_path: Path, case: str) -> None:
    url, folder = "memory://bucket/out", Path(shutil.copytree(photos, tmp_path / "in"))
    vtok("tile", folder, url, *QUICK, "--quiet")
    before = objects()
    action, options, said = CASES[case]
    action(folder)
    assert said in vtok("tile", folder, url, *QUICK, *options, code=3).stderr
    assert objects() == before
    vtok("tile", folder, url, *QUICK, *options, "--overwrite", "--quiet")
    vtok("verify", url)


def test_shards_without_a_plan_are_strangers(vtok: Any, photos: Path) -> None:
    MemoryFileSystem().pipe_file("/bucket/out/shard-000000.tar", b"x")
    assert "no plan.json" in vtok("tile", photos, "memory://bucket/out", *QUICK, code=3).stderr
    assert objects() == {"shard-000000.tar": b"x"}


def test_images_are_written_to_folders_alone(vtok: Any, photos: Path) -> None:
    outcome = vtok("decode-vq", photos, "memory://bucket/images", code=2)
    assert "is a URL" in outcome.stderr
