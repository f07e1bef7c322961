"""All rows of the benchmark, and those that a user names."""

import difflib
import fnmatch

from mmattn.benchmark import loaders, networks, peers
from mmattn.benchmark.cases import Row
from mmattn.errors import InputError

ROWS = [*peers.ROWS, *networks.ROWS, *loaders.ROWS]
GROUPS = list(dict.fromkeys(row.group for row in ROWS))


def find_rows(words: list[str]) -> list[Row]:
    """Find the rows that are named.

    Args:
        words: Groups, names or ``group/name``; ``*`` stands for anything. Upper and lower case do
            not matter.

    Returns:
        The rows, each once, in the order of the benchmark.

    Raises:
        InputError: If a word names none.
    """
    found: set[str] = set()
    names = {f'{row.group}/{row.name}': row for row in ROWS}
    for word in words:
        pattern = word.lower()
        matches = {
            whole
            for whole, row in names.items()
            if any(
                fnmatch.fnmatchcase(name.lower(), pattern) for name in (row.group, row.name, whole)
            )
        }
        if not matches:
            known = [*GROUPS, *(row.name for row in ROWS)]
            near = difflib.get_close_matches(word, known, n=1, cutoff=0.4)
            hint = f'did you mean {near[0]!r}? ' if near else ''
            raise InputError(
                f'{word!r} is no row of the benchmark; {hint}there are {", ".join(GROUPS)}'
            )
        found |= matches
    return [row for whole, row in names.items() if whole in found]
