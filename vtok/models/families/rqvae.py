"""RQ-VAE: taming's networks around a residual quantizer, as their authors' checkpoints hold them.

In: the tensors of a checkpoint. Out: the shape of a `ConvTokenizer` and its weights under this
package's names. Each codebook has a row more than codes, which stands for no code and is left out;
depths that share a codebook store it several times, and share it here too. Reads no files. Source:
Lee et al., arXiv 2203.01941, github.com/kakaobrain/rq-vae-transformer.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from vtok.errors import WeightsError
from vtok.models.families.convnet.reading import shape_from_tensors
from vtok.models.families.convnet.shape import ConvShape
from vtok.models.families.keymaps import TAMING

FAMILY = "rq-vae"
MARK = "quantizer.codebooks.0.weight"  # a name that it alone has

_CODEBOOK = re.compile(r"quantizer\.codebooks\.(\d+)\.weight")
_AVERAGES = re.compile(r"quantizer\.codebooks\.\d+\.(?:cluster_size_ema|embed_ema)")  # of training
_MAX_DEPTH = 64


def rqvae_model(state: Mapping[str, Tensor]) -> tuple[ConvShape, dict[str, Tensor]]:
    """Return the shape of a model, and its weights under this package's names.

    Args:
        state: The tensors under their authors' names.

    Raises:
        WeightsError: codebooks are missing, or of different sizes.
    """
    ours = TAMING.renamed({n: t for n, t in state.items() if not _AVERAGES.fullmatch(n)})
    codebooks = {int(found[1]): ours.pop(n) for n in [*ours] if (found := _CODEBOOK.fullmatch(n))}
    depth = len(codebooks)
    if not 1 <= depth <= _MAX_DEPTH or sorted(codebooks) != list(range(depth)):
        raise WeightsError(f"missing: one of the codebooks, of which there are {depth}")
    sizes = {tuple(each.shape) for each in codebooks.values()}
    rows, *rest = sizes.pop()
    if sizes or len(rest) != 1 or rows < 2:
        raise WeightsError("its codebooks are of different sizes, and one dtype is stored for all")
    codes = [codebooks[step][:-1] for step in range(depth)]  # the last row stands for no code
    shape = shape_from_tensors({**ours, "quantizer.codebook": codes[0]})
    narrow = ours.get("quant_conv.weight")
    if narrow is not None and narrow.shape[0] != shape.code_dim:
        raise WeightsError(
            f"codes of {shape.code_dim} numbers and latents of {narrow.shape[0]}: several cells "
            "share a code, which none of the published models has"
        )
    shares = all(torch.equal(each, codes[0]) for each in codes[1:])
    weights = ours | {f"quantizer.steps.{step}.codebook": each for step, each in enumerate(codes)}
    return replace(shape, depth=depth, shares_codebook=shares), weights
