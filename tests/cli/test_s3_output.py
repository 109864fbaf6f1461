"""Output in an S3 bucket, through s3fs and the protocol itself: moto's server stands in for Amazon.

What a store may do wrong is tried elsewhere (`test_remote_output.py`); here the real client speaks.
Between the two stands a small proxy that stalls, cuts and answers 503 when it is told to.
"""

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

QUICK = ("--workers", "0", "--tile-size", "28", "--shard-size", "2")
SLOW_DOWN = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Passes connections on, but for those that a fault is waiting for.

    Attributes:
        port: Where it listens.
        faults: For the next requests that store an object: `503`, or `cut` in the midst of it.
        num_struck: Faults done.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.faults: list[str] = []
        self.num_struck = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            threading.Thread(target=_pump, args=(server, client), daemon=True).start()
            while data := _receive(client):
                if data.startswith(b"PUT /bucket/") and self.faults:
                    self.num_struck += 1
                    if self.faults.pop(0) == "503":
                        client.sendall(SLOW_DOWN)
                    else:
                        server.sendall(data[: len(data) // 2])
                    return
                server.sendall(data)


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 16)
    except OSError:
        return b""


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := _receive(source):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxy]:
    """An empty bucket named `bucket`, behind a proxy that is where s3fs looks for Amazon."""
    s3fs = pytest.importorskip("s3fs", reason="pip install s3fs, as vtok[dev] does")
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    proxy = Proxy(server.get_host_and_port())
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"), "TMPDIR": str(tmp_path),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("vtok.io.retries.WAITS_S", (0.0, 0.0, 0.0))
    s3fs.S3FileSystem.clear_instance_cache()
    store = s3fs.S3FileSystem()
    store.mkdir("bucket")
    yield proxy
    store.rm("bucket", recursive=True)  # moto keeps buckets from one server to the next
    s3fs.S3FileSystem.clear_instance_cache()
    proxy.close()
    server.stop()


def objects() -> dict[str, bytes]:
    import s3fs

    store = s3fs.S3FileSystem(skip_instance_cache=True)
    return {name.rpartition("/")[2]: store.cat_file(name) for name in store.find("bucket/out")}


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".vtok.lock"}


def test_a_bucket_gets_what_a_folder_gets(
    vtok: Any, photos: Path, tmp_path: Path, proxy: Proxy
) -> None:
    vtok("tile", photos, tmp_path / "quiet", *QUICK, "--quiet")
    report = vtok("tile", photos, "s3://bucket/out", *QUICK, "--json").report
    assert report["written"] == 7
    expected = files_in(tmp_path / "quiet")
    assert objects() == expected
    assert vtok("verify", "s3://bucket/out", "--json").report["state"] == "whole"
    assert vtok("tile", photos, "s3://bucket/out", *QUICK, "--json").report["images"] == 0
    assert objects() == expected


@pytest.mark.parametrize("faults", [["503"], ["cut"], ["503", "cut", "503"]])
def test_a_store_that_refuses_and_cuts(
    vtok: Any, photos: Path, tmp_path: Path, proxy: Proxy, faults: list[str]
) -> None:
    vtok("tile", photos, tmp_path / "quiet", *QUICK, "--quiet")
    proxy.faults[:] = faults
    vtok("tile", photos, "s3://bucket/out", *QUICK, "--quiet")
    assert (proxy.faults, proxy.num_struck) == ([], len(faults))
    assert objects() == files_in(tmp_path / "quiet")


def test_a_commit_of_another_run_is_kept(vtok: Any, photos: Path, proxy: Proxy) -> None:
    """Created only where none is: the store itself refuses the second (If-None-Match)."""
    from vtok.errors import OutputError
    from vtok.io.places import RemotePath
    from vtok.io.publishing import put_new

    target = RemotePath("s3://bucket/out/shard-000000.json")
    put_new(target, b"first")
    put_new(target, b"first")  # the same is success
    with pytest.raises(OutputError, match="another run wrote it"):
        put_new(target, b"second")
    assert objects() == {"shard-000000.json": b"first"}


def test_a_bucket_that_is_not_there(vtok: Any, photos: Path, proxy: Proxy) -> None:
    ended = vtok("tile", photos, "s3://nowhere/out", *QUICK, "--quiet", code=3)
    assert "s3://nowhere/out" in ended.stderr
    assert "Traceback" not in ended.stderr
