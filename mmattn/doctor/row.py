"""One line of the doctor's table."""

from dataclasses import dataclass, replace
from typing import Literal

State = Literal['broken', 'warning', 'fine', 'absent', 'not known']


@dataclass(frozen=True)
class Row:
    """What is known of one thing, and the first that is wrong with it.

    Args:
        name: What it is, the same in every report.
        state: ``'broken'``: something that is installed cannot be used, or says so of itself.
            ``'warning'``: it can, and will surprise. ``'absent'``: not there, and not needed by
            everybody.
        version: Its version or size.
        where: Its folder, or what else it was found in.
        remark: What is wrong with it, or what it is needed for.
        remedy: A command that puts it right.
    """

    name: str
    state: State
    version: str | None = None
    where: str | None = None
    remark: str | None = None
    remedy: str | None = None

    def broken(self, remark: str, remedy: str) -> 'Row':
        """Give the row with what is wrong."""
        return replace(self, state='broken', remark=remark, remedy=remedy)

    def warning(self, remark: str, remedy: str | None = None) -> 'Row':
        """Give the row with what will surprise."""
        return replace(self, state='warning', remark=remark, remedy=remedy)

    def not_known(self, remark: str) -> 'Row':
        """Give the row of something that could not be looked at."""
        return replace(self, state='not known', remark=remark)
