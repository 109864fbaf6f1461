"""A tokenizer whose indices are those of one quantizer, by default asked cell by cell.

In: latents and indices with their channels where models keep them, (B, D, h, w). Out: what the
quantizer, whose channels are last, says of them. Knows nothing of networks or of files.

Dimension letters: B batch, D channels of a latent or code, h w cells, G indices of one cell.
"""

from torch import Tensor

from vtok.models.base import Tokenizer
from vtok.nn.quantizer import Quantizer


class QuantizedTokenizer(Tokenizer):
    """A tokenizer that leaves `quantize` and `lookup` to its quantizer.

    Attributes:
        quantizer: Of latents as `encode` gives them and of codes as `decode` takes them.
    """

    quantizer: Quantizer

    def quantize(self, latents: Tensor) -> Tensor:
        """Return the nearest indices of latents (B, D, h, w); ties to the smaller one.

        (B, h, w), or (B, h, w, G) where each cell has several. Latents of a sequence that is no
        grid are (B, D, 1, L), its indices (B, 1, L).

        Raises:
            NonFiniteError: a latent is NaN or infinite.
        """
        return self.quantizer.quantize(latents.movedim(1, -1))

    def lookup(self, indices: Tensor) -> Tensor:
        """Return codes (B, D, h, w) at indices as `quantize` gives them.

        Raises:
            ShardError: an index is outside the codebook.
        """
        return self.quantizer.lookup(indices).movedim(-1, 1)
