"""The filter of error diffusion, learnt beside the weights: a regression, step after step.

In: a step's code errors, and the gradient of each crop's squared error at its codes. Out: the
filter that `vtok.nn.quantizer.diffusion` chooses codes with. Knows nothing of losses or models.

Near the latents a crop's squared error is a quadratic form of its code errors e, so the gradient at
a cell is linear in the errors around it: g = e A0 + sum of e_n An over the neighbours n. Fitted by
least squares, the best code of the cell is the nearest to its latent plus sum of e_n An inv(A0),
as far as distances by A0 are those that the search knows, Euclidean ones.

Dimension letters: B crops, h w cells, D code channels.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vtok.nn.quantizer.diffusion import NEIGHBOURS, neighbours_errors
from vtok.training.processes import Processes

_RIDGE = 1e-3  # of the errors' mean square: what a few cells say for certain is not believed


class ErrorFilterFit:
    """Sums of the regression, in which older steps fade.

    Args:
        code_dim: Length of one code (D).
        decay: Weight of the past, in [0, 1).
        damping: Share of the fitted filter that is used: the form is quadratic only nearby.
        device: Where the sums are.
        start: The filter of a trained model, (8 D, D), which new steps replace by and by; None, or
            zero, where there is none.
    """

    def __init__(
        self,
        code_dim: int,
        *,
        decay: float,
        damping: float,
        device: torch.device,
        start: Tensor | None = None,
    ) -> None:
        num_inputs = (1 + len(NEIGHBOURS)) * code_dim
        self._code_dim = code_dim
        self._decay = decay
        self._damping = damping
        self._squares = torch.zeros(num_inputs, num_inputs, dtype=torch.float64, device=device)
        self._products = torch.zeros(num_inputs, code_dim, dtype=torch.float64, device=device)
        self._start: Tensor | None = None
        if start is not None and start.any():
            self._start = start.to(device, torch.float64)
        self._past = 1.0  # weight that is left of the time before the first step

    def add(self, errors: Tensor, gradient: Tensor, processes: Processes) -> None:
        """Take a step's cells.

        Args:
            errors: (B, h, w, D), latents minus their codes.
            gradient: (B, h, w, D), of the crops' squared errors by their codes, up to one factor.
            processes: Those that share the run.
        """
        padded = functional.pad(errors.double(), (0, 0, 1, 1, 1, 1))
        around = neighbours_errors(padded, (0, 0), errors.shape[1:3])
        inputs = torch.cat((errors.double(), around), dim=-1).flatten(0, 2)
        squares = inputs.T @ inputs / len(inputs)
        products = inputs.T @ gradient.double().flatten(0, 2) / len(inputs)
        processes.average([squares, products])
        self._squares.lerp_(squares, 1 - self._decay)
        self._products.lerp_(products, 1 - self._decay)
        self._past *= self._decay

    def error_filter(self) -> Tensor:
        """Return the filter (8 D, D) fp32 of `ErrorDiffusion`; zero where none can be found."""
        level = self._squares.diagonal().mean()
        ridge = _RIDGE * level * torch.eye(len(self._squares)).to(self._squares)
        maps, _ = torch.linalg.solve_ex(self._squares + ridge, self._products)
        own, others = maps[: self._code_dim], maps[self._code_dim :]
        fitted, _ = torch.linalg.solve_ex(own, others, left=False)
        # No error at all, or a gradient that does not depend on a cell's own code.
        fitted = fitted.where(fitted.isfinite().all(), 0)
        damped: Tensor = self._damping * fitted
        if self._start is not None:
            damped = torch.lerp(damped, self._start, self._past)
        return damped.float()

    def state(self) -> dict[str, Tensor | float | None]:
        """Return what a checkpoint has to keep."""
        return {
            "squares": self._squares,
            "products": self._products,
            "start": self._start,
            "past": self._past,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from the state of a checkpoint."""
        self._squares.copy_(state["squares"])
        self._products.copy_(state["products"])
        self._start, self._past = state["start"], state["past"]
