"""Every place in a model where attention can be inserted."""

import re
from dataclasses import dataclass

from torch import nn

from mmattn.errors import InputError
from mmattn.insertion.inserted_attention import is_inserted
from mmattn.insertion.maps import maps_of
from mmattn.insertion.sites import nearest
from mmattn.probe.dry_run import dry_run


@dataclass(frozen=True)
class PossibleSite:
    """A module whose output holds maps."""

    name: str
    type: str
    shapes: list[tuple[int, int, int, int]]
    """Shape (N, C, H, W) of each map."""

    calls: int
    """How often the module runs in one forward pass; its attention would run as often."""


def possible_sites(
    model: nn.Module, pattern: str = '.*', input_shape: tuple | list | None = None
) -> list[PossibleSite]:
    """List the modules that attention can be inserted after.

    Args:
        model: Model or part of one.
        pattern: Regular expression that the whole name has to match, as in a site.
        input_shape: As in :func:`mmattn.insertion.InsertAttention`.

    Returns:
        The modules in the order in which they run first.

    Raises:
        InputError: If the pattern is no regular expression, or no site has such a name.

    Example:
        >>> host = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten())
        >>> [site.name for site in possible_sites(host, input_shape=(3, 16, 16))]
        ['0']
    """
    try:
        matches = re.compile(pattern).fullmatch
    except re.error as error:
        raise InputError(f'pattern {pattern!r} is no regular expression ({error})') from error
    run = dry_run(model, input_shape)
    sites = []
    for name, record in run.records.items():
        maps = [] if is_inserted(name) else maps_of(record, 'after', model, run)
        shapes = [found.map_shape for found in maps if found.is_known]
        if shapes:
            kind = record.type.__name__
            sites.append(PossibleSite(name, kind, shapes, record.calls))
    found = [site for site in sites if matches(site.name)]
    if not found:
        close = nearest(pattern, [site.name for site in sites])
        raise InputError(f'pattern {pattern!r} matches no module that returns maps; {close}')
    return found
