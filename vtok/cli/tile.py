"""`vtok tile`."""

from vtok.cli.flags.crops import FreeCutFlags
from vtok.cli.flags.images import ImageFlags
from vtok.cli.flags.places import Input, ShardsOutput
from vtok.cli.flags.run import RunFlags
from vtok.cli.flags.talk import TalkFlags
from vtok.cli.listening import listening
from vtok.cli.talk import say_report
from vtok.pipelines.config.commands import TileConfig


def tile(
    images: Input,
    output: ShardsOutput,
    cut: FreeCutFlags,
    image: ImageFlags,
    run: RunFlags,
    said: TalkFlags,
) -> None:
    """Cut images into tiles and a thumbnail, as image fields of WebDataset shards.

    The grid that a scheme chooses, the box of every view and all that was done to the image are in
    each sample's JSON. The same command run again resumes.

    Examples:
      vtok tile photos/ tiles/
      vtok tile photos/ tiles/ --tile-size 448 --max-tiles 12 --format webp
      vtok tile photos/ tiles/ --scheme llava-next
      vtok tile 'train-{000000..000099}.tar' tiles/ --no-thumbnail --overlap 32
    """
    from vtok.pipelines.running.head_start import HeadStart
    from vtok.pipelines.tile import tile as run_tile  # brings Pillow and numpy

    config = TileConfig(run=run.config(images, output), cut=cut.config(), image=image.config())
    with listening(said) as progress, HeadStart(config.run) as head_start:
        report = run_tile(config, progress, head_start)
    say_report(report, said)
