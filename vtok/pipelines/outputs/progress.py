"""What a run tells about itself while it goes on; who listens is the caller's business."""

from typing import Protocol

from vtok.records import Failure


class Progress(Protocol):
    """A listener; every method is called from the run's own thread."""

    def begin(self, *, num_shards: int, num_images: int) -> None:
        """Hear what is left to do, shards that are committed not counted."""

    def note(self, message: str) -> None:
        """Hear a fact about the run, in one line."""

    def written(self) -> None:
        """Hear that one image is done."""

    def failed(self, failure: Failure) -> None:
        """Hear that one image failed."""

    def shard_done(self) -> None:
        """Hear that a shard is committed."""


class Silence:
    """A listener that does not listen."""

    def begin(self, *, num_shards: int, num_images: int) -> None:
        """Do nothing."""

    def note(self, message: str) -> None:
        """Do nothing."""

    def written(self) -> None:
        """Do nothing."""

    def failed(self, failure: Failure) -> None:
        """Do nothing."""

    def shard_done(self) -> None:
        """Do nothing."""
