"""TorchScript files: the tensors of a model as a program that its authors could have published."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn


class Program(nn.Module):
    """Holds tensors under their names, each dot a module deeper; gives back what it is given."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            *way, last = name.split(".")
            place: nn.Module = self
            for step in way:
                if step not in dict(place.named_children()):
                    place.add_module(step, Program({}))
                place = place.get_submodule(step)
            if tensor.is_floating_point():
                place.register_parameter(last, nn.Parameter(tensor.clone(), requires_grad=False))
            else:
                place.register_buffer(last, tensor)

    def forward(self, given: Tensor) -> Tensor:
        return given


def save_program(tensors: Mapping[str, Tensor], path: Path) -> Path:
    return traced(Program(tensors), torch.zeros(1), path)


def traced(program: nn.Module, example: Tensor, path: Path) -> Path:
    with warnings.catch_warnings():  # torch would have us publish something else
        warnings.filterwarnings("ignore", "`torch.jit")
        torch.jit.trace(program.eval(), example).save(str(path))
    return path


def levels_of(levels: tuple[int, ...], under: str) -> dict[str, Tensor]:
    """What Cosmos's quantizer keeps, but for the table of all codes."""
    places = torch.tensor((1, *levels[:-1])).cumprod(0).int()
    return {
        f"{under}._levels": torch.tensor(levels, dtype=torch.int32),
        f"{under}._basis": places,
        f"{under}.implicit_codebook": torch.zeros(3, len(levels)),
    }
