"""`vtok models` and `vtok models convert`."""

from pathlib import Path
from typing import Annotated

import typer

from vtok.cli.flags.indices import Family
from vtok.cli.flags.places import named_path
from vtok.cli.flags.talk import Json
from vtok.cli.interrupts import orderly_interrupts
from vtok.cli.talk import print_json
from vtok.cli.wording import help_of

models = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="What --model takes: a name, a hub id, a model folder or a weights file.",
        show_default=False,
    ),
]
Converted = Annotated[
    Path,
    typer.Argument(
        metavar="OUTPUT",
        parser=named_path,
        help="A folder that is empty or not there.",
        show_default=False,
    ),
]


def list_models(context: typer.Context, json: Json = False) -> None:
    """List the models that --model knows by name, or convert one.

    Examples:
      vtok models
      vtok models --json
      vtok models convert vqgan.ckpt my-chameleon/ --family chameleon
    """
    if context.invoked_subcommand is not None:
        return
    from vtok.models.catalogue import catalogue
    from vtok.models.vision.published import ENCODERS

    rows = catalogue()
    if json:
        encoders = [{"name": name, **row._asdict()} for name, row in ENCODERS.items()]
        print_json({"models": [row.to_json() for row in rows], "encoders": encoders})
        return
    from vtok.report.model_list import encoder_list, model_list
    from vtok.report.terminal import plain_width, terminal

    console = terminal()
    width = plain_width(console)
    console.print(model_list(rows, width=width), end="", soft_wrap=True)
    console.print(encoder_list(ENCODERS, width=width), end="", soft_wrap=True)


def convert(source: Source, output: Converted, family: Family = None, json: Json = False) -> None:
    """Write a tokenizer as one safe folder that says by itself what it is.

    OUTPUT gets model.safetensors, averaged weights in place of the last ones, and config.json with
    the family, the authors' configuration and the digest of the source. --model OUTPUT gives the
    same indices, and decode-vq takes it for shards that were made with the source. The same command
    run again finishes what was cut short.

    Examples:
      vtok models convert vq_ds16_c2i.pt llamagen-vq16/
      vtok models convert last.ckpt my-ibq/ --family ibq
      vtok models convert Cosmos-0.1-Tokenizer-DI8x8/ cosmos/
    """
    from vtok.models.registry import convert_tokenizer  # brings torch

    with orderly_interrupts():
        folder = convert_tokenizer(source, output, family)
    if json:
        print_json(
            {
                "output": str(output),
                "weights_sha256": folder.weights_sha256,
                "source": dict(folder.source),
            }
        )
        return
    typer.echo(
        f"{output}: {folder.weights_sha256[:12]}, from {folder.source['weights_sha256'][:12]}"
    )


models.callback(help=help_of(list_models))(list_models)
models.command("convert", help=help_of(convert), short_help="write one as a safe folder")(convert)
