"""Projectors of `vtok.nn` by name, and their weights from a file.

In: which projector, and a safetensors file of its tensors under `vtok.nn`'s names or those of
LLaVA's or InternVL's checkpoints, alone or among a whole model's. Out: the projector, its shape
found from the tensors. Knows no encoder.

Dimension letters: E vision channels, D language channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from vtok.errors import WeightsError
from vtok.io.files import sha256_file, write_bytes
from vtok.models.files.folder import SAFETENSORS
from vtok.models.files.weights import ModelFolder, load_model, read_state
from vtok.nn.projector import LinearProjector, MlpProjector, PixelShuffleProjector, Projector
from vtok.nn.resampler import Resampler
from vtok.quantities import counted

ProjectorKind = Literal["linear", "mlp", "pixel-shuffle", "resampler"]

# Where a checkpoint of a whole model keeps its projector.
_PREFIXES = (
    "",
    *(f"{model}{own}" for model in ("", "model.") for own in ("projector.", "mm_projector.")),
    *(f"{model}{own}" for model in ("", "model.") for own in ("multi_modal_projector.", "mlp1.")),
)
# What others call our modules, those that have no weights in between counted.
_NAMES: dict[ProjectorKind, tuple[dict[str, str], ...]] = {
    "linear": ({"linear": "linear"}, {"linear": ""}),
    "mlp": (
        {"mlp.0": "mlp.0", "mlp.2": "mlp.2"},
        {"mlp.0": "linear_1", "mlp.2": "linear_2"},
        {"mlp.0": "0", "mlp.2": "2"},
    ),
    "pixel-shuffle": (
        {"norm": "norm", "mlp.0": "mlp.0", "mlp.2": "mlp.2"},
        {"norm": "layer_norm", "mlp.0": "linear_1", "mlp.2": "linear_2"},
        {"norm": "0", "mlp.0": "1", "mlp.2": "3"},
    ),
    "resampler": (),
}


_NUM_HEADS = "num_heads"


class HeldProjector(NamedTuple):
    """A projector as a file holds it.

    Attributes:
        projector: The module, in fp32.
        in_dim: Vision channels (E).
        out_dim: Language channels (D).
    """

    projector: Projector
    in_dim: int
    out_dim: int


def make_projector(
    kind: ProjectorKind,
    number: int,
    in_dim: int,
    out_dim: int,
    *,
    hidden_dim: int | None = None,
    depth: int = 2,
    num_heads: int | None = None,
) -> Projector:
    """Return a projector of `vtok.nn`, its weights drawn from torch's generator.

    Args:
        kind: Which.
        number: Side of a square of `pixel-shuffle`, tokens of `resampler`.
        in_dim: Vision channels (E).
        out_dim: Language channels (D).
        hidden_dim: Channels inside `mlp`, D where None; inside the MLPs of `resampler`, 4 E where
            None.
        depth: Layers of `resampler`.
        num_heads: Of its attention; None for heads of 64 channels, as Flamingo's, or narrower ones
            where 64 does not divide E.
    """
    if kind == "linear":
        return LinearProjector(in_dim, out_dim)
    if kind == "mlp":
        return MlpProjector(in_dim, out_dim, hidden_dim=hidden_dim)
    if kind == "pixel-shuffle":
        return PixelShuffleProjector(in_dim, out_dim, factor=number)
    usual = next((in_dim // c for c in (64, 32, 16, 8) if in_dim % c == 0), 1)
    return Resampler(
        in_dim,
        out_dim,
        num_queries=number,
        num_heads=num_heads or usual,
        depth=depth,
        mlp_ratio=(hidden_dim or 4 * in_dim) / in_dim,
    )


def save_projector(projector: Projector, weights: Path) -> None:
    """Write a projector's file, for `--projector-weights`.

    What its tensors do not tell, the number of heads of a resampler, goes into the file's metadata.

    Raises:
        OutputError: the file cannot be written.
    """
    state = {name: t.detach().cpu().contiguous() for name, t in projector.state_dict().items()}
    facts = None
    if isinstance(projector, Resampler):
        facts = {_NUM_HEADS: str(projector.num_heads)}
    write_bytes(weights, save(state, metadata=facts))


def read_projector(weights: Path, kind: ProjectorKind, number: int) -> HeldProjector:
    """Return the projector in a file.

    Args:
        weights: The file.
        kind: Which projector it should be.
        number: As in `make_projector`.

    Raises:
        WeightsError: the file is missing or damaged, or holds no such projector.
    """
    folder = ModelFolder(weights, {}, projector_digest(weights), (weights,))
    state = _own_names(kind, read_state(folder), weights)
    shape = _shape(kind, number, state, weights)
    num_heads = _num_heads(weights, shape.in_dim) if kind == "resampler" else None

    def make() -> Projector:
        return make_projector(
            kind,
            number,
            shape.in_dim,
            shape.out_dim,
            hidden_dim=shape.hidden_dim,
            depth=shape.depth,
            num_heads=num_heads,
        )

    return HeldProjector(load_model(make, state, folder), shape.in_dim, shape.out_dim)


def projector_digest(weights: Path) -> str:
    """Return the digest of a projector's file.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        return sha256_file(weights)
    except OSError as error:
        raise WeightsError(f"{weights}: {error.strerror or error}") from error


