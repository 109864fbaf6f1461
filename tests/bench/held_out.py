"""Photographs that no training saw, as the benchmarks of what a model is worth take them."""

import argparse
from pathlib import Path

from vtok.io.sources import open_source
from vtok.training.photographs import Photographs, split_photographs

SAMPLES = Path(__file__).parents[2] / "sample_images"


def arguments(description: str) -> argparse.Namespace:
    """Return the folder, the model and how many photographs are held out."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--model", default="vtok-base")
    parser.add_argument("--holdout", type=int, default=100)
    return parser.parse_args()


def held_out(folder: str | None, holdout: int) -> Photographs:
    """Return the last photographs of a folder by name, or the sample images."""
    if folder is None:
        return Photographs(list(open_source(str(SAMPLES)).list()))
    return split_photographs(open_source(folder), holdout=holdout)[1]
