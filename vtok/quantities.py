"""Numbers in words, as people read them: counts, lengths, shares.

Numbers in, short texts out. Knows nothing of what is counted.
"""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def counted(count: int, noun: str, several: str = "") -> str:
    """Return `1 image`, `2,000 images`, `0 images`.

    Args:
        count: How many there are.
        noun: What one is called.
        several: What any other number is called, where an s does not make it: `indices`.
    """
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def bytes_text(num_bytes: float) -> str:
    """Return a length in bytes with a decimal unit: `530 B`, `1.54 kB`, `20.1 GB`."""
    for unit in _UNITS[:-1]:
        if num_bytes < 999.5:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} {_UNITS[-1]}"


def share_text(part: int, whole: int) -> str:
    """Return a share in percent, never rounded to `0%` or `100%` when it is neither."""
    if whole == 0:
        return "-"
    if 0 < 1000 * part < whole:
        return "<0.1%"
    if 999 * whole < 1000 * part < 1000 * whole:
        return ">99.9%"
    return f"{100 * part / whole:.3g}%"
