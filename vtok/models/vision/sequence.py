"""The vectors that stand for an image in a language model's sequence, one after the other.

In: an image's plan, and the projected features of its views. Out: (L, D), L being the number of
tokens that the plan announces: the views' vectors as the model's own packing arranges them, and
between them the vectors of its separators, read row by row out of the language model's table.

Dimension letters: L length of the sequence, N vectors of a view, D channels, h w token grid of a
view, R C rows and columns of tiles.
"""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from vtok.errors import UsageError, WeightsError
from vtok.models.files.sources import ModelSource
from vtok.models.files.tensors import Tensors
from vtok.models.vision.internvit import config_of, tensors_of
from vtok.models.vision.wholes import WHOLES
from vtok.resolution.parts import Run
from vtok.resolution.plan import Plan

Array = npt.NDArray[Any]

TOKENIZER_NAME = "tokenizer.json"
_TABLES = ("embed_tokens.weight", "tok_embeddings.weight")  # the second: InternLM 2's
_UNPADDED = ("llava-next", "llava-onevision")


class ModelSequence:
    """How one model packs what it makes of an image.

    Args:
        source: Its files.
        files: Its checkpoint.
        name: The name that it was asked for by.
        text_scale: What the language model multiplies the vectors of text by (Gemma).
    """

    def __init__(
        self, source: ModelSource, files: Tensors, *, name: str, text_scale: float = 1.0
    ) -> None:
        self._source = source
        self._files = files
        self._name = name
        self._text_scale = text_scale
        self._vectors: dict[str, Array] = {}
        self._newline = self._read_newline()

    def pack(self, plan: Plan, features: Mapping[str, Array]) -> Array:
        """Return the sequence (L, D), float32, of an image.

        Args:
            plan: The image's.
            features: View's name → (N, D), projected.

        Raises:
            UsageError: the scheme arranges vectors in a way that is not known here, or puts none
                into the sequence.
            WeightsError: the model has no vector for a separator.
        """
        if plan.scheme in _UNPADDED:
            packed = self._unpadded(plan, features)
        else:
            packed = self._run_by_run(plan, features)
        if len(packed) != plan.num_tokens:
            raise UsageError(
                f"{self._name} gives {len(packed)} vectors for an image of {plan.size}, and scheme "
                f"{plan.scheme} announces {plan.num_tokens}: --packed needs the model's own scheme"
            )
        return packed

    def _run_by_run(self, plan: Plan, features: Mapping[str, Array]) -> Array:
        parts: list[Array] = []
        taken = dict.fromkeys(features, 0)
        for run in plan.runs:
            if run.kind in ("separator", "text"):
                parts.append(self._text(run))
                continue
            if run.kind != "image" or run.view is None:
                raise UsageError(
                    f"--packed: scheme {plan.scheme} does not put its views' vectors into one "
                    "sequence as they are; leave --packed out"
                )
            view = plan.views[run.view].name
            start = taken[view]
            taken[view] = start + run.num_tokens
            parts.append(features[view][start : taken[view]].astype(np.float32))
        return np.concatenate(parts)

    def _unpadded(self, plan: Plan, features: Mapping[str, Array]) -> Array:
        """Return the overview, then the tiles' joint grid without padding, a newline a row.

        Source: `pack_image_features` of transformers' `llava_next` and `llava_onevision`.
        """
        grid, tokens = plan.grid, plan.views[0].token_grid
        assert grid is not None
        assert tokens is not None
        if self._newline is None:
            raise WeightsError(f"{self._source.where}: it has no image_newline")
        tiles = np.stack([features[view.name] for view in plan.views if view.role == "tile"])
        joint = torch.from_numpy(tiles.astype(np.float32))
        joint = joint.reshape(grid.rows, grid.cols, tokens.rows, tokens.cols, -1)
        joint = joint.permute(4, 0, 2, 1, 3).flatten(1, 2).flatten(2, 3)  # (D, R h, C w)
        joint = _without_padding(joint, plan)
        if plan.scheme == "llava-onevision":
            joint = _within_nine_tiles(joint, tokens.rows)
        newline = self._newline.view(-1, 1, 1).expand(-1, joint.shape[1], 1)
        rows = torch.cat((joint, newline), dim=2).flatten(1).T  # (rows (cols + 1), D)
        overview = features[plan.views[0].name].astype(np.float32)
        return np.concatenate((overview, rows.numpy()))

    def _text(self, run: Run) -> Array:
        """Return the vectors of a separator or of text.

        Raises:
            WeightsError: the tokenizer does not have it, or writes it with another number of ids.
        """
        if run.token not in self._vectors:
            ids = self._ids(run)
            table = self._table()
            vectors = self._files.read_rows(table, ids).to(torch.float32) * self._text_scale
            self._vectors[run.token] = vectors.numpy()
        return self._vectors[run.token]

    def _ids(self, run: Run) -> list[int]:
        encoding = self._tokenizer.encode(run.token, add_special_tokens=False)
        ids: list[int] = encoding.ids
        if len(ids) != run.num_tokens:
            raise WeightsError(
                f"{self._source.where}: its tokenizer writes {run.token!r} as {len(ids)} tokens, "
                f"and the scheme counts {run.num_tokens}: leave --packed out"
            )
        return ids

    @cached_property
    def _tokenizer(self) -> Any:
        path = self._source.path(TOKENIZER_NAME)
        if path is None:
            raise WeightsError(
                f"{self._source.where}: there is no {TOKENIZER_NAME}, which says what the "
                "separators between an image's vectors are: leave --packed out"
            )
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(path))

    def _table(self) -> str:
        """Return the name of the language model's table of token vectors."""
        found = [name for name in self._files.names if name.endswith(_TABLES)]
        if len(found) != 1:
            raise WeightsError(f"{self._source.where}: {len(found)} tables of token vectors, not 1")
        return found[0]

    def _read_newline(self) -> Tensor | None:
        names = [name for name in self._files.names if name.endswith("image_newline")]
        for _, tensor in self._files.read(names[:1]):
            return tensor.to(torch.float32)
        return None


def load_sequence(source: ModelSource, *, name: str) -> ModelSequence:
    """Return how a whole vision-language model packs an image.

    Raises:
        UsageError: it has no language model.
        WeightsError: its files are missing or damaged.
    """
    config = config_of(source) or {}
    if config.get("model_type") not in WHOLES:
        raise UsageError(f"--packed: {name} has no language model whose sequence this could be")
    text = config.get("text_config") or {}
    scale = 1.0
    if str(text.get("model_type", "")).startswith("gemma"):
        scale = math.sqrt(text["hidden_size"])
    return ModelSequence(source, tensors_of(source), name=name, text_scale=scale)


def _without_padding(joint: Tensor, plan: Plan) -> Tensor:
    """Return the part (D, rows, cols) of the joint grid that shows the image."""
    _, rows, cols = joint.shape
    size = plan.size
    if size.width / size.height > cols / rows:
        kept = int(round(size.height * (cols / size.width), 7))
        padding = (rows - kept) // 2
        return joint[:, padding : rows - padding]
    kept = int(round(size.width * (rows / size.height), 7))
    padding = (cols - kept) // 2
    return joint[:, :, padding : cols - padding]


def _within_nine_tiles(joint: Tensor, side: int) -> Tensor:
    """Return the grid, reduced to about nine tiles' vectors where it has many more."""
    _, rows, cols = joint.shape
    ratio = math.sqrt(rows * cols / (9 * side**2))
    if ratio <= 1.1:
        return joint
    size = [int(rows // ratio), int(cols // ratio)]
    return functional.interpolate(joint[None], size, mode="bilinear")[0]
