"""How mobile networks round the channels of a widened or narrowed stage."""


def make_divisible(value: float, divisor: int) -> int:
    """Round to a multiple of ``divisor`` that is at least 90% of ``value``."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
