"""`vtok encode-continuous`."""

from vtok.cli.flags.cut import CutFlags
from vtok.cli.flags.features import EncoderFlags, FeatureFlags
from vtok.cli.flags.places import Input, ShardsOutput
from vtok.cli.flags.run import RunFlags
from vtok.cli.flags.talk import TalkFlags
from vtok.cli.listening import listening
from vtok.cli.talk import say_report
from vtok.pipelines.config.commands import EncodeContinuousConfig


def encode_continuous(
    images: Input,
    output: ShardsOutput,
    model: EncoderFlags,
    features: FeatureFlags,
    cut: CutFlags,
    run: RunFlags,
    said: TalkFlags,
) -> None:
    """Encode images into feature vectors, one (num_tokens, dim) array a view, in WebDataset shards.

    An image with a feature that is not finite, or beyond the dtype it is stored in, fails alone and
    is counted. The same command run again resumes.

    Examples:
      vtok encode-continuous photos/ features/
      vtok encode-continuous photos/ features/ --scheme closest --no-thumbnail
      vtok encode-continuous photos/ features/ --dtype bf16 --device cuda
      vtok encode-continuous photos/ features/ --projector mlp --projector-weights mlp.safetensors
      vtok encode-continuous photos/ features/ --model openai/clip-vit-large-patch14 --layer -2
      vtok encode-continuous photos/ features/ --model llava-hf/llava-1.5-7b-hf --output projected
      vtok encode-continuous photos/ sequences/ --model LLAVA-NEXT --output projected --packed
    """
    from vtok.pipelines.running.head_start import HeadStart

    config = EncodeContinuousConfig(
        run=run.config(images, output),
        cut=cut.config(),
        model=model.config(),
        wanted=model.wanted(),
        projector=features.projection(),
        layout=features.layout.value,
        dtype=features.dtype.value,
    )
    with listening(said) as progress, HeadStart.of_model(config) as head_start:
        from vtok.pipelines.encode_continuous import encode_continuous as run_encode  # brings torch

        report = run_encode(config, progress, head_start)
    say_report(report, said)
