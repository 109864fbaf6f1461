"""The names that people type, and what is the same about them.

In: a name as somebody wrote it: `qwen2_5_vl`, `Qwen/Qwen2.5-VL-7B-Instruct`. Out: the spellings to
look up, from the whole name to the name without what tells only the size or tuning of a checkpoint.
Knows no scheme.
"""

import re
from collections.abc import Iterator

# Sizes (7b, 16e, a3b), dates, and words for a tuning or a format: they change no image's cut.
_VARIANT = re.compile(
    r"a?\d+(\.\d+)?[bm]|\d+e|\d{8}|latest|preview|instruct|chat|it|hf|base|awq|gptq|int4|fp8|gguf"
)


def normal(name: str) -> str:
    """Return a name without what people write one way and another: case, `.`, `-`, `_`, space."""
    return re.sub(r"[\s._:-]", "", name.lower())


def spellings(name: str) -> Iterator[str]:
    """Yield the normal spellings of a name, most literal first.

    An owner before a slash is dropped, then one by one the last words, while they are such that
    checkpoints of one model differ by.
    """
    words = re.split(r"[\s_:-]+", name.strip().lower().rpartition("/")[2])
    yield normal("".join(words))
    while len(words) > 1 and _VARIANT.fullmatch(words[-1]):
        words.pop()
        yield normal("".join(words))
