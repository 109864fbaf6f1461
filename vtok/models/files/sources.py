"""Where the files of a model are: a folder, or a repository of a hub.

In: a folder or a hub id. Out: small files as JSON or as paths, and weights files that can be
sought: of a repository, only the ranges that are read are fetched, unless the file is here already.
Knows nothing of what is in them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from huggingface_hub import HfFileSystem, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
)

from vtok.errors import WeightsError
from vtok.models.files.hub import unfetched

_MAX_JSON_BYTES = 64 << 20


class MissingFileError(WeightsError):
    """A model has no such file."""


class ModelSource(Protocol):
    """The files of one model.

    Attributes:
        where: The folder or the hub id, for messages.
    """

    where: str

    def path(self, name: str) -> Path | None:
        """Return where a small file is on this machine, fetched if need be; None if there is none.

        Raises:
            WeightsError: it cannot be fetched.
        """

    def open(self, name: str) -> BinaryIO:
        """Return a weights file, opened to read at any position.

        Raises:
            MissingFileError: there is none.
            WeightsError: it cannot be opened.
        """


class FolderSource:
    """A folder.

    Args:
        folder: Its path.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.where = str(folder)

    def path(self, name: str) -> Path | None:
        """Return the file's path, None if there is none."""
        path = self._folder / name
        return path if path.is_file() else None

    def open(self, name: str) -> BinaryIO:
        """Return the file.

        Raises:
            MissingFileError: there is none.
            WeightsError: it is unreadable.
        """
        try:
            return (self._folder / name).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise MissingFileError(f"{self._folder / name}: {error.strerror}") from error
        except OSError as error:
            raise WeightsError(f"{self._folder / name}: {error.strerror}") from error


class HubSource:
    """A repository of the hub.

    Args:
        hub_id: Its name: owner/name.
    """

    def __init__(self, hub_id: str) -> None:
        self.where = hub_id
        self._paths: dict[str, Path | None] = {}  # the hub is asked once for each

    def path(self, name: str) -> Path | None:
        """Return the local copy of a small file, fetched if need be; None if there is none.

        Raises:
            WeightsError: the hub cannot be reached, or has no such repository.
        """
        if name not in self._paths:
            self._paths[name] = self._fetched(name)
        return self._paths[name]

    def open(self, name: str) -> BinaryIO:
        """Return a weights file: the local copy, else the remote one, of which ranges are fetched.

        Raises:
            MissingFileError: the repository has none.
            WeightsError: the hub cannot be reached.
        """
        cached = try_to_load_from_cache(self.where, name)
        try:
            if isinstance(cached, str):
                return Path(cached).open("rb", buffering=0)
            stream = HfFileSystem().open(f"{self.where}/{name}", "rb")
        except LocalEntryNotFoundError as error:
            raise unfetched(self.where, error) from error
        except (EntryNotFoundError, FileNotFoundError) as error:
            raise MissingFileError(f"{self.where}: there is no {name}") from error
        except (HfHubHTTPError, OSError) as error:
            raise unfetched(self.where, error) from error
        return cast(BinaryIO, stream)

    def _fetched(self, name: str) -> Path | None:
        try:
            return Path(hf_hub_download(self.where, name))
        except LocalEntryNotFoundError as error:
            raise unfetched(self.where, error) from error
        except EntryNotFoundError:
            return None
        except (HfHubHTTPError, OSError) as error:
            raise unfetched(self.where, error) from error


def read_json(source: ModelSource, name: str) -> Mapping[str, Any] | None:
    """Return the content of a JSON file, None if there is none.

    Raises:
        WeightsError: it is not a mapping in JSON.
    """
    path = source.path(name)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_JSON_BYTES + 1)
        value = json.loads(text) if len(text) <= _MAX_JSON_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{source.where}: {name} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{source.where}: {name} is not a mapping of names")
    return value
