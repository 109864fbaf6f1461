"""The regression behind error diffusion: what is known is found again."""

import torch
from torch.nn import functional

from vtok.nn.quantizer.diffusion import NEIGHBOURS, neighbours_errors
from vtok.training.error_filter import ErrorFilterFit
from vtok.training.processes import Processes

DIM = 3


def fit(*, decay: float = 0.5, damping: float = 1.0) -> ErrorFilterFit:
    return ErrorFilterFit(DIM, decay=decay, damping=damping, device=torch.device("cpu"))


def test_the_maps_of_a_known_form_are_found() -> None:
    torch.manual_seed(0)
    own = torch.eye(DIM) + 0.2 * torch.randn(DIM, DIM)
    others = 0.1 * torch.randn(len(NEIGHBOURS) * DIM, DIM)
    fitted, damped = fit(), fit(damping=0.7)
    for _ in range(4):
        errors = torch.randn(6, 20, 30, DIM)
        padded = functional.pad(errors, (0, 0, 1, 1, 1, 1))
        gradient = errors @ own + neighbours_errors(padded, (0, 0), (20, 30)) @ others
        for each in (fitted, damped):
            each.add(errors, 1e-4 * gradient, Processes())  # of whatever size the loss makes it
    expected = others @ own.inverse()
    torch.testing.assert_close(fitted.error_filter(), expected, rtol=0, atol=3e-3)
    torch.testing.assert_close(damped.error_filter(), 0.7 * expected, rtol=0, atol=3e-3)


def test_older_steps_fade() -> None:
    torch.manual_seed(0)
    fitted = fit(decay=0.1)
    for sign in (1.0, -1.0, -1.0, -1.0):
        errors = torch.randn(4, 16, 16, DIM)
        padded = functional.pad(errors, (0, 0, 1, 1, 1, 1))
        right = neighbours_errors(padded, (0, 0), (16, 16))[..., 4 * DIM : 5 * DIM]
        fitted.add(errors, errors + sign * 0.2 * right, Processes())
    found = fitted.error_filter()[4 * DIM : 5 * DIM]
    torch.testing.assert_close(found, -0.2 * torch.eye(DIM), rtol=0, atol=0.02)


def test_without_errors_there_is_no_filter() -> None:
    fitted = fit()
    assert not fitted.error_filter().any()
    fitted.add(torch.zeros(2, 4, 4, DIM), torch.zeros(2, 4, 4, DIM), Processes())
    assert not fitted.error_filter().any()


def test_the_filter_of_a_trained_model_is_replaced_by_and_by() -> None:
    torch.manual_seed(0)
    start = torch.randn(len(NEIGHBOURS) * DIM, DIM)
    given = ErrorFilterFit(
        DIM, decay=0.9, damping=1.0, device=torch.device("cpu"), start=start.clone()
    )
    fresh = fit(decay=0.9)
    steps = [(torch.randn(2, 8, 8, DIM), torch.randn(2, 8, 8, DIM)) for _ in range(60)]
    distances = []
    for errors, gradient in steps:
        given.add(errors, gradient, Processes())
        fresh.add(errors, gradient, Processes())
        distances.append(float((given.error_filter() - fresh.error_filter()).norm()))
    first = 0.1 * fit_of(steps[0]) + 0.9 * start
    begun = ErrorFilterFit(DIM, decay=0.9, damping=1.0, device=torch.device("cpu"), start=start)
    begun.add(*steps[0], Processes())
    torch.testing.assert_close(begun.error_filter(), first, rtol=0, atol=1e-5)
    assert distances[-1] < 0.01 * distances[0]


def fit_of(step: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    alone = fit(decay=0.9)
    alone.add(*step, Processes())
    return alone.error_filter()


def test_a_fit_goes_on_from_its_state() -> None:
    torch.manual_seed(0)
    whole = fit()
    steps = [(torch.randn(2, 8, 8, DIM), torch.randn(2, 8, 8, DIM)) for _ in range(3)]
    for errors, gradient in steps:
        whole.add(errors, gradient, Processes())
    begun, resumed = fit(), fit()
    begun.add(*steps[0], Processes())
    resumed.load_state(begun.state())
    for errors, gradient in steps[1:]:
        resumed.add(errors, gradient, Processes())
    assert torch.equal(resumed.error_filter(), whole.error_filter())
