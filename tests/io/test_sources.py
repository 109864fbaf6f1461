"""Sources: everything is found once, in one order, read later, elsewhere, or said to be missing."""

import io
import json
import os
import pickle
import socket
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vtok.errors import InputError, ShardError, UnreadableImageError
from vtok.io.paths import path_bytes, path_text
from vtok.io.sources import Source, SourceItem, open_source
from vtok.io.sources.archives import expand_braces, split_member


def png(level: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 3), level).save(buffer, "PNG")
    return buffer.getvalue()


def listed(text: str | Path) -> list[SourceItem]:
    return list(open_source(str(text)).list())


def write_tar(path: Path, files: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@given(st.binary(min_size=1, max_size=60))
def test_path_text_loses_nothing_and_is_one_line(path: bytes) -> None:
    text = path_text(path)
    assert path_bytes(text) == path
    assert len(text.splitlines()) == 1
    assert json.loads(json.dumps(text)) == text
    text.encode("utf-8")


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ["a b/ü 100%.jpg", "x%zz.png", "日本.png"]:
        assert path_text(name.encode()) == name
    assert path_text(b"caf\xe9%41\n.jpg") == "caf%E9%2541%0A.jpg"


NASTY = [b"a.jpg", b"a/b.jpg", b"a.b/c.v2.JPG", b"a-b.png", b"new\nline.png", b"caf\xe9.webp",
         b".hidden.gif", b"A.jpeg", b"deep/er/x.tif"]  # fmt: skip


def make_folder(root: Path) -> None:
    for i, name in enumerate(NASTY):
        path = os.fsencode(root) + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(png(i))


def test_folder_in_the_order_of_raw_paths(tmp_path: Path) -> None:
    make_folder(tmp_path)
    items = listed(tmp_path)
    assert [path_bytes(item.source) for item in items] == sorted(NASTY)
    by_name = {path_bytes(item.source): item for item in items}
    for i, name in enumerate(NASTY):
        copy = pickle.loads(pickle.dumps(by_name[name]))
        assert copy.read() == png(i)
        assert copy.size_bytes == len(png(i))
        assert copy.mtime_ns == os.stat(os.fsencode(tmp_path) + b"/" + name).st_mtime_ns
    lines = [item.digest_line() for item in items]
    assert len(set(lines)) == len(lines)
    assert not any(b"\n" in line for line in lines)


@given(st.sets(st.binary(min_size=1, max_size=5).filter(lambda b: not {0, 47} & {*b}), max_size=9))
def test_digest_lines_tell_files_apart(names: set[bytes]) -> None:
    from vtok.io.sources.folders import FileItem

    assert len({FileItem(b"/", name, None).digest_line() for name in names}) == len(names)


def test_what_is_no_image_is_counted_and_never_opened(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(png())
    (tmp_path / "notes.md").write_bytes(b"")
    (tmp_path / "film.MP4").write_bytes(b"")
    (tmp_path / "README").write_bytes(b"")
    (tmp_path / "alone.txt").write_bytes(b"")
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "loop.jpg").symlink_to(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.png"))
        source = open_source(str(tmp_path))
        assert [item.source for item in source.list()] == ["a.jpg"]
    assert source.ignored == {
        ".md": 1,
        ".mp4": 1,
        ".txt": 1,
        "without extension": 1,
        "special files and linked folders": 4,
    }


def test_links_to_files_are_followed_and_broken_ones_are_items(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "elsewhere").write_bytes(png(3))
    (folder / "good.png").symlink_to(tmp_path / "elsewhere")
    (folder / "broken.png").symlink_to(tmp_path / "nothing")
    (folder / "itself.png").symlink_to(folder / "itself.png")
    broken, good, itself = listed(folder)
    assert good.read() == png(3)
    with pytest.raises(UnreadableImageError, match=r"broken\.png: No such file"):
        broken.read()
    with pytest.raises(UnreadableImageError, match=r"itself\.png: Too many levels"):
        itself.read()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_and_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "a.png").chmod(0)
    (item,) = listed(tmp_path)
    with pytest.raises(UnreadableImageError, match="Permission denied"):
        item.read()


def test_a_folder_that_cannot_be_listed_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"cannot list .*Permission denied"):
        listed(tmp_path)


