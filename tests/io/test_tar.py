"""The strict tar reader against Python's tarfile, webdataset's writer, and damage."""

import io
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtok.errors import ShardError
from vtok.io.tar import BLOCK_BYTES, MAX_PAX_BYTES, Member, iter_members, read_member

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def build(
    files: list[tuple[str, bytes]],
    fmt: int = tarfile.PAX_FORMAT,
    change: Callable[[tarfile.TarInfo], None] | None = None,
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=fmt) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if change is not None:
                change(info)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def read_all(data: bytes, **options: bool) -> list[tuple[str, bytes]]:
    file = io.BytesIO(data)
    members = list(iter_members(file, num_bytes=len(data), **options))
    return [(member.name, read_member(file, member)) for member in members]


def fix_checksum(header: bytes) -> bytes:
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\x00 " % sum(blank) + blank[156:]


names = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1)
    .map(lambda s: s[:40])
    .filter(lambda s: s not in {".", ".."}),
    min_size=1,
    max_size=4,
).map("/".join)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(names, st.binary(max_size=1500), max_size=6),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_agrees_with_tarfile(files: dict[str, bytes], fmt: int) -> None:
    data = build(list(files.items()), fmt)
    expected = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in archive:
            body = archive.extractfile(info)
            assert body is not None
            expected.append((info.name, body.read()))
    assert read_all(data) == expected


@pytest.mark.parametrize("fmt", FORMATS)
def test_long_names(fmt: int) -> None:
    name = "a" * 90 + "/" + "b" * 95  # fits ustar's prefix and name, not the name alone
    assert read_all(build([(name, b"1"), ("short", b"")], fmt)) == [(name, b"1"), ("short", b"")]


def test_non_utf8_names_round_trip() -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    for fmt in FORMATS:
        assert read_all(build([(name, b"x")], fmt)) == [(name, b"x")]


def test_offsets_are_those_of_tarfile() -> None:
    data = build([(f"{i:06d}.jpg", bytes(i * 100)) for i in range(20)])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        expected = [Member(i.name, i.offset_data, i.size) for i in archive]
    assert list(iter_members(io.BytesIO(data), num_bytes=len(data))) == expected


def test_reads_what_webdataset_writes() -> None:
    webdataset = pytest.importorskip("webdataset")
    buffer = io.BytesIO()
    with webdataset.TarWriter(buffer) as writer:
        for i in range(3):
            writer.write({"__key__": f"{i:04d}", "jpg": bytes([i]) * 700, "json": {"i": i}})
    members = dict(read_all(buffer.getvalue()))
    assert sorted(members) == [f"{i:04d}.{ext}" for i in range(3) for ext in ("jpg", "json")]
    assert members["0002.jpg"] == bytes([2]) * 700


def test_empty_archive_has_no_members() -> None:
    assert read_all(build([])) == []


def test_size_in_base_256() -> None:
    data = bytearray(build([("a", b"hello")], tarfile.USTAR_FORMAT))
    data[124:136] = b"\x80" + (5).to_bytes(11, "big")
    data[:512] = fix_checksum(bytes(data[:512]))
    assert read_all(bytes(data)) == [("a", b"hello")]


def test_directories_are_refused_or_skipped() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        info = tarfile.TarInfo("folder/a.jpg")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    data = buffer.getvalue()
    with pytest.raises(ShardError, match="is a directory"):
        read_all(data)
    assert read_all(data, skip_directories=True) == [("folder/a.jpg", b"x")]


