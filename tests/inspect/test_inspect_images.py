import csv
import io
import json
import struct
from pathlib import Path

import pytest
from PIL import Image

from vtok.errors import ImageTooLargeError, InputError, UnknownNameError, UsageError
from vtok.io.images import decode
from vtok.pipelines.inspect import InspectConfig, choose_schemes
from vtok.pipelines.inspecting.images import Survey
from vtok.pipelines.inspecting.images_files import survey_csv, survey_json
from vtok.pipelines.inspecting.images_text import survey_text
from vtok.records import Size
from vtok.resolution import Plan, SchemeOptions, resolve, scheme_names


def survey(*schemes: str, options: SchemeOptions | None = None) -> Survey:
    config = InspectConfig(paths=("x",), schemes=schemes, options=options or SchemeOptions())
    return Survey(choose_schemes(config).schemes)


def text_of(folder: Path, *schemes: str, budget: int | None = None, width: int = 80) -> str:
    asked = survey(*schemes)
    return survey_text(asked, asked.rows([str(folder)]), budget=budget, width=width).plain


def json_of(path: Path, *schemes: str, budget: int | None = None) -> dict:
    asked = survey(*schemes)
    pieces = survey_json(asked, asked.rows([str(path)]), budget, with_plans=path.is_file())
    return json.loads("".join(pieces))


def test_tables_are_as_they_were(images: Path, check_golden) -> None:
    check_golden("inspect_one_scheme.txt", text_of(images, "closest"))
    check_golden("inspect_budget.txt", text_of(images, "closest", budget=2000))
    check_golden("inspect_schemes.txt", text_of(images, "closest", "qwen2.5-vl", "gpt-4o"))
    one = text_of(images / "a-landscape.jpg", "closest", "llama-3.2-vision", "gpt-4o", budget=1000)
    check_golden("inspect_one_image.txt", one)


def test_tables_of_all_schemes_fit_80_columns(images: Path) -> None:
    for asked in (images, images / "a-landscape.jpg"):
        lines = text_of(asked, "all").splitlines()
        assert max(map(len, lines)) <= 80
        assert {line.split()[0] for line in lines if line} >= set(scheme_names())


def test_json_says_what_the_plans_say(images: Path) -> None:
    answer = json_of(images, "all", budget=2000)
    readable = [image for image in answer["images"] if "failure" not in image]
    assert [image["source"] for image in readable] == [
        "a-landscape.jpg", "b-portrait.png", "c-dot.png", "d-strip.png",
    ]  # fmt: skip
    compared = 0
    for image in readable:
        size = Size(**image["size"])
        for cut in image["cuts"]:
            if "failure" in cut:
                assert cut["failure"]["reason"] == "degenerate-size"
                continue
            plan = resolve(cut["scheme"]).plan(size).to_json()
            assert cut["grid"] == plan["grid"]
            assert cut["views"] == len(plan["views"])
            assert cut["tokens"] == plan["tokens"]
            assert cut["over_budget"] == (plan["tokens"] > 2000)
            compared += 1
    assert compared > 2 * len(scheme_names())


def test_json_of_one_image_has_whole_plans(images: Path) -> None:
    (image,) = json_of(images / "a-landscape.jpg", "closest", "gemma3")["images"]
    plans = [Plan.from_json(cut["plan"]) for cut in image["cuts"]]
    assert plans[0] == resolve("closest").plan(Size(height=672, width=1008))
    assert plans[1] == resolve("gemma3").plan(Size(height=672, width=1008))


def test_totals_are_sums_over_the_images(images: Path) -> None:
    answer = json_of(images, "closest", budget=2000)
    tokens = [image["cuts"][0]["tokens"] for image in answer["images"] if "cuts" in image]
    totals = answer["totals"]
    assert totals["images"] == 6
    assert totals["failures_by_reason"] == {"not-an-image": 2}
    (scheme,) = totals["schemes"]
    assert scheme["tokens"]["total"] == sum(tokens)
    assert scheme["tokens"]["max"] == max(tokens)
    assert scheme["over_budget"] == sum(each > 2000 for each in tokens)


def test_csv_has_a_line_for_every_image_and_scheme(images: Path) -> None:
    asked = survey("closest", "qwen2.5-vl")
    lines = list(
        csv.DictReader(io.StringIO("".join(survey_csv(asked, asked.rows([str(images)]), 99))))
    )
    assert len(lines) == 4 * 2 + 2
    first = lines[0]
    assert (first["image"], first["width"], first["height"]) == ("a-landscape.jpg", "1008", "672")
    assert (first["rows"], first["cols"], first["views"], first["tokens"]) == (
        "2",
        "3",
        "7",
        "4032",
    )
    assert first["over_budget"] == "yes"
    assert [line["problem"] != "" for line in lines if line["scheme"] == ""] == [True, True]
    strip = [line for line in lines if line["image"] == "d-strip.png"]
    assert [line["problem"] == "" for line in strip] == [True, False]


