"""One image through read, decode, plan and render: facts, views, and typed failures."""

import hashlib
import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
from engine_fakes import MemoryItem, picture, png_task, small_preparation, task
from PIL import Image

from vtok.engine.preparation import ImageTask, Preparation, Prepared
from vtok.io.images import DecodeLimits
from vtok.records import Failure, Size
from vtok.resolution import SchemeOptions, resolve


def encoded(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def test_the_facts_of_an_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(picture(40, 60, 1)), format="JPEG", exif=exif)
    outcome = small_preparation(with_sidecars=True).prepare(task(3, data))
    assert isinstance(outcome, Prepared)
    facts = outcome.facts
    assert facts.size == facts.plan.size == Size(height=60, width=40)
    assert (facts.format, facts.num_bytes) == ("JPEG", len(data))
    assert facts.sha256 == hashlib.sha256(data).hexdigest()
    assert facts.conversions == ("orientation-6",)
    assert facts.sidecars == {"txt": b"image-3"}
    assert (outcome.task.index, outcome.task.key) == (3, "000003")


def test_the_views_are_pillows_pixels() -> None:
    pixels = picture(56, 84, 2)
    task_ = task(0, encoded(Image.fromarray(pixels), format="PNG"))
    outcome = small_preparation().prepare(task_)
    assert isinstance(outcome, Prepared)
    assert len(outcome.views) == len(outcome.facts.plan.views) == 7
    np.testing.assert_array_equal(outcome.views[1], pixels[:28, 28:56])
    thumbnail = Image.fromarray(pixels).resize((28, 28), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(outcome.views[6], np.asarray(thumbnail))


@pytest.mark.parametrize(
    ("data", "stage", "reason"),
    [
        (None, "read", "unreadable"),
        (b"", "decode", "not-an-image"),
        (b"plain text", "decode", "not-an-image"),
        (encoded(Image.new("RGB", (64, 64), "red"), format="PNG")[:60], "decode", "corrupt"),
        (encoded(Image.new("L", (101, 1)), format="PNG"), "decode", "too-large"),
        (bytes(5001), "read", "too-large"),
    ],
)
def test_what_is_wrong_with_an_image_is_its_own_failure(
    data: bytes | None, stage: str, reason: str
) -> None:
    preparation = replace(
        small_preparation(), limits=DecodeLimits(max_aspect=100, max_file_bytes=5000)
    )
    outcome = preparation.prepare(task(1, data))
    assert isinstance(outcome, Failure)
    assert (outcome.key, outcome.source) == ("000001", "image-1")
    assert (outcome.stage, outcome.reason) == (stage, reason)
    assert "\n" not in outcome.message


def test_a_size_that_the_scheme_cannot_cut_fails_in_planning() -> None:
    scheme = resolve("qwen2-vl", SchemeOptions())
    outcome = Preparation(scheme=scheme, limits=DecodeLimits(max_aspect=1000)).prepare(
        png_task(0, height=1, width=500)
    )
    assert isinstance(outcome, Failure)
    assert (outcome.stage, outcome.reason) == ("plan", "degenerate-size")


def test_memory_that_rendering_lacks_is_the_images_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def short_of_memory(*_: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("vtok.engine.preparation.render_frozen", short_of_memory)
    outcome = small_preparation().prepare(png_task(0))
    assert isinstance(outcome, Failure)
    assert (outcome.stage, outcome.reason) == ("plan", "too-large")


class Mistaken(MemoryItem):
    def read(self, *, max_bytes: int | None = None) -> bytes:
        raise AttributeError("a mistake")


def test_mistakes_in_the_program_are_not_swallowed() -> None:
    mistaken = ImageTask(index=0, key="0", item=Mistaken("x", b""))
    with pytest.raises(AttributeError, match="a mistake"):
        small_preparation().prepare(mistaken)


def test_a_preparation_travels() -> None:
    preparation = small_preparation()
    again = pickle.loads(pickle.dumps(preparation))
    assert again == preparation
    assert len(pickle.dumps(preparation)) < 4096
