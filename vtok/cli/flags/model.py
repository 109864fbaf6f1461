"""Flags of which model runs, where and in what."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from vtok.pipelines.config.parts import DEFAULT_MODEL, ModelConfig


class ComputeDtypeChoice(StrEnum):
    """What a model computes in."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME",
        help="A model that ships, a name of `vtok models`, a hub id (owner/name), a model folder "
        "or a weights file.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="auto, cpu, cuda or cuda:N. The encoders take several (cuda:0,cuda:1 or "
        "cuda:all): a process a device, which share the shards out and change no byte.",
    ),
]
ComputeDtype = Annotated[
    ComputeDtypeChoice,
    typer.Option(
        "--compute-dtype",
        help="What the model computes in; auto is fp32, or bf16 where that is faster and features "
        "are not stored as fp32.",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        help="Most views that the model is given at once; part of a run's plan. [default: by the "
        "size of the views]",
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Have torch compile the model, which takes a minute the first time and is kept: for "
        "many views of one size. Part of a run's plan.",
    ),
]


@dataclass(frozen=True, slots=True)
class ModelFlags:
    """Which model, and where it runs."""

    model: Model = DEFAULT_MODEL
    device: Device = "auto"
    compute_dtype: ComputeDtype = ComputeDtypeChoice.AUTO
    batch_size: BatchSize = None
    compile: Compile = False

    def config(self) -> ModelConfig:
        """Return what was asked for."""
        return ModelConfig(
            name=self.model,
            device=self.device,
            compute_dtype=self.compute_dtype.value,
            batch_size=self.batch_size,
            compile=self.compile,
        )
