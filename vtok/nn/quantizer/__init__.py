"""Quantizers: small objects that share `quantize(latents) -> indices`, `lookup(indices) -> codes`.

Latents and codes have their channels last, (..., D); indices are int64. `lookup` is the inverse of
`quantize` on codes.
"""

from vtok.nn.quantizer.ema import EmaVectorQuantizer
from vtok.nn.quantizer.exact import Metric
from vtok.nn.quantizer.nearest import CodeSearch, nearest_code
from vtok.nn.quantizer.usage import CodeUsage, code_usage
from vtok.nn.quantizer.vector import VectorQuantizer, straight_through

__all__ = [
    "CodeSearch",
    "CodeUsage",
    "EmaVectorQuantizer",
    "Metric",
    "VectorQuantizer",
    "code_usage",
    "nearest_code",
    "straight_through",
]