def _num_heads(weights: Path, in_dim: int) -> int | None:
    """Return the number of heads that a file says; None where it says none.

    Raises:
        WeightsError: they do not divide the vectors.
    """
    if weights.suffix != SAFETENSORS:
        return None
    with safe_open(weights, "pt") as file:
        said = (file.metadata() or {}).get(_NUM_HEADS)
    if said is None:
        return None
    if not (said.isascii() and said.isdecimal() and 0 < int(said) <= in_dim):
        raise WeightsError(f"{weights}: {said!r} heads cannot be")
    if in_dim % int(said):
        raise WeightsError(f"{weights}: {said} heads do not divide vectors of {in_dim}")
    return int(said)


def _own_names(
    kind: ProjectorKind, state: Mapping[str, Tensor], weights: Path
) -> dict[str, Tensor]:
    """Return the projector's tensors under `vtok.nn`'s names; biases that are not there are 0.

    Raises:
        WeightsError: no projector of this kind is among them.
    """
    for prefix in _PREFIXES:
        held = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        if kind == "resampler":
            if "queries" in held:
                return held
            continue
        for names in _NAMES[kind]:
            theirs = {ours: f"{name}." if name else "" for ours, name in names.items()}
            if not all(f"{name}weight" in held for name in theirs.values()):
                continue
            if prefix == "" and len(held) > 2 * len(names):
                continue  # a whole model, or another projector
            found = {}
            for ours, name in theirs.items():
                weight = held[f"{name}weight"]
                found[f"{ours}.weight"] = weight
                found[f"{ours}.bias"] = held.get(f"{name}bias", weight.new_zeros(weight.shape[:1]))
            return found
    seen = ", ".join(sorted(state)[:4])
    raise WeightsError(f"{weights}: no {kind} projector is in it; there are: {seen}, ...")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the tensors of a projector tell of it."""

    in_dim: int
    out_dim: int
    hidden_dim: int
    depth: int = 0


def _shape(kind: ProjectorKind, number: int, state: Mapping[str, Tensor], weights: Path) -> _Shape:
    """Return the shape of a projector whose tensors have `vtok.nn`'s names.

    Raises:
        WeightsError: its squares or tokens are not those that were asked for.
    """
    if kind == "linear":
        out_dim, in_dim = _matrix(state, "linear.weight", weights)
        return _Shape(in_dim, out_dim, out_dim)
    if kind == "resampler":
        num_queries, in_dim = _matrix(state, "queries", weights)
        if num_queries != number:
            raise WeightsError(
                f"{weights}: it gives {counted(num_queries, 'token')}: ask for --projector "
                f"resampler:{num_queries}"
            )
        out_dim, _ = _matrix(state, "proj.weight", weights)
        hidden_dim, _ = _matrix(state, "layers.0.mlp.0.weight", weights)
        depth = len({name.split(".")[1] for name in state if name.startswith("layers.")})
        return _Shape(in_dim, out_dim, hidden_dim, depth)
    hidden_dim, wide = _matrix(state, "mlp.0.weight", weights)
    out_dim, _ = _matrix(state, "mlp.2.weight", weights)
    if kind == "mlp":
        return _Shape(wide, out_dim, hidden_dim)
    return _Shape(wide // number**2, out_dim, hidden_dim)


def _matrix(state: Mapping[str, Tensor], name: str, weights: Path) -> tuple[int, int]:
    tensor = state.get(name)
    if tensor is None or tensor.ndim != 2 or 0 in tensor.shape:
        raise WeightsError(f"{weights}: {name} is not a matrix that a projector has")
    return tensor.shape[0], tensor.shape[1]
