"""A full-size VQGAN (f16, 16,384 codes) with random weights, through the commands and back.

Prints parameters, images a second of encode-vq and decode-vq with their start, and peak memory.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from random_models import save_vqgan
from safetensors.torch import load_file

SAMPLES = Path(__file__).parents[2] / "sample_images"
NUM_IMAGES = 2


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_vqgan(folder / "model")
        state = load_file(folder / "model" / "model.safetensors")
        total = sum(each.numel() for each in state.values())
        print(f"{total / 1e6:.1f} M parameters and codes, {NUM_IMAGES} images of 256x256")
        model = ["--model", str(folder / "model"), "--size", "256"]
        encode = ["encode-vq", str(SAMPLES), str(folder / "shards"), *model]
        run([*encode, "--limit", str(NUM_IMAGES)])
        run(["decode-vq", str(folder / "shards"), str(folder / "images")])


def run(arguments: list[str]) -> None:
    """Run a command; print its speed, start included, and its peak memory."""
    program = "from vtok.cli.app import main; main()"
    started = time.perf_counter()
    command = [sys.executable, "-c", program, *arguments, "--workers", "1", "--quiet"]
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(
        f"{arguments[0]}: {NUM_IMAGES / seconds:.2f} images/s with its start, "
        f"largest process so far {peak:.2f} GB"
    )


if __name__ == "__main__":
    main()