def test_a_file_that_vanishes_or_turns_into_a_fifo(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (item,) = listed(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(UnreadableImageError, match="No such file"):
        item.read()
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UnreadableImageError, match="not a regular file"):
        item.read()


def test_sidecars_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.v1.jpg").write_bytes(png())
    (tmp_path / "a.v1.txt").write_bytes(b"a caption\n")
    (tmp_path / "a.v1.json").write_bytes(b"{}")
    (tmp_path / "a.txt").write_bytes(b"of nobody")
    (tmp_path / "b.jpg").write_bytes(png())
    source = open_source(str(tmp_path))
    first, second = source.list()
    assert first.read_sidecars() == {"txt": b"a caption\n", "json": b"{}"}
    assert second.read_sidecars() == {}
    assert source.ignored == {".txt": 1}
    before = first.digest_line()
    (tmp_path / "a.v1.txt").write_bytes(b"another caption")
    assert listed(tmp_path)[0].digest_line() != before


def test_bad_inputs_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "image.xyz").write_bytes(b"")
    (tmp_path / "e").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match=r"cannot read .*nowhere: No such file"):
        open_source(str(tmp_path / "nowhere"))
    problem = r"it holds 1 \.xyz, 1 special.*; images end in .*\.jpg"
    with pytest.raises(InputError, match=problem):
        listed(tmp_path)
    with pytest.raises(InputError, match="it holds nothing at all"):
        listed(tmp_path / "e")
    with pytest.raises(InputError, match=r"no kind that is read: .*\.jpg.*\.parquet"):
        open_source(str(tmp_path / "image.xyz"))
    with pytest.raises(InputError, match="empty"):
        open_source("")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        open_source("/dev/null")


def test_one_image(tmp_path: Path) -> None:
    (tmp_path / "A.JPG").write_bytes(png())
    (item,) = listed(tmp_path / "A.JPG")
    assert (item.source, item.read()) == ("A.JPG", png())
    assert item.read(max_bytes=10) == png()[:11]


LISTS = {
    "list.txt": "a.png\r\n\nsub/b.png\nmissing.png\n",
    "list.csv": 'caption,PATH\n"one, two",a.png\n,sub/b.png\nx,missing.png\n',
    "list.jsonl": '{"path":"a.png","caption":"one, two"}\n"sub/b.png"\n{"url":"missing.png"}\n',
}


@pytest.mark.parametrize("name", LISTS)
def test_lists(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "sub" / "b.png").write_bytes(png(2))
    (tmp_path / name).write_text(LISTS[name], newline="")
    a, b, missing = listed(tmp_path / name)
    assert (a.read(), b.read()) == (png(1), png(2))
    assert [a.source, b.source] == ["a.png", "sub/b.png"]
    assert pickle.loads(pickle.dumps(a)).metadata == (
        {} if name == "list.txt" else {"caption": "one, two"}
    )
    with pytest.raises(UnreadableImageError):
        missing.read()


