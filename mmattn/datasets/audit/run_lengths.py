"""Run lengths of masks, read with the care that the C code of pycocotools does not take."""

import reprlib

# Digits of 5 bits: no image needs a length of more bits.
_MOST_DIGITS = 7


def run_lengths(counts: object) -> list[int]:
    """Read run lengths as COCO stores them: a list of numbers, or the compressed text.

    Returns:
        Lengths of the runs down the columns, of zeros and ones in turn.

    Raises:
        ValueError: If it is neither, or a length is negative.
    """
    if isinstance(counts, list) and all(_is_whole(length) for length in counts):
        lengths = [int(length) for length in counts]
    elif isinstance(counts, str):
        lengths = _decompress(counts)
    else:
        raise ValueError(f'run lengths {reprlib.repr(counts)}, expected whole numbers or a text')
    if any(length < 0 for length in lengths):
        raise ValueError(f'a run length of {reprlib.repr(min(lengths))}')
    return lengths


def _is_whole(length: object) -> bool:
    return type(length) is int or (type(length) is float and length.is_integer())


def _decompress(text: str) -> list[int]:
    """Read digits of 5 bits, the lowest first; from the fourth on, lengths are differences."""
    lengths: list[int] = []
    value = digits = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or digits == _MOST_DIGITS:
            raise ValueError(f'run lengths {reprlib.repr(text)} are no compressed ones')
        value |= (code & 31) << 5 * digits
        digits += 1
        if code & 32:
            continue
        if code & 16:
            value -= 1 << 5 * digits
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = digits = 0
    if digits:
        raise ValueError(f'run lengths {reprlib.repr(text)} end within a number')
    return lengths
