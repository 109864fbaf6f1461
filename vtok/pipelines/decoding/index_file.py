"""A single `.npy` of indices as what decoding takes: of one image, or of a batch of them.

In: the file, which says nothing of its model, and the model that is said to have made it. Out: a
`Survey` as shards give it. Any integer dtype; every index is held against the codebook in the
dtype that it has, before it is anything else. Nothing in the file is ever executed.
"""

from pathlib import PurePosixPath
from typing import cast

from vtok.codeshape import CodeShape
from vtok.errors import InputError, ShardError
from vtok.io.files import sha256_bytes
from vtok.io.places import Place, open_place
from vtok.models.base import TokenizerSpec
from vtok.pipelines.decoding.survey import Survey, survey_samples
from vtok.shards.fields import WHOLE, IndexArray, check_indices
from vtok.shards.header import ModelRecord
from vtok.shards.keys import sample_key
from vtok.shards.npy import ANY_INTEGER_DTYPES, decode_npy
from vtok.shards.samples import Sample

SUFFIX = ".npy"
MAX_BYTES = 1 << 30
"""Of a file; it is held in memory."""
_DIGITS = 6


def is_index_file(text: str) -> bool:
    """Tell whether a path or URL is that of one array rather than of shards."""
    return text.lower().endswith(SUFFIX)


def survey_index_file(
    path: Place, spec: TokenizerSpec, model: ModelRecord, *, limit: int | None, ending: str
) -> Survey:
    """Read the file, and say what it will decode to.

    Args:
        path: Of the file.
        spec: The model's.
        model: The same, as plans keep it.
        limit: Most images; None for all.
        ending: Of the image files.

    Raises:
        InputError: there is no such file.
        ShardError: it holds no integers, indices outside the codebook, or of a shape that the
            model does not decode.
        WeightsError: the model does not decode at all.
    """
    try:
        with open_place(path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ShardError(f"{path} has more than {MAX_BYTES} bytes: part it into several files")
    where = str(path)
    array = decode_npy(data, dtypes=ANY_INTEGER_DTYPES, where=where, any_order=True)
    indices = cast(IndexArray, array)
    check_indices(indices, spec.codebook_size, where=where)
    images = _images(indices, spec.codes, where)
    try:
        spec.image_size(images[0].shape)
    except ShardError as error:
        raise ShardError(f"{where}: {error}") from error
    stem = PurePosixPath(path.name).stem
    is_batch = images.shape == indices.shape
    samples = [
        Sample(
            key=sample_key(number),
            meta={"source": f"{stem}-{number:0{_DIGITS}d}" if is_batch else stem},
            indices={WHOLE: image},
        )
        for number, image in enumerate(images[:limit])
    ]
    return survey_samples(samples, model, sha256_bytes(data), ending)


def _images(indices: IndexArray, codes: CodeShape, where: str) -> IndexArray:
    """Return the indices with a batch axis: they had one, or are of one image.

    Raises:
        ShardError: they are of no shape that the model gives.
    """
    problem = codes.problem(indices.shape)
    if problem is None:
        return indices[None]
    if indices.ndim > 1 and codes.problem(indices.shape[1:]) is None:
        return indices
    raise ShardError(f"{where}: {problem}, or a batch of these")
