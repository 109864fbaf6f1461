"""When a run has failed too often."""

import pytest

from vtok.errors import TooManyFailuresError
from vtok.pipelines.running.failure_budget import FailureBudget
from vtok.records import Failure

FAILURE = Failure(key="k", source="a.png", stage="decode", reason="corrupt", message="cut short")


def test_the_first_failure_ends_a_strict_run() -> None:
    with pytest.raises(TooManyFailuresError, match=r"a\.png: cut short \(corrupt\)"):
        FailureBudget("fail", 1.0).failed(FAILURE)


def test_the_rate_counts_from_the_thousandth_image() -> None:
    budget = FailureBudget("skip", 0.1)
    for _ in range(200):
        budget.failed(FAILURE)
    budget.succeeded(799)
    with pytest.raises(TooManyFailuresError, match=r"201 of 1,000 images"):
        budget.failed(FAILURE)


def test_exactly_the_rate_is_not_too_much() -> None:
    budget = FailureBudget("skip", 0.1)
    budget.succeeded(900)
    for _ in range(100):
        budget.failed(FAILURE)
    assert budget.verdict() is None


def test_the_rate_is_looked_at_once_more_in_the_end() -> None:
    budget = FailureBudget("skip", 0.1)
    for _ in range(200):
        budget.failed(FAILURE)
    budget.succeeded(900)
    assert "200 of 1,100 images failed, more than --max-failure-rate 0.1" in str(budget.verdict())


def test_a_small_run_fails_only_if_all_images_did() -> None:
    budget = FailureBudget("skip", None)
    budget.failed(FAILURE)
    budget.succeeded()
    assert budget.verdict() is None
    alone = FailureBudget("skip", 1.0)
    alone.failed(FAILURE)
    assert "the only image failed" in str(alone.verdict())


def test_a_small_run_is_held_to_a_rate_that_was_asked_for() -> None:
    budget = FailureBudget("skip", 0.4)
    budget.failed(FAILURE)
    budget.succeeded()
    assert "1 of 2 images failed, more than --max-failure-rate 0.4" in str(budget.verdict())
