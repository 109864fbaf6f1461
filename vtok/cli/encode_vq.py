"""`vtok encode-vq`."""

from vtok.cli.flags.crops import CropFlags
from vtok.cli.flags.indices import IndexFlags
from vtok.cli.flags.model import ModelFlags
from vtok.cli.flags.places import Input, ShardsOutput
from vtok.cli.flags.run import RunFlags
from vtok.cli.flags.talk import TalkFlags
from vtok.cli.listening import listening
from vtok.cli.talk import say_report
from vtok.pipelines.config.commands import EncodeVqConfig


def encode_vq(
    images: Input,
    output: ShardsOutput,
    model: ModelFlags,
    indices: IndexFlags,
    cut: CropFlags,
    run: RunFlags,
    said: TalkFlags,
) -> None:
    """Encode images into codebook indices, one array a view, in WebDataset shards.

    Indices are in the smallest unsigned dtype that holds the codebook. A shard says which model
    made it, so that decode-vq needs nothing else. The same command run again resumes.

    Examples:
      vtok encode-vq photos/ indices/
      vtok encode-vq photos/ indices/ --scheme closest --tile-size 256
      vtok encode-vq photos/ indices/ --size 256 --flip
      vtok encode-vq photos/ indices/ --ten-crop --size 256
      vtok encode-vq photos/ indices/ --crops 10 --flip --seed 1
      vtok encode-vq photos.parquet indices/ --device cuda --layout block
      vtok encode-vq photos/ indices/ --model my-tokenizer/
      vtok encode-vq photos/ indices/ --model vq_ds16_c2i.pt --family llamagen
      vtok encode-vq photos/ indices/ --model Cosmos-0.1-Tokenizer-DI16x16/
      vtok encode-vq scans/ indices/ --model taming-imagenet-f16-16384 --piece-size 1024
      vtok encode-vq photos/ s3://bucket/indices --dedupe
    """
    from vtok.pipelines.running.head_start import HeadStart

    config = EncodeVqConfig(
        run=run.config(images, output),
        cut=cut.config(),
        model=model.config(),
        family=indices.family,
        allow_torchscript=indices.allow_torchscript,
        layout=indices.layout.value,
        piece_size=indices.piece_size,
    )
    with listening(said) as progress, HeadStart.of_model(config) as head_start:
        from vtok.pipelines.encode_vq import encode_vq as run_encode_vq  # brings torch

        report = run_encode_vq(config, progress, head_start)
    say_report(report, said)
