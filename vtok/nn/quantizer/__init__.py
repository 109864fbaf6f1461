"""Quantizers: small objects that share `quantize(latents) -> indices`, `lookup(indices) -> codes`.

Latents and codes have their channels last, (..., D); indices are int64. On codes, `quantize` is the
inverse of `lookup`.
"""

from vtok.nn.quantizer.binary import BinaryQuantizer, BitOrder
from vtok.nn.quantizer.composite import ProductQuantizer, ResidualQuantizer
from vtok.nn.quantizer.diffusion import Choice, ErrorDiffusion
from vtok.nn.quantizer.ema import EmaVectorQuantizer
from vtok.nn.quantizer.exact import Metric
from vtok.nn.quantizer.logits import LogitQuantizer
from vtok.nn.quantizer.multiscale import MultiScaleQuantizer
from vtok.nn.quantizer.nearest import CodeSearch, nearest_code
from vtok.nn.quantizer.protocol import Quantizer
from vtok.nn.quantizer.scalar import FiniteScalarQuantizer
from vtok.nn.quantizer.usage import CodeUsage, code_usage
from vtok.nn.quantizer.vector import VectorQuantizer, straight_through

__all__ = [
    "BinaryQuantizer",
    "BitOrder",
    "Choice",
    "CodeSearch",
    "CodeUsage",
    "EmaVectorQuantizer",
    "ErrorDiffusion",
    "FiniteScalarQuantizer",
    "LogitQuantizer",
    "Metric",
    "MultiScaleQuantizer",
    "ProductQuantizer",
    "Quantizer",
    "ResidualQuantizer",
    "VectorQuantizer",
    "code_usage",
    "nearest_code",
    "straight_through",
]
