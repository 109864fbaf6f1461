"""Everything that can go wrong, as a small tree with exit codes.

An error's message is one line that says what is wrong, where, and what to do about it.
`VtokError` ends a command with its `exit_code`; `SampleError` ends one sample only: it is
recorded with its `reason` and the job goes on.
"""

from typing import ClassVar


class VtokError(Exception):
    """An expected failure: shown as one line, without a traceback."""

    exit_code: ClassVar[int] = 1


class UsageError(VtokError):
    """The command, an option or an argument cannot be what it is."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A model, scheme or option value that does not exist; the message names the near ones."""


class InputError(VtokError):
    """The input is missing, unreadable, or holds no images."""

    exit_code = 3


class OutputError(VtokError):
    """The output cannot be written: no space, no permission, in use by another run."""

    exit_code = 3


class ShardError(VtokError):
    """A shard is damaged, hostile, or not one of ours."""

    exit_code = 3


class ManifestError(VtokError):
    """A plan, commit record or manifest is damaged or contradicts its shards."""

    exit_code = 3


class PlanMismatchError(ManifestError):
    """The output folder was begun with another plan; the message lists the differences."""


class UnreachableError(ShardError, ManifestError):
    """A shard or record cannot be read just now, which says nothing about what it holds."""


class WeightsError(VtokError):
    """Weights are missing, damaged, unsafe, or of another architecture."""

    exit_code = 4


class DeviceError(VtokError):
    """The device asked for does not exist or cannot run the model."""

    exit_code = 5


class TooManyFailuresError(VtokError):
    """More samples failed than `--max-failure-rate` (or `--on-error fail`) allows."""

    exit_code = 6


class FinishedWithFailuresError(TooManyFailuresError):
    """The run is finished, all that could be written is there, and too many samples failed."""

    exit_code = 7


class UnfinishedError(VtokError):
    """What is there is whole, but the run has not come to its end: the same command resumes."""

    exit_code = 8


class SampleError(VtokError):
    """One image or sample cannot be processed; `reason` is a stable code for counting."""

    exit_code = 3
    reason: ClassVar[str] = "sample"


class UnreadableImageError(SampleError):
    """The bytes could not be fetched from where they are said to be."""

    reason = "unreadable"


class UnknownFormatError(SampleError):
    """The bytes are not an image of an allowed format (or there are none)."""

    reason = "not-an-image"


class CorruptImageError(SampleError):
    """The image starts well but cannot be decoded whole."""

    reason = "corrupt"


class ImageTooLargeError(SampleError):
    """Decoding would need more pixels, a longer side or more memory than the limits allow."""

    reason = "too-large"


class DecodeTimeoutError(SampleError):
    """Decoding took longer than the limit for one image."""

    reason = "timeout"


class DecoderCrashError(SampleError):
    """The decoder's process died on this image."""

    reason = "crash"


class DegenerateSizeError(SampleError):
    """A size that the resolution scheme cannot cut (the reference implementation fails too)."""

    reason = "degenerate-size"


class NonFiniteError(SampleError):
    """A latent or feature is NaN or infinite."""

    reason = "non-finite"


class FeatureOverflowError(NonFiniteError):
    """A feature is finite, but too large for the dtype it is to be stored in."""

    reason = "overflow"
