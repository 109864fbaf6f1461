"""Keys and fields against webdataset's own splitting, and the inverse laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webdataset.tariterators import base_plus_ext, group_by_keys

from vtok.errors import ShardError
from vtok.shards.keys import (
    check_field,
    check_key,
    check_keys,
    path_to_text,
    sample_key,
    sample_keys,
    split_member,
    text_to_path,
)

KEY_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


def test_keys_of_our_own_are_twelve_digits() -> None:
    assert sample_key(0) == "000000000000"
    assert sample_key(10**12 - 1) == "9" * 12
    for bad in (-1, 10**12):
        with pytest.raises(ValueError, match="sample index"):
            sample_key(bad)


def test_many_keys_at_once_are_the_same_keys() -> None:
    for indices in (range(0), range(7), range(10**12 - 3, 10**12), range(9, 0, -2)):
        assert sample_keys(indices) == [sample_key(i) for i in indices]
    with pytest.raises(ValueError, match="sample index"):
        sample_keys(range(10**12 - 3, 10**12 + 1))


@given(key=KEY_TEXT, field=st.text("abz019._-A", max_size=12))
def test_what_we_take_webdataset_gives_back(key: str, field: str) -> None:
    try:
        name = f"{check_key(key)}.{check_field(field)}"
    except ShardError:
        return
    assert base_plus_ext(name) == (key, field)
    assert split_member(name) == (key, field)
    (sample,) = group_by_keys([{"fname": name, "data": b"x", "__url__": "u"}])
    assert sample["__key__"] == key
    assert sample[field] == b"x"


@pytest.mark.parametrize("key", ["0001", "a/b/0001", "img-1_b", "Ünï", "v1.0/x", "a b", "a" * 200])
def test_keys_of_webdataset_inputs_are_kept(key: str) -> None:
    assert check_key(key) == key
    check_keys(["0", key])
    assert split_member(f"{key}.json") == (key, "json")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "img.v2",
        "/a",
        "a/",
        "a//b",
        "../a",
        "./a",
        "a\\b",
        "a\nb",
        "\udcff",
        "a" * 201,
        "__a__/b",
        "x/..",
        ".",
    ],
)
def test_keys_that_would_not_come_back_are_refused(key: str) -> None:
    with pytest.raises(ShardError, match="cannot be stored"):
        check_key(key)
    with pytest.raises(ShardError, match="cannot be stored"):
        check_keys(["000000000000", key])


@pytest.mark.parametrize("field", ["", "A.npy", ".npy", "npy.", "a..b", "__url__", "a/b", "ü"])
def test_fields_that_would_not_come_back_are_refused(field: str) -> None:
    with pytest.raises(ShardError, match="cannot be stored"):
        check_field(field)


def test_a_member_without_a_field_is_refused() -> None:
    with pytest.raises(ShardError, match="has no field"):
        split_member("a.b/noext")


@given(path=st.binary(max_size=30) | st.text("%2Ff5aé", max_size=12).map(str.encode))
def test_paths_survive_as_text(path: bytes) -> None:
    text = path_to_text(path)
    text.encode()
    assert text_to_path(text) == path


def test_ordinary_paths_stay_as_they_are() -> None:
    assert path_to_text("été/100%.jpg".encode()) == "été/100%.jpg"
    assert path_to_text(b"a\xff%41") == "a%FF%2541"
