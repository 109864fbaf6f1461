"""Plans per second on one core, scheme by scheme: `python tests/bench/bench_resolution.py`.

Sizes are drawn once, before the clock starts, and are all different. The clock is the process's
own (seconds of one core), and the best of five passes counts: other work on the machine does not.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from vtok.errors import DegenerateSizeError
from vtok.records import Size
from vtok.resolution import Scheme, resolve, scheme_names

NEEDED_PER_S = 20_000


def photographs(count: int, seed: int = 7) -> list[Size]:
    """Sizes of photographs and screenshots: 200 to 6,000 px a side, ratios up to 3."""
    draw = random.Random(seed)
    sizes = []
    while len(sizes) < count:
        height, width = draw.randint(200, 6000), draw.randint(200, 6000)
        if max(height, width) <= 3 * min(height, width):
            sizes.append(Size(height=height, width=width))
    return sizes


def plans_per_s(scheme: Scheme, sizes: Sequence[Size], passes: int = 5) -> float:
    """Best rate of several passes over the sizes, token totals included."""
    best = 0.0
    for _ in range(passes):
        began = time.process_time()
        for size in sizes:
            try:
                _ = scheme.plan(size).num_tokens
            except DegenerateSizeError:
                continue
        best = max(best, len(sizes) / (time.process_time() - began))
    return best


@pytest.mark.bench
@pytest.mark.parametrize("name", scheme_names())
def test_plans_per_second(name: str, record_property: pytest.FixtureRequest) -> None:
    rate = plans_per_s(resolve(name), photographs(1000), passes=1)
    record_property("plans_per_s", round(rate))  # type: ignore[operator]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, default=10_000, help="how many different sizes")
    parser.add_argument("names", nargs="*", help="schemes (default: all)")
    arguments = parser.parse_args()
    sizes = photographs(arguments.sizes)
    rates = {}
    for name in arguments.names or scheme_names():
        rates[name] = plans_per_s(resolve(name), sizes)
        slow = "" if rates[name] >= NEEDED_PER_S else f"   below {NEEDED_PER_S:,}"
        sys.stdout.write(f"{name:26}{rates[name]:12,.0f} plans/s{slow}\n")
        sys.stdout.flush()
    slowest = min(rates, key=lambda name: rates[name])
    sys.stdout.write(f"slowest: {slowest} at {rates[slowest]:,.0f} plans/s on one core\n")


if __name__ == "__main__":
    main()