def test_bad_files_are_one_line_each(images: Path) -> None:
    lines = text_of(images, "closest").splitlines()
    assert sum("e-empty.jpg" in line for line in lines) == 1
    assert sum("f-text.png" in line for line in lines) == 1
    assert any("2 unreadable: 2 not-an-image" in line for line in lines)


def test_images_that_would_not_be_decoded_are_named_without_decoding(images: Path) -> None:
    lines = text_of(images, "closest").splitlines()
    assert "1 image counted above would not be decoded: too-large" in lines
    assert sum(line.startswith("  d-strip.png: 1x20000 is ") for line in lines) == 1
    answer = json_of(images, "closest", "qwen2.5-vl")
    refused = {each["source"]: each.get("refusal") for each in answer["images"]}
    assert refused["d-strip.png"]["reason"] == "too-large"
    assert refused["c-dot.png"] is None
    assert answer["totals"]["refused"] == 1
    with pytest.raises(ImageTooLargeError) as caught:
        decode((images / "d-strip.png").read_bytes())
    assert str(caught.value) == refused["d-strip.png"]["message"]
    asked = survey("closest", "qwen2.5-vl")
    lines = csv.DictReader(io.StringIO("".join(survey_csv(asked, asked.rows([str(images)]), 99))))
    assert [line["image"] for line in lines if line["refusal"]] == ["d-strip.png"] * 2


def test_the_middle_of_a_long_folder_is_left_out(tmp_path: Path) -> None:
    for i in range(45):
        Image.new("L", (40 + i, 40)).save(tmp_path / f"{i:03d}.png")
    lines = text_of(tmp_path, "closest").splitlines()
    assert "... 15 more ..." in lines
    assert sum(".png" in line for line in lines) == 30
    assert any(line.startswith("45 images") for line in lines)


def test_orientation_counts(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 20)).save(tmp_path / "turned.jpg", exif=exif)
    (image,) = json_of(tmp_path, "closest")["images"]
    assert image["size"] == {"height": 60, "width": 20}


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a\x1b[31m\n.png")
    (tmp_path / "b\x1b]0;x\x07.png").write_bytes(b"")
    assert "\x1b" not in text_of(tmp_path, "closest")


def test_no_pixel_is_decoded(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a pixel was decoded")

    monkeypatch.setattr(Image.Image, "load", refuse)
    assert "4,032" in text_of(images, "closest")


def test_options_apply() -> None:
    asked = survey("closest", options=SchemeOptions(thumbnail=False))
    assert asked.schemes[0].plan(Size(height=672, width=1008)).num_views == 6


def test_all_takes_the_schemes_that_have_the_options() -> None:
    config = InspectConfig(paths=("x",), schemes=("all",), options=SchemeOptions(min_pixels=40_000))
    chosen = choose_schemes(config)
    names = [scheme.name for scheme in chosen.schemes]
    assert "qwen2.5-vl" in names
    assert "closest" not in names
    assert len(names) + chosen.num_left_out == len(scheme_names())


def test_an_option_that_a_named_scheme_lacks_is_refused() -> None:
    with pytest.raises(UsageError, match="no option --min-pixels"):
        survey("closest", "qwen2.5-vl", options=SchemeOptions(min_pixels=40_000))


def test_aliases_count_once() -> None:
    assert [each.name for each in survey("gpt-4o", "openai", "GPT_4o").schemes] == ["gpt-4o"]


def test_unknown_schemes_name_the_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="llava-next"):
        survey("lava-next")


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    asked = survey("closest")
    list(asked.rows([str(tmp_path)]))
    with pytest.raises(InputError, match=r"a\.jpg: the file is empty"):
        asked.require_one()


def test_a_format_that_may_have_fewer_pixels_says_nothing_of_another(tmp_path: Path) -> None:
    """Of one size, an AVIF would not be decoded, and a bitmap would; by their headers alone."""
    buffers = {"a.avif": io.BytesIO(), "b.bmp": io.BytesIO()}
    for name, buffer in buffers.items():
        Image.new("RGB", (64, 48)).save(buffer, name[2:].upper())
    avif, bmp = (bytearray(buffer.getvalue()) for buffer in buffers.values())
    at = avif.index(b"ispe") + 8
    avif[at : at + 8] = struct.pack(">II", 8000, 8000)
    bmp[18:26] = struct.pack("<ii", 8000, 8000)
    (tmp_path / "a.avif").write_bytes(avif)
    (tmp_path / "b.bmp").write_bytes(bmp)
    answer = json_of(tmp_path, "closest")
    assert ["refusal" in each for each in answer["images"]] == [True, False]
    assert answer["totals"]["refused"] == 1
