"""How much may wait between the stages of a run, so that memory does not grow with what there is.

In: what a run may hold in all, or nothing. Out: the share of each queue. Images that were prepared
wait for a batch, views of rare shapes for others of their kind, tokens for the writer; each stage
stands still while what it feeds is full. What a model needs for itself is its batch's. Knows no
queue.
"""

from dataclasses import dataclass

MIN_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffers:
    """The most bytes that may wait; each queue may exceed its share by one image's.

    Where images suddenly become larger, prepared ones may exceed theirs by all that the decode
    workers had been given until then.

    Attributes:
        prepared: Pixels that wait for their batch.
        window: Pixels of shapes that wait for others of their shape. Decides which views share a
            batch, where shapes are many.
        unwritten: Tokens that wait for the writer.
    """

    prepared: int = 512 << 20
    window: int = 512 << 20
    unwritten: int = 64 << 20

    @classmethod
    def within(cls, num_bytes: int | None) -> "Buffers":
        """Return shares that are so many bytes together; the usual ones for None.

        Args:
            num_bytes: At least `MIN_BYTES`. Beyond the usual sum only what waits for its batch and
                for the writer may be more: the window stays, and with it all batches.
        """
        usual = cls()
        if num_bytes is None:
            return usual
        if num_bytes < usual.num_bytes:
            window = usual.window * num_bytes // usual.num_bytes
        else:
            window = usual.window
        rest = num_bytes - window
        unwritten = rest // 9  # as the usual shares are
        return cls(prepared=rest - unwritten, window=window, unwritten=unwritten)

    @property
    def num_bytes(self) -> int:
        """All together."""
        return self.prepared + self.window + self.unwritten
