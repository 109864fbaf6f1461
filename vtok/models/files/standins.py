"""What a name inside a pickle may stand for: torch's tensors, plain containers, inert stand-ins.

In: the module and the name that a pickle asks for. Out: a function that builds a tensor view inside
given data, a container type, or a stand-in that keeps the object's state and can do nothing. No
name is ever imported. Everything is made anew for each file, so that no file can leave anything
behind for the next.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vtok.errors import WeightsError

# Libraries whose objects lie beside the weights in checkpoints that people publish.
_INERT_PACKAGES = frozenset(
    (
        "argparse",
        "dall_e",
        "lightning",
        "lightning_fabric",
        "lightning_utilities",
        "numpy",
        "omegaconf",
        "pathlib",
        "pytorch_lightning",
        "torchmetrics",
        "typing",
    )
)
_INERT_MODULES = ("torch.nn.modules.", "torch.optim.")
_INERT_NAMES = frozenset(
    (
        ("torch", "device"),
        ("collections", "defaultdict"),
        ("_codecs", "encode"),  # how numpy's bytes are written
    )
)

_SCRIPT = "__torch__"  # where TorchScript puts the classes of a program
_SCRIPT_LISTS = tuple(f"build_{kind}list" for kind in ("int", "double", "bool", "tensor"))
_MAX_MODULES = 100_000
_MAX_NAME = 1000

_DTYPES: dict[str, torch.dtype] = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
_DTYPE_NAMES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "uint8")
_MAX_DIMENSIONS = 8


class Inert:
    """Stands for an object of another library: keeps its state, does nothing with it.

    Attributes:
        state: What the pickle says the object's attributes are.
    """

    state: object = None

    def __new__(cls, *_args: object, **_keywords: object) -> "Inert":  # noqa: D102
        return super().__new__(cls)

    def __init__(self, *_args: object, **_keywords: object) -> None:
        """Take whatever the real object would have taken."""

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        """Take an item, which nothing asks for."""

    def append(self, value: object) -> None:
        """Take an element, which nothing asks for."""

    def extend(self, values: object) -> None:
        """Take elements, which nothing asks for."""


class Scripted(Inert):
    """Stands for a module of a TorchScript program: its attributes, without any of its code."""


@dataclass(frozen=True, slots=True)
class StorageKind:
    """A dtype, as the name of torch's class for data of it."""

    dtype: torch.dtype


class StorageLabel:
    """What a pickle claims of a piece of tensor data.

    Args:
        kind: A `StorageKind`.
        num_elements: Not negative.

    Raises:
        WeightsError: they are not.
    """

    def __init__(self, kind: object, num_elements: object) -> None:
        if not isinstance(kind, StorageKind) or type(num_elements) is not int or num_elements < 0:
            raise WeightsError(f"tensor data of {num_elements!r} elements of {kind!r}")
        self.dtype = kind.dtype
        self.num_elements = num_elements
        self.num_bytes = num_elements * kind.dtype.itemsize


class Allowed:
    """The list, for one file.

    Args:
        max_bytes: What all tensors of the file may hold together.
        scripted: Whether it is TorchScript, and may name classes of its own program.

    Attributes:
        stood_in: Full names of what was replaced by a stand-in.
    """

    def __init__(self, max_bytes: int, *, scripted: bool = False) -> None:
        self.stood_in: set[str] = set()
        self._scripted = scripted
        self._bytes_left = max_bytes
        self._made: dict[tuple[str, str], object] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("builtins", "set"): set,
            ("__builtin__", "set"): set,
            ("torch", "Size"): torch.Size,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor_builder(),
            ("torch._utils", "_rebuild_parameter"): lambda data, *_rest: data,
            **{("torch", name): StorageKind(dtype) for name, dtype in _DTYPES.items()},
            **{("torch", name): getattr(torch, name) for name in _DTYPE_NAMES},
        }
        if scripted:
            for name in (*_SCRIPT_LISTS, "restore_type_tag"):
                self._made["torch.jit._pickle", name] = lambda value, *_rest: value

    def get(self, module: str, name: str) -> object | None:
        """Return what the name stands for; None if it is not on the list."""
        if (module, name) not in self._made:
            kind: type[Inert] = Inert
            if self._scripted and (module == _SCRIPT or module.startswith(f"{_SCRIPT}.")):
                kind = Scripted
            elif not _is_inert(module, name):
                return None
            self._made[module, name] = type(name, (kind,), {"__module__": module})
        found = self._made[module, name]
        if isinstance(found, type) and issubclass(found, Inert):
            self.stood_in.add(f"{module}.{name}")
        return found

    def _tensor_builder(self) -> Callable[..., Tensor]:
        def build(
            storage: object, offset: object, shape: object, strides: object, *_rest: object
        ) -> Tensor:
            view = _checked_view(storage, offset, shape, strides)
            self._bytes_left -= view.numel() * view.element_size()
            if self._bytes_left < 0:
                raise WeightsError("its tensors share their data too often: refused")
            return view

        return build