def test_list_on_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(png())
    source = open_source("-", stdin=io.BytesIO(b"a.png\n"))
    assert [item.read() for item in source.list()] == [png()]
    assert [item.source for item in source.list()] == ["a.png"]
    with pytest.raises(InputError, match="standard input"):
        open_source("-")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("l.txt", b"", "the list is empty"),
        ("l.txt", b"\x00\x01", "not a path"),
        ("l.csv", b"caption\nx\n", "line 1: no column named path"),
        ("l.csv", b"path,b\nx\n", "more or fewer fields"),
        ("l.csv", b"path,b\n,x\n", "path is empty"),
        ("l.csv", b"path\n\xff\n", "cannot read"),
        ("l.jsonl", b"{\n", "line 1: not valid JSON"),
        ("l.jsonl", b"[]\n", "an object"),
        ("l.jsonl", b'{"path": 3}\n', "not a path"),
        ("l.jsonl", b'{"path": "a", "x": NaN}\n', "not valid JSON"),
        ("l.jsonl", b'{"path": "a", "x": [1e400]}\n', "the number 1e400 is too large"),
        ("l.jsonl", b'{"path": "a", "x": ' + b"9" * 5000 + b"}\n", "not valid JSON"),
        ("l.jsonl", b"[" * 100_000, "not valid JSON"),
        ("l.jsonl", b'{"path": "a", "x": ' + b"[" * 200 + b"]" * 200 + b"}", "nested deeper"),
    ],
)
def test_bad_lists(tmp_path: Path, name: str, text: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(InputError, match=problem):
        listed(tmp_path / name)


def test_tars(tmp_path: Path) -> None:
    for n in range(2):
        write_tar(tmp_path / f"t-{n:03d}.tar", [
            ("x/0.json", b"{}"), ("x/0.jpg", png(n)), ("x/0.seg.png", b"mask"),
            ("x/1.cls", b"7"), ("x/2.v1.PNG", png(9)),
        ])  # fmt: skip
    source = open_source(str(tmp_path / "t-{000..001}.tar"))
    items = list(source.list())
    assert [item.source for item in items] == [
        "t-000.tar/x/0.jpg", "t-000.tar/x/2.v1.PNG", "t-001.tar/x/0.jpg", "t-001.tar/x/2.v1.PNG"
    ]  # fmt: skip
    assert [item.key for item in items[:2]] == ["x/0", "x/2"]
    third = pickle.loads(pickle.dumps(items[2]))
    assert third.read() == png(1)
    assert third.read(max_bytes=5) == png(1)[:6]
    assert third.read_sidecars() == {"json": b"{}", "seg.png": b"mask"}
    assert source.ignored == {".cls": 2}
    assert len({item.digest_line() for item in items}) == 4


def test_keys_are_those_of_webdataset() -> None:
    base_plus_ext = pytest.importorskip("webdataset.tariterators").base_plus_ext
    for name in ["a.jpg", "a.seg.png", "x/y/a.b.c", "x.y/a.jpg"]:
        assert split_member(name) == base_plus_ext(name)


def test_bad_tars(tmp_path: Path) -> None:
    write_tar(tmp_path / "none.tar", [("a.txt", b"x")])
    with pytest.raises(InputError, match=r"no images in .*none\.tar: 1 \.txt"):
        listed(tmp_path / "none.tar")
    write_tar(tmp_path / "again.tar", [("a.jpg", b"x"), ("b.jpg", b"x"), ("a.txt", b"x")])
    with pytest.raises(ShardError, match="'a' comes again"):
        listed(tmp_path / "again.tar")
    with pytest.raises(InputError, match=r"cannot read .*t-3\.tar"):
        open_source(str(tmp_path / "t-{3..5}.tar"))
    write_tar(tmp_path / "cut.tar", [("a.jpg", b"x" * 5000)])
    (item,) = listed(tmp_path / "cut.tar")
    os.truncate(tmp_path / "cut.tar", 1000)
    with pytest.raises(UnreadableImageError, match="is cut"):
        item.read()


def test_braces_are_those_of_braceexpand() -> None:
    braceexpand = pytest.importorskip("braceexpand").braceexpand
    for text in ["a.tar", "a-{000..003}.tar", "a-{8..11}.tar", "{0..1}/b-{09..11}.tar"]:
        assert list(expand_braces(text)) == list(braceexpand(text))
    with pytest.raises(InputError, match="no range"):
        list(expand_braces("a-{0..9999999999}.tar"))


@pytest.mark.parametrize("as_struct", [True, False])
def test_parquet(tmp_path: Path, as_struct: bool) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    images = [{"bytes": png(i), "path": f"{i}.png"} if as_struct else png(i) for i in range(5)]
    table = pa.table({"image": images, "caption": list("abcde"), "score": [1.5] * 5})
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    items = listed(tmp_path / "t.parquet")
    assert [item.source for item in items] == [f"t.parquet#{i}" for i in range(5)]
    assert items[3].metadata == {"caption": "d", "score": 1.5}
    assert [pickle.loads(pickle.dumps(item)).read() for item in items] == [png(i) for i in range(5)]
    assert len({item.digest_line() for item in items}) == 5
    parquet.write_table(table.slice(0, 1), tmp_path / "t.parquet")
    from vtok.io.sources import tables

    tables._image_column.cache_clear()
    with pytest.raises(UnreadableImageError, match="has changed"):
        items[3].read()


def test_bad_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "a.parquet").write_bytes(b"not one")
    with pytest.raises(InputError, match="not a readable parquet file"):
        listed(tmp_path / "a.parquet")
    parquet.write_table(pa.table({"x": [1]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match="none holds bytes"):
        listed(tmp_path / "b.parquet")


def test_urls(tmp_path: Path) -> None:
    import fsspec

    from vtok.io.remote import upload

    memory = fsspec.filesystem("memory")
    write_tar(tmp_path / "t.tar", [("0.jpg", png(5)), ("0.txt", b"hi")])
    (tmp_path / "a.png").write_bytes(png(1))
    upload(tmp_path / "a.png", "memory://data/a.png")
    upload(tmp_path / "t.tar", "memory://data/t.tar")
    memory.pipe("/data/sub/b.JPG", png(2))
    memory.pipe("/data/list.txt", b"memory://data/a.png\n")

    def contents(source: Source) -> list[bytes]:
        return [pickle.loads(pickle.dumps(item)).read() for item in source.list()]

    folder = open_source("memory://data")
    assert contents(folder) == [png(1), png(2)]
    assert folder.ignored == {".tar": 1, ".txt": 1}
    assert contents(open_source("memory://data/a.png")) == [png(1)]
    assert contents(open_source("memory://data/list.txt")) == [png(1)]
    (item,) = open_source("memory://data/t.tar").list()
    assert item.read() == png(5)
    assert item.read_sidecars() == {"txt": b"hi"}
    with pytest.raises(InputError, match="it does not exist"):
        open_source("memory://nowhere")
    (gone,) = open_source("memory://data/gone.png").list()
    with pytest.raises(UnreadableImageError, match="it does not exist"):
        gone.read()