@pytest.mark.parametrize(
    "kind",
    [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
     tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z"],
)  # fmt: skip
def test_anything_but_regular_files_is_refused(kind: bytes) -> None:
    data = bytearray(build([("a", b"")], tarfile.USTAR_FORMAT))
    data[156:157] = kind
    data[:512] = fix_checksum(bytes(data[:512]))
    with pytest.raises(ShardError, match=r"only regular files are read \(header at byte 0\)"):
        read_all(bytes(data), skip_directories=True)


def test_pax_sparse_is_refused() -> None:
    def sparse(info: tarfile.TarInfo) -> None:
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": str(1 << 50)}

    with pytest.raises(ShardError, match="sparse"):
        read_all(build([("a", b"x")], change=sparse))


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        (b"-0000000001\x00", "negative or not octal"),
        (b"\xff" * 12, "negative or not octal"),
        (b"0o000000001\x00", "negative or not octal"),
        (b"\x00" * 12, "negative or not octal"),
        (b"77777777777\x00", "does not fit"),
        (b"\x80" + b"\xff" * 11, "does not fit"),
    ],
)
def test_bad_sizes(field: bytes, problem: str) -> None:
    data = bytearray(build([("a", b"x")], tarfile.USTAR_FORMAT))
    data[124:136] = field
    data[:512] = fix_checksum(bytes(data[:512]))
    with pytest.raises(ShardError, match=problem):
        read_all(bytes(data))


def test_duplicate_names() -> None:
    with pytest.raises(ShardError, match=r"'a' appears twice \(header at byte 2048\)"):
        read_all(build([("a", b"1"), ("b", b"2"), ("a", b"3")], tarfile.USTAR_FORMAT))


def test_chains_of_extended_headers() -> None:
    def wide(info: tarfile.TarInfo) -> None:
        info.pax_headers = {"comment": "c" * (MAX_PAX_BYTES + 1)}

    with pytest.raises(ShardError, match="extended header of"):
        read_all(build([("a", b"")], change=wide))

    data = build([("é" * 80, b"")])  # one pax header: a header block and a body block
    with pytest.raises(ShardError, match="second pax header"):
        read_all(data[:1024] + data)
    globals_ = bytearray(data[:1024])
    globals_[156:157] = b"g"
    globals_[:512] = fix_checksum(bytes(globals_[:512]))
    with pytest.raises(ShardError, match="global header sets 'path'"):
        read_all(bytes(globals_) + data)


def test_endless_global_headers() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", pax_headers={"comment": "x"}) as archive:
        archive.addfile(tarfile.TarInfo("a"))
    data = buffer.getvalue()
    assert read_all(data) == [("a", b"")]
    with pytest.raises(ShardError, match="global headers"):
        read_all(data[:1024] * 20 + data)


def test_data_after_the_end() -> None:
    data = build([("a", b"x")])
    with pytest.raises(ShardError, match="data follows the end"):
        read_all(data + data)
    with pytest.raises(ShardError, match="bytes after the last member"):
        read_all(data + bytes(1 << 20))


def test_every_truncation_is_seen() -> None:
    data = build([("a", b"x" * 700), ("é" * 80, b"y")])
    end = max(i for i, byte in enumerate(data) if byte) // BLOCK_BYTES * BLOCK_BYTES
    for cut in range(0, end + 3 * BLOCK_BYTES, 64):
        with pytest.raises(ShardError):
            read_all(data[:cut])


def test_a_file_that_shrinks_between_listing_and_reading() -> None:
    data = build([("a", b"x" * 700)])
    (member,) = iter_members(io.BytesIO(data), num_bytes=len(data))
    with pytest.raises(ShardError, match="at byte 512 is cut: 100 of 700"):
        read_member(io.BytesIO(data[:612]), member)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damage_is_an_error_or_changes_nothing_but_bodies(data: st.DataObject) -> None:
    original = build([("a.jpg", b"x" * 600), ("é" * 80, b"y" * 10)], tarfile.PAX_FORMAT)
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        members = read_all(bytes(damaged))
    except ShardError:
        return  # anything else fails the test
    assert [len(body) for _, body in members] == [600, 10]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2048))
def test_noise_is_refused(noise: bytes) -> None:
    if noise.strip(b"\x00"):
        with pytest.raises(ShardError):
            read_all(noise)
