"""`vtok train-vq`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from vtok.cli.flags.model import Device
from vtok.cli.flags.places import Input, Output
from vtok.cli.flags.run import Overwrite
from vtok.cli.flags.talk import TalkFlags
from vtok.cli.interrupts import orderly_interrupts
from vtok.cli.talk import print_json
from vtok.quantities import counted

if TYPE_CHECKING:
    from vtok.training.run import Progress


@dataclass(frozen=True, slots=True)
class RecipeFlags:
    """What is trained, and how."""

    preset: Annotated[
        str, typer.Option("--preset", metavar="NAME", help="Shape of the model, and recipe.")
    ] = "vtok-base"
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="MODEL", help="Fine-tune this model instead of starting anew."
        ),
    ] = None
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="N", help="Optimizer steps. [default: the preset's]"),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", metavar="N", help="Crops a step. [default: the preset's]"),
    ] = None
    crop: Annotated[
        int | None,
        typer.Option("--crop", metavar="PX", help="Side of a crop. [default: the preset's]"),
    ] = None
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate", metavar="X", help="At its highest. [default: the preset's]"
        ),
    ] = None
    colour: Annotated[
        float | None,
        typer.Option(
            "--colour",
            metavar="SHARE",
            help="Change colours by up to this share. [default: the preset's]",
        ),
    ] = None
    generated: Annotated[
        float | None,
        typer.Option(
            "--generated",
            metavar="SHARE",
            help="Share of crops that are drawn, not cut: text, line art, dead leaves, "
            "gradients. [default: the preset's]",
        ),
    ] = None
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            metavar="bf16|fp32",
            help="What layers compute in; fp32 is faster where a CPU has no bf16. "
            "[default: the preset's]",
        ),
    ] = None
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of every draw.")] = 0
    holdout: Annotated[
        int,
        typer.Option(
            "--holdout",
            metavar="N",
            help="Images, the last by name, that are never learnt from but judged by; at most a "
            "tenth of all.",
        ),
    ] = 100


def train_vq(
    images: Input,
    output: Output,
    recipe: RecipeFlags,
    said: TalkFlags,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Train a tokenizer on images of your own; OUTPUT becomes a model that --model takes.

    Starts as a transform coder (principal components and clusters of your images) and learns from
    there. Checkpoints are written on the way: the same command run again resumes, on the same
    curve. OUTPUT/samples.png shows originals beside reconstructions, OUTPUT/log.jsonl has the
    curve, OUTPUT/training.json the figures over the images held out.

    Examples:
      vtok train-vq photos/ my-tokenizer/
      vtok train-vq scans/ scan-tokenizer/ --from vtok-base --steps 500 --learning-rate 1e-4
      vtok encode-vq photos/ indices/ --model my-tokenizer/
      torchrun --nproc-per-node 8 --no-python vtok train-vq photos/ my-tokenizer/ --batch-size 64
    """
    from vtok.pipelines.train_vq import TrainVqConfig  # brings torch
    from vtok.pipelines.train_vq import train_vq as run_train_vq

    config = TrainVqConfig(
        images=images,
        output=output,
        preset=recipe.preset,
        start=recipe.start,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        crop_px=recipe.crop,
        learning_rate=recipe.learning_rate,
        colour=recipe.colour,
        generated=recipe.generated,
        precision=recipe.precision,
        seed=recipe.seed,
        holdout=recipe.holdout,
        device=device,
        overwrite=overwrite,
    )
    with orderly_interrupts(), _listening(said) as progress:
        report = run_train_vq(config, progress)
    if report is None:
        return  # a process that only helped
    if said.json:
        print_json(report.to_json())
    elif not said.quiet:
        figures = report.figures
        typer.echo(
            f"learnt from {counted(report.num_learnt, 'image')}, judged by {figures.num_images}: "
            f"PSNR {figures.psnr_db:.2f} dB, SSIM {figures.ssim:.4f} "
            f"at {figures.bits_per_pixel:.3f} bits a pixel"
        )
        typer.echo(f"codes in use: {figures.codes_used:,}, perplexity {figures.perplexity:.0f}")
        for source, reason in sorted(report.failures.items()):
            typer.echo(f"  not decoded: {source}: {reason}")
        typer.echo(f"model: {report.output} (weights {report.weights_sha256[:12]})")


@contextmanager
def _listening(said: TalkFlags) -> Iterator["Progress"]:
    """Give a listener: a bar on a terminal, otherwise a line for every validation."""
    from vtok.cli.training_bar import Notes, training_bar  # brings torch and rich

    if said.quiet or os.environ.get("RANK", "0") != "0":  # the first process speaks for all
        from vtok.training.run import Progress

        yield Progress()
    elif sys.stderr.isatty():
        with training_bar() as progress:
            yield progress
    else:
        yield Notes()
