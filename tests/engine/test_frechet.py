"""The Fréchet distance against mpmath's root of a matrix, and against what it must be."""

import mpmath
import numpy as np
import pytest

from vtok.engine.frechet import Distribution, frechet_distance


def distribution(values: np.ndarray, *, part: int = 7) -> Distribution:
    made = Distribution(values.shape[1])
    for start in range(0, len(values), part):
        made.add(values[start : start + part].astype(np.float32))
    return made


def samples(seed: int, count: int, dim: int, offset: float = 0) -> np.ndarray:
    source = np.random.default_rng(seed)
    mixing = source.normal(size=(dim, dim))
    return (source.normal(size=(count, dim)) @ mixing + offset).astype(np.float32)


def by_mpmath(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first.astype(np.float64), second.astype(np.float64)
    difference = first.mean(0) - second.mean(0)
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = mpmath.sqrtm(mpmath.matrix((one @ two).tolist()))
    trace = sum(float(mpmath.re(root[place, place])) for place in range(len(one)))
    return float(difference @ difference + np.trace(one + two) - 2 * trace)


@pytest.mark.parametrize(("count", "dim", "offset"), [(300, 5, 0), (90, 9, 3), (4000, 3, 1000)])
def test_it_is_what_a_root_of_a_matrix_gives(count: int, dim: int, offset: float) -> None:
    first, second = samples(0, count, dim, offset), samples(1, count + 13, dim, offset)
    found = frechet_distance(distribution(first), distribution(second))
    assert found == pytest.approx(by_mpmath(first, second), rel=1e-6)


def test_fewer_images_than_features_need_no_care() -> None:
    first, second = samples(0, 10, 64), samples(1, 12, 64)
    centred = [(x - x.mean(0)).astype(np.float64) / np.sqrt(len(x) - 1) for x in (first, second)]
    # The trace of the root is the nuclear norm of the product of the centred samples.
    nuclear = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    difference = first.mean(0) - second.mean(0)
    spread = sum(float(np.square(each).sum()) for each in centred)
    expected = float(difference @ difference) + spread - 2 * nuclear
    found = frechet_distance(distribution(first), distribution(second))
    assert found == pytest.approx(expected, rel=1e-4)


def test_one_distribution_is_at_no_distance_from_itself_and_a_shift_counts_squared() -> None:
    values = samples(0, 200, 6)
    assert frechet_distance(distribution(values), distribution(values[::-1])) < 1e-6
    shifted = frechet_distance(distribution(values), distribution(values + np.float32(2)))
    assert shifted == pytest.approx(6 * 4, rel=1e-4)


def test_few_and_many_samples_are_counted_alike() -> None:
    first, second = samples(0, 31, 32), samples(1, 400, 32)
    few, many = distribution(first), distribution(second)
    assert frechet_distance(few, many) == pytest.approx(frechet_distance(many, few), rel=1e-9)
    assert frechet_distance(few, many) == pytest.approx(by_eigenvalues(first, second), rel=1e-5)


def by_eigenvalues(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first.astype(np.float64), second.astype(np.float64)
    difference = first.mean(0) - second.mean(0)
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    roots = np.sqrt(np.linalg.eigvals(one @ two).astype(complex)).real
    return float(difference @ difference + np.trace(one + two) - 2 * roots.sum())


def test_one_sample_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="two samples"):
        frechet_distance(distribution(samples(0, 1, 3)), distribution(samples(0, 5, 3)))
