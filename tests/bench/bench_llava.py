"""A LLaVA-NeXT-shaped checkpoint over the sample images: `python tests/bench/bench_llava.py`.

Geometry of llava-v1.6 (336 px tiles, 14 px patches, five grids), small widths, random weights: its
vectors mean nothing, their number and order are those of the real model. Prints a line an image.
"""

import argparse
import tempfile
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench
SAMPLES = Path(__file__).parents[2] / "sample_images"
GRIDS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]


def write_checkpoint(folder: Path) -> None:
    import transformers as tf
    from transformers.models.llava_next.image_processing_pil_llava_next import (
        LlavaNextImageProcessorPil,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()
    vision = tf.CLIPVisionConfig(
        hidden_size=128, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
        image_size=336, patch_size=14,
    )  # fmt: skip
    text = tf.LlamaConfig(
        hidden_size=256, intermediate_size=512, num_hidden_layers=8, num_attention_heads=4,
        vocab_size=32064,
    )  # fmt: skip
    config = tf.LlavaNextConfig(vision_config=vision, text_config=text, image_grid_pinpoints=GRIDS)
    tf.LlavaNextForConditionalGeneration(config).save_pretrained(folder)
    LlavaNextImageProcessorPil(
        size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336},
        image_grid_pinpoints=GRIDS,
    ).save_pretrained(folder)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, default=SAMPLES)
    images = parser.parse_args().images

    import vtok
    from vtok.models.registry import load_encoder
    from vtok.pipelines.config.commands import EncodeContinuousConfig, OutputConfig
    from vtok.pipelines.config.parts import ModelConfig, RunConfig
    from vtok.pipelines.encode_continuous import encode_continuous

    with tempfile.TemporaryDirectory() as folder:
        model, output = Path(folder) / "llava", Path(folder) / "out"
        write_checkpoint(model)
        size = sum(path.stat().st_size for path in model.glob("*.safetensors"))
        encoder = load_encoder(str(model), output="projected")
        num_read = getattr(encoder, "num_bytes_read", 0)
        print(f"read {num_read / 1e6:.1f} MB of a checkpoint of {size / 1e6:.1f} MB")
        began = time.perf_counter()
        config = EncodeContinuousConfig(
            run=RunConfig(input=str(images), output=output, workers=1),
            model=ModelConfig(name=str(model)),
            wanted=OutputConfig(output="projected", packed=True),
        )
        encode_continuous(config)
        seconds = time.perf_counter() - began
        for sample in vtok.open_shards(str(output)):
            height, width = sample.meta["size"]["height"], sample.meta["size"]["width"]
            plan = vtok.plan(width=width, height=height, scheme="llava-next")
            assert sample.array.shape[0] == plan.num_tokens
            print(
                f"{sample.meta['source']:<28} {width:>5}x{height:<5} {plan.grid} tiles "
                f"{plan.num_tokens:>5} tokens planned, stored {sample.array.shape}"
            )
        print(f"{seconds:.1f} s, decoding and writing included; the same by the command:")
        print("vtok encode-continuous IMAGES OUT --model FOLDER --output projected --packed")


if __name__ == "__main__":
    main()
