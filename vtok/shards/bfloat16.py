"""bfloat16 in numpy, which has no such dtype: the upper half of a float32, as two opaque bytes.

In: finite float32 arrays. Out: arrays of dtype `V2`, little-endian, and float32 again. The dtype
is the one that `numpy.save` gives an `ml_dtypes.bfloat16` array, and it is chosen for what it
refuses: numpy does not add or convert opaque bytes and torch does not take them, so that nobody
trains on bit patterns by mistake, as one would with uint16. `.view(ml_dtypes.bfloat16)`, or
`torch.from_numpy(a.view(numpy.uint16)).view(torch.bfloat16)`, says what they are without a copy.
Knows nothing of features or files.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

BFLOAT16 = np.dtype("V2")
INFINITY_BITS = 0x7F80
LARGEST = 3.3895313892515355e38
"""The largest finite bfloat16; float32 goes up to 3.4028e38."""


def to_bfloat16(array: npt.NDArray[np.float32]) -> npt.NDArray[np.void]:
    """Return the nearest bfloat16 of every number, of two as near the even one.

    Args:
        array: Any shape, without NaN. What rounds beyond the largest becomes infinite.

    Returns:
        The same shape, of dtype `V2`.
    """
    bits = np.ascontiguousarray(array).view(np.uint32)
    rounded = bits >> 16
    rounded &= 1
    rounded += 0x7FFF
    rounded += bits
    rounded >>= 16
    return rounded.astype("<u2").view(BFLOAT16).reshape(array.shape)


def from_bfloat16(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the float32 of every bfloat16 (dtype `V2`), which is exact."""
    wide = np.ascontiguousarray(array).view("<u2").astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32).reshape(array.shape)
