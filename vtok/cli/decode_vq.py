"""`vtok decode-vq`."""

from vtok.cli.flags.decoding import DecodeFlags
from vtok.cli.flags.images import ImagesFlags
from vtok.cli.flags.indices import AllowTorchscript, Family
from vtok.cli.flags.places import Output, Shards
from vtok.cli.flags.talk import TalkFlags
from vtok.cli.listening import listening
from vtok.cli.talk import say_decoded
from vtok.pipelines.config.commands import DecodeVqConfig


def decode_vq(
    shards: Shards,
    output: Output,
    decoding: DecodeFlags,
    image: ImagesFlags,
    said: TalkFlags,
    family: Family = None,
    allow_torchscript: AllowTorchscript = False,
) -> None:
    """Decode codebook indices into images, with nothing but the shards.

    Images are named as their sources were, in the same folders; tiles are stitched, padding is
    taken off, the original size is restored. The same command run again resumes.

    Examples:
      vtok decode-vq indices/ images/
      vtok decode-vq indices/ images/ --reference photos/
      vtok decode-vq indices/ images/ --reference photos/ --fid-weights pt_inception.pth
      vtok decode-vq indices/shard-000000.tar images/ --format jpg --limit 100
      vtok decode-vq indices/ images/ --output-format webdataset --format webp
      vtok decode-vq generated.npy images/ --model llamagen-vq16
    """
    from vtok.pipelines.decode_vq import decode_vq as run_decode_vq  # brings torch

    config = DecodeVqConfig(
        shards=shards,
        output=output,
        limit=decoding.limit,
        workers=decoding.workers,
        overwrite=decoding.overwrite,
        model=decoding.model,
        device=decoding.device,
        compute_dtype=decoding.compute_dtype.value,
        batch_size=decoding.batch_size,
        image=image.config(),
        reference=decoding.reference,
        fid_weights=decoding.fid_weights,
        family=family,
        output_format=image.output_format.value,
        shard_size=image.shard_size,
        allow_torchscript=allow_torchscript,
        piece_size=decoding.piece_size,
    )
    with listening(said) as progress:
        report = run_decode_vq(config, progress)
    say_decoded(report, said)
