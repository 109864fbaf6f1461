"""A refusal to go on with another plan, with the inputs named that have changed since.

In: the record that an earlier call left, and the inputs of this one. Out: a message that says which
files are new, gone, longer, shorter or younger. Knows nothing of what else a plan holds.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from vtok.errors import PlanMismatchError
from vtok.io.places import Place
from vtok.pipelines.inputs.items import Inputs
from vtok.pipelines.inputs.record import InputLine, describe_change, recorded_inputs


@contextmanager
def naming_changed_inputs(folder: Place, inputs: Inputs) -> Iterator[None]:
    """Let a refusal of another plan name the inputs that have changed, where some have.

    Raises:
        PlanMismatchError: as the block does, with more to say.
    """
    try:
        yield
    except PlanMismatchError as error:
        lines = [InputLine.of(item) for item in inputs.items]
        change = describe_change(recorded_inputs(folder), lines)
        if not change:
            raise
        raise PlanMismatchError(f"{error}. Of the inputs: {change}") from error
