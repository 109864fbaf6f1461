"""Packed sequences against what transformers gives its language models for the same images."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers", reason="the reference models are an extra")

import torch
from processor_texts import NAMES, placeholder_of, text_of
from test_vision_parity import Checkpoint, checkpoint, ours, picture, prepared, their_inputs
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from vtok.errors import UsageError, WeightsError
from vtok.models.registry import load_encoder, load_sequence
from vtok.records import Size
from vtok.resolution import Plan

__all__ = ["checkpoint"]
pytestmark = pytest.mark.slow

SIZES = (Size(height=40, width=64), Size(height=100, width=37), Size(height=130, width=200))
LARGE = Size(height=168, width=168)  # 6 x 6 tiles: shrunk to about nine tiles' vectors


def sequence_of(folder: Path, image: Any) -> tuple[Plan, np.ndarray]:
    encoder = load_encoder(str(folder), output="projected")
    outcome = prepared(encoder, image)
    plan = outcome.facts.plan
    stack = ours(encoder, outcome, torch.float32).numpy()
    features = {view.name: array for view, array in zip(plan.views, stack, strict=True)}
    return plan, load_sequence(str(folder)).pack(plan, features)


def error_of(plan: Plan, packed: np.ndarray, expected: torch.Tensor) -> float:
    """The largest error of a sequence that is as long as the reference, and as its plan says."""
    assert packed.shape == tuple(expected.shape)
    assert len(packed) == plan.num_tokens
    return float(np.abs(packed - expected.numpy()).max())


def assert_close(name: str, worst: float, table_row: Callable[..., None]) -> None:
    table_row(
        "packed sequences as the language model is given them",
        ("architecture", "|fp32|"),
        (name, f"{worst:.1e}"),
    )
    assert worst <= 1e-5


@pytest.mark.parametrize("name", ["llava-next", "llava-onevision", "llava-onevision-uneven"])
def test_anyres_is_packed_as_the_model_packs_it(
    name: str, checkpoint: Callable[[str], Checkpoint], table_row: Callable[..., None]
) -> None:
    made = checkpoint(name)
    sizes = (*SIZES, LARGE) if name.startswith("llava-onevision") else SIZES
    worst = 0.0
    for size in sizes:
        image = picture(size)
        plan, packed = sequence_of(made.folder, image)
        inputs = their_inputs(made, image)
        with torch.no_grad():
            output = made.model.get_image_features(inputs["pixel_values"], inputs["image_sizes"])
        (expected,) = output.pooler_output
        worst = max(worst, error_of(plan, packed, expected))
    assert_close(name, worst, table_row)


def write_tokenizer(folder: Path, plans: list[Plan]) -> Tokenizer:
    """One id for each separator, text and placeholder of these plans, in the folder."""
    tokens = sorted({run.token for plan in plans for run in plan.runs})
    vocabulary = {token: number for number, token in enumerate(tokens, 5)}
    tokenizer = Tokenizer(WordLevel({**vocabulary, "?": 3}, unk_token="?"))
    tokenizer.add_special_tokens(tokens)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


@pytest.mark.parametrize("name", NAMES)
def test_a_sequence_is_that_of_the_models_own_processor(
    name: str, checkpoint: Callable[[str], Checkpoint], table_row: Callable[..., None]
) -> None:
    """Its text, in the model's vectors, with the projector's in the placeholders' places."""
    made = checkpoint(name)
    encoder = load_encoder(str(made.folder), output="projected")
    plans = [prepared(encoder, picture(size)).facts.plan for size in SIZES]
    tokenizer = write_tokenizer(made.folder, plans)
    worst = 0.0
    for size in SIZES:
        image = picture(size)
        plan, packed = sequence_of(made.folder, image)
        options = {"return_row_col_info": True} if name in ("idefics3", "smolvlm") else {}
        inputs = dict(made.processor.preprocess([image], return_tensors="pt", **options))
        encoding = tokenizer.encode(text_of(name, inputs), add_special_tokens=False)
        ids = torch.tensor(encoding.ids)
        assert "?" not in encoding.tokens
        keys = ["pixel_values", "image_grid_thw"]
        if name in ("mistral3", "pixtral-llava"):
            keys.append("image_sizes")
        with torch.no_grad():
            call = {key: inputs[key] for key in keys if key in inputs}
            pooled = made.model.model.get_image_features(**call).pooler_output
            expected = made.model.get_input_embeddings()(ids)
        vectors = torch.cat([*pooled]) if isinstance(pooled, list | tuple) else pooled.flatten(0, 1)
        expected[ids == tokenizer.token_to_id(placeholder_of(name))] = vectors
        worst = max(worst, error_of(plan, packed, expected))
    assert_close(name, worst, table_row)


def test_without_a_tokenizer_separators_are_refused(
    checkpoint: Callable[[str], Checkpoint],
) -> None:
    folder = checkpoint("smolvlm").folder
    (folder / "tokenizer.json").unlink(missing_ok=True)
    with pytest.raises(WeightsError, match=r"no tokenizer\.json"):
        sequence_of(folder, picture(SIZES[0]))


def test_what_is_read_beside_the_sequence_is_refused(
    checkpoint: Callable[[str], Checkpoint],
) -> None:
    with pytest.raises(UsageError, match="leave --packed out"):
        sequence_of(checkpoint("llama-3.2-vision").folder, picture(SIZES[0]))
    with pytest.raises(UsageError, match="no language model"):
        load_sequence(str(checkpoint("clip").folder))


@pytest.mark.parametrize("name", ["llava-next", "llava-onevision-uneven", "internvl", "gemma3"])
def test_the_command_stores_what_inspect_announces(
    name: str, checkpoint: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    """Inspect reads no weights: they are gone when it is asked, and headers of images alone."""
    from typer.testing import CliRunner

    import vtok
    from vtok.cli.app import app

    def run(*arguments: object) -> dict[str, Any]:
        result = CliRunner().invoke(app, [str(each) for each in arguments])
        assert result.exit_code == 0, result
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    (tmp_path / "photos").mkdir()
    for number, size in enumerate(SIZES):
        picture(size).save(tmp_path / "photos" / f"{number}.png")
    folder = tmp_path / "model"
    shutil.copytree(checkpoint(name).folder, folder)
    encoder = load_encoder(str(folder))
    write_tokenizer(folder, [prepared(encoder, picture(size)).facts.plan for size in SIZES])
    wanted = ("--output", "projected", "--packed", "--workers", 0, "--json")
    report = run(
        "encode-continuous", tmp_path / "photos", tmp_path / "out", "--model", folder, *wanted
    )
    assert report["written"] == len(SIZES)
    (folder / "model.safetensors").unlink()
    told = run("inspect", tmp_path / "photos", "--model", folder, "--json")
    samples = {s.meta["source"]: s for s in vtok.open_shards(str(tmp_path / "out"))}
    assert len(samples) == len(SIZES)
    for image in told["images"]:
        sample = samples[image["source"]]
        assert len(sample.array) == sample.meta["tokens"] == image["cuts"][0]["tokens"]
