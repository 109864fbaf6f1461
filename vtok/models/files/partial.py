"""A model's checkpoint, in whichever format it is there.

In: where its files are. Out: its tensors, to be read by name. Of safetensors only the ranges are
read, or fetched, that are asked for; pickles have no ranges: of those, whole files whose tensors
are asked for. Knows no architecture.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from torch import Tensor

from vtok.errors import WeightsError
from vtok.models.files.folder import SAFETENSORS, WEIGHTS_NAME
from vtok.models.files.pickles import read_pickle
from vtok.models.files.safe_file import SafeFiles
from vtok.models.files.sources import MissingFileError, ModelSource, read_json
from vtok.models.files.tensors import FiledTensors, Tensors, places_of, rows_of

_INDEX = ".index.json"
_PICKLE, _PICKLE_NAME = ".bin", "pytorch_model.bin"


def open_weights(source: ModelSource) -> Tensors:
    """Return the checkpoint of a model, of one file or of those that its index names.

    Raises:
        WeightsError: there are neither safetensors nor pickles, or they are damaged.
    """
    index = read_json(source, WEIGHTS_NAME + _INDEX)
    if index is not None:
        return SafeFiles(places_of(index, source.where, SAFETENSORS), source.open, source.where)
    try:
        return SafeFiles(WEIGHTS_NAME, source.open, source.where)
    except MissingFileError:
        index = read_json(source, _PICKLE_NAME + _INDEX)
        if index is not None:
            return PickledFiles(places_of(index, source.where, _PICKLE), source)
        return PickledFiles(_PICKLE_NAME, source)


class PickledFiles(FiledTensors):
    """The tensors of a checkpoint as torch pickles them; nothing in the files is run.

    A file is in memory while its tensors are read.

    Args:
        files: The file's name; or of many files, tensor's name → the name of its file.
        source: Where they are.

    Raises:
        WeightsError: the one file is missing, damaged, or no checkpoint.
    """

    def __init__(self, files: str | Mapping[str, str], source: ModelSource) -> None:
        super().__init__()
        self._source = source
        self._held: dict[str, Tensor] | None = None
        if isinstance(files, str):
            self._held = self._state(files)  # names are nowhere else
            files = dict.fromkeys(self._held, files)
        self._files = files

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield these tensors, file by file, each in memory of its own.

        Raises:
            WeightsError: a file is missing or damaged, or the index is wrong.
        """
        wanted = sorted((self._files[name], name) for name in set(names))
        for file, members in groupby(wanted, key=lambda each: each[0]):
            state, self._held = self._held or self._state(file), None  # and let go of afterwards
            for _, name in members:
                tensor = self._among(state, name, file).contiguous().clone()
                self._digest.add(name, tensor)
                yield name, tensor

    def read_rows(self, name: str, rows: Iterable[int]) -> Tensor:
        """Return some rows (R, ...) of a tensor (K, ...), in the order asked for; not digested.

        Raises:
            WeightsError: there is no such row.
        """
        file = self._files[name]
        tensor = self._among(self._held or self._state(file), name, file)
        return rows_of(tensor, rows, name, self._source.where)

    def _state(self, file: str) -> dict[str, Tensor]:
        path = self._source.path(file)
        if path is None:
            raise WeightsError(
                f"{self._source.where}: there are no weights: no {WEIGHTS_NAME}, no {file}"
            )
        self.num_bytes_read += _num_bytes(path)
        held = read_pickle(path)
        state = held if isinstance(held, Mapping) else {}
        found = {n: t for n, t in state.items() if isinstance(n, str) and isinstance(t, Tensor)}
        if not found:
            raise WeightsError(f"{path}: it holds no tensors by name")
        return found

    def _among(self, state: Mapping[str, Tensor], name: str, file: str) -> Tensor:
        if name not in state:
            raise WeightsError(f"{self._source.where}: {file} has no {name}, and the index says so")
        return state[name]


def _num_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from error
