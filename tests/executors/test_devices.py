"""One process a device: all units done once, errors heard, nothing left behind."""

from pathlib import Path

import pytest
from device_fakes import FakeOpener

from vtok.errors import DeviceError, OutputError
from vtok.executors.devices import run_on_devices


@pytest.mark.parametrize("num_devices", [1, 3])
def test_every_unit_is_done_once(num_devices: int, tmp_path: Path) -> None:
    heard: list[object] = []
    openers = [FakeOpener(f"d{number}", tmp_path) for number in range(num_devices)]
    results = list(run_on_devices(openers, range(20), heard.append))
    assert sorted(results) == [unit * unit for unit in range(20)]
    assert sorted(heard) == [(f"d{number}", "here") for number in range(num_devices)]  # type: ignore[type-var]
    assert len(list(tmp_path.glob("*.closed"))) == num_devices


def test_an_error_of_one_worker_ends_all(tmp_path: Path) -> None:
    openers = [FakeOpener(f"d{number}", tmp_path, at=3, how="refuse") for number in range(2)]
    with pytest.raises(OutputError, match="the disk is full") as caught:
        list(run_on_devices(openers, range(20), lambda _: None))
    assert any("on d" in note for note in caught.value.__notes__)


def test_a_worker_that_dies_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"the worker on d0 died \(signal 9\)"):
        list(run_on_devices([FakeOpener("d0", tmp_path, at=2, how="die")], range(9), print))


def test_a_caller_that_stops_ends_the_workers_in_good_order(tmp_path: Path) -> None:
    def hear(told: object) -> None:
        if told == "hanging":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_on_devices([FakeOpener("d0", tmp_path, at=1, how="hang")], range(9), hear))
    assert (tmp_path / "d0.closed").exists()
