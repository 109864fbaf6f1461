"""`vtok inspect`."""

import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from vtok.cli.flags.inspecting import (
    AnswerFlags,
    Budget,
    Duplicates,
    Inspected,
    ManySchemesFlags,
    StabilityFlags,
    Verify,
)
from vtok.errors import UsageError
from vtok.quantities import counted

if TYPE_CHECKING:
    from vtok.pipelines.inspect import InspectConfig


def inspect(
    paths: Inspected,
    cut: ManySchemesFlags,
    answer: AnswerFlags,
    run: StabilityFlags,
    budget: Budget = None,
    verify: Verify = False,
    duplicates: Duplicates = False,
) -> None:
    """Say what images would become, or what shards hold.

    Of images: size, grid, views and tokens under one scheme or many, from their headers alone. Of
    shards: schema, counts, use of the codebook, failures, health and provenance; the exit code is 3
    where something is damaged. With --stability, which of a model's indices depend on batch size,
    precision and device.

    Examples:
      vtok inspect photos/ --scheme llava-next --budget 2000
      vtok inspect photo.jpg --scheme all
      vtok inspect photos/ --model llava-next-vicuna-7b
      vtok inspect photo.jpg --scheme internvl --max-tiles 12 --show --save cut.png
      vtok inspect out/ --show --duplicates
      vtok inspect photos/ --stability --model llamagen-vq16
    """
    from vtok.pipelines.inspect import InspectConfig, kind_of

    config = InspectConfig(
        paths=tuple(paths),
        schemes=tuple(cut.scheme or ()),
        options=replace(cut, scheme=None).config().options,
        model=None if run.stability else run.model,
        budget=budget,
        verify=verify,
        duplicates=duplicates,
    )
    if run.stability:
        _measure_stability(config, answer, run)
    elif kind_of(config.paths) == "shards":
        _inspect_shards(config, answer)
    else:
        _inspect_images(config, answer)


def _measure_stability(config: "InspectConfig", answer: AnswerFlags, run: StabilityFlags) -> None:
    other = config.options.given().keys() - {"size_px"}
    asks = config.schemes or config.budget is not None or config.verify or config.duplicates
    if other or asks or answer.csv or answer.draws:
        raise UsageError("--stability takes --model, --device, --size and --json, nothing else")
    from vtok.pipelines.config.parts import DEFAULT_MODEL
    from vtok.pipelines.inspecting.stability import StabilityConfig, stability  # brings torch
    from vtok.report.terminal import plain_width, terminal

    found = stability(
        StabilityConfig(
            paths=config.paths,
            model=run.model or DEFAULT_MODEL,
            device=run.device,
            size=config.options.size_px,
            allow_torchscript=run.allow_torchscript,
        )
    )
    if answer.json:
        import json

        _write([json.dumps(found.to_json(), ensure_ascii=False, indent=2) + "\n"])
        return
    console = terminal()
    console.print(found.text(plain_width(console)), end="", soft_wrap=True)


def _inspect_images(config: "InspectConfig", answer: AnswerFlags) -> None:
    from vtok.pipelines.inspect import choose_schemes
    from vtok.pipelines.inspecting.images import Survey

    for flag, is_given in (("--verify", config.verify), ("--duplicates", config.duplicates)):
        if is_given:
            raise UsageError(f"{flag} is for shards, and these are images")
    chosen = choose_schemes(config)
    if answer.draws:
        _draw_cut(config, answer)
        if answer.show:
            return
    survey = Survey(chosen.schemes)
    rows = survey.rows(config.paths)
    if answer.json:
        from vtok.pipelines.inspecting.images_files import survey_json

        _write(survey_json(survey, rows, config.budget, with_plans=config.is_one_image))
    elif answer.csv:
        from vtok.pipelines.inspecting.images_files import survey_csv

        _write(survey_csv(survey, rows, config.budget))
    else:
        from vtok.pipelines.inspecting.images_text import survey_text
        from vtok.report.terminal import plain_width, terminal

        console = terminal()
        width = plain_width(console)
        text = survey_text(survey, rows, budget=config.budget, width=width)
        if chosen.num_left_out:
            do = "does" if chosen.num_left_out == 1 else "do"
            left_out = counted(chosen.num_left_out, "scheme")
            text.append(f"{left_out} {do} not have these options\n", "dim")
        console.print(text, end="", soft_wrap=True)
    survey.require_one()


def _draw_cut(config: "InspectConfig", answer: AnswerFlags) -> None:
    from vtok.pipelines.inspect import choose_schemes
    from vtok.pipelines.inspecting.pictures import CutPicture, check_png, the_one_image
    from vtok.report.terminal import terminal

    if answer.save is not None:
        check_png(answer.save)
    schemes = choose_schemes(config).schemes
    picture = CutPicture(the_one_image(config.paths, schemes), schemes[0])
    if answer.show:
        console = terminal()
        console.print(picture.text(console), end="", soft_wrap=True)
    if answer.save is not None:
        picture.save(answer.save)


def _inspect_shards(config: "InspectConfig", answer: AnswerFlags) -> None:
    from vtok.pipelines.inspecting.shards import inspect_shards

    if config.asks_about_images or answer.csv:
        raise UsageError(
            f"{config.paths[0]} holds shards: schemes, their options, --model, --budget and --csv "
            "are for images"
        )
    facts = inspect_shards(config.paths[0], verify=config.verify, duplicates=config.duplicates)
    if answer.json:
        import json

        _write([json.dumps(facts.to_json(), ensure_ascii=False, indent=2) + "\n"])
    else:
        from vtok.pipelines.inspecting.shards_text import shards_text
        from vtok.report.terminal import plain_width, speaks_unicode, terminal

        console = terminal()
        ascii_only = not speaks_unicode(console)
        text = shards_text(facts, width=plain_width(console), ascii_only=ascii_only)
        console.print(text, end="", soft_wrap=True)
    if answer.draws and facts.first is not None:
        from vtok.pipelines.inspecting.pictures import save_token_map, token_map_text
        from vtok.report.terminal import terminal

        if answer.show:
            console = terminal()
            console.print(token_map_text(facts, console), end="", soft_wrap=True)
        if answer.save is not None:
            save_token_map(facts, answer.save)
    facts.raise_if_damaged()


def _write(pieces: Iterable[str]) -> None:
    for piece in pieces:
        sys.stdout.write(piece)