def module_state(module: Inert) -> dict[str, Tensor]:
    """Return the parameters and buffers of a whole pickled module, as its state dict.

    Raises:
        WeightsError: it is not a module.
    """
    found: dict[str, Tensor] = {}
    pending: list[tuple[str, object]] = [("", module)]
    visited = 0
    while pending:
        prefix, each = pending.pop()
        state = each.state if isinstance(each, Inert) else None
        visited += 1
        if not isinstance(state, Mapping) or "_modules" not in state or visited > _MAX_MODULES:
            raise WeightsError(f"{prefix or type(module).__name__} is not a torch module")
        for kind in ("_parameters", "_buffers"):
            held = state.get(kind) or {}
            found |= {f"{prefix}{n}": t for n, t in held.items() if isinstance(t, Tensor)}
        pending += [(f"{prefix}{name}.", child) for name, child in state["_modules"].items()]
    return found


def scripted_state(program: Scripted) -> dict[str, Tensor]:
    """Return the parameters and buffers of a TorchScript program, as its state dict.

    Raises:
        WeightsError: a module is inside itself, or in too many places.
    """
    found: dict[str, Tensor] = {}
    pending: list[tuple[str, Scripted]] = [("", program)]
    visited = 0
    while pending:
        prefix, each = pending.pop()
        visited += 1
        if len(prefix) > _MAX_NAME or visited + len(pending) > _MAX_MODULES:
            raise WeightsError("its TorchScript modules are inside each other too often: refused")
        for name, value in each.state.items() if isinstance(each.state, Mapping) else ():
            if isinstance(value, Tensor):
                found[f"{prefix}{name}"] = value
            elif isinstance(value, Scripted):
                pending.append((f"{prefix}{name}.", value))
    return found


def _is_inert(module: str, name: str) -> bool:
    return (
        module.partition(".")[0] in _INERT_PACKAGES
        or module.startswith(_INERT_MODULES)
        or (module, name) in _INERT_NAMES
    )


def _checked_view(storage: object, offset: object, shape: object, strides: object) -> Tensor:
    """Return the tensor that lies in a storage so, if all of it really does.

    Raises:
        WeightsError: it does not, or an element would appear twice.
    """
    numbers = (offset, *_numbers(shape), *_numbers(strides))
    sane = isinstance(storage, Tensor) and all(type(n) is int and n >= 0 for n in numbers)
    if not sane or len(_numbers(shape)) != len(_numbers(strides)):
        raise WeightsError(f"a tensor of shape {shape!r} and strides {strides!r} at {offset!r}")
    assert isinstance(storage, Tensor)
    assert isinstance(offset, int)
    sides, steps = _numbers(shape), _numbers(strides)
    num_elements = math.prod(sides)
    last = offset + sum((side - 1) * step for side, step in zip(sides, steps, strict=True))
    if num_elements and (last >= storage.numel() or num_elements > storage.numel()):
        raise WeightsError(
            f"a tensor of shape {list(sides)} claims more than its {storage.numel()} elements"
        )
    return storage.as_strided(sides, steps, offset)


def _numbers(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > _MAX_DIMENSIONS:
        raise WeightsError(f"{value!r} is not the shape of a tensor")
    return value
