"""What fine-tuning on a handful of images gains: the images held out, before and after.

    python tests/bench/bench_finetune.py [FOLDER] [--steps 300]

Runs `vtok train-vq FOLDER OUT --from vtok-base` and prints PSNR and SSIM of the tenth of the images
that it holds out, with the shipped weights and with the new ones. Without a folder it draws 50
pages of text, which the shipped weights never saw.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vtok.io.sources import open_source
from vtok.models.registry import load_tokenizer
from vtok.pipelines.train_vq import TrainVqConfig, train_vq
from vtok.training.generated import text_page
from vtok.training.photographs import split_photographs
from vtok.training.run import Progress
from vtok.training.validation import validate

NUM_PAGES, PAGE_PX, HOLDOUT = 50, 256, 100


def draw_pages(folder: Path) -> None:
    """Write 50 pages of text as PNG files."""
    folder.mkdir()
    for number in range(NUM_PAGES):
        page = text_page(np.random.default_rng((2, number)), PAGE_PX)
        Image.fromarray(page).save(folder / f"page-{number:02d}.png")


def main() -> None:
    """Print the figures before and after."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.folder
        if folder is None:
            folder = str(Path(scratch) / "pages")
            draw_pages(Path(folder))
        learnt, held_out = split_photographs(open_source(folder), holdout=HOLDOUT)
        before = validate(load_tokenizer(), held_out, device=torch.device("cpu"))
        config = TrainVqConfig(
            images=folder,
            output=Path(scratch) / "out",
            preset="vtok-base-native",
            start="vtok-base",
            steps=chosen.steps,
            learning_rate=chosen.learning_rate,
            holdout=HOLDOUT,
        )
        report = train_vq(config, Progress())
    assert report is not None
    print(f"{chosen.steps} steps on {len(learnt)} images, judged by {len(held_out)} others")
    for name, figures in (("vtok-base", before), ("fine-tuned", report.figures)):
        print(f"  {name:10} {figures.psnr_db:.2f} dB, SSIM {figures.ssim:.4f}")


if __name__ == "__main__":
    main()
