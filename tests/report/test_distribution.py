import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vtok.report.distribution import Distribution


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=300))
def test_figures_are_numpys(values: list[int]) -> None:
    distribution = Distribution()
    for value in values:
        distribution.add(value)
    spread = distribution.spread()
    assert spread is not None
    assert spread.total == sum(values)
    assert spread.num_values == len(values)
    assert (spread.minimum, spread.maximum) == (min(values), max(values))
    assert spread.median == np.quantile(values, 0.5, method="inverted_cdf")
    assert spread.p95 == np.quantile(values, 0.95, method="inverted_cdf")
    assert distribution.num_above(5000) == sum(value > 5000 for value in values)


def test_nothing_has_no_figures() -> None:
    assert Distribution().spread() is None
