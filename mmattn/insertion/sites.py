"""Sites: where in a host attention is put, as a config names it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from mmattn.errors import InputError
from mmattn.insertion.inserted_attention import is_inserted
from mmattn.layers.blend import Start

Place = Literal['after', 'before', 'instead_of']
PLACES: tuple[Place, ...] = ('after', 'before', 'instead_of')
OPTIONS = ('attention', 'levels', 'start', 'shared')


@dataclass(frozen=True)
class Site:
    """One entry of ``sites``.

    Args:
        place: On which side of the module, or in its place.
        pattern: Regular expression, matched in full against the names of the modules.
        attention: Config of the attention module, without its channels.
        levels: Which items of a tuple, list, dict or data class; None for all maps.
        start: ``'identity'`` or ``'paper'``.
        shared: Whether all positions and levels share one module.
    """

    place: Place
    pattern: str
    attention: dict
    levels: list[int | str] | None
    start: Start
    shared: bool

    def __str__(self) -> str:
        return f"site {self.place}='{self.pattern}'"

    def match(self, names: Iterable[str]) -> list[str]:
        """List the names that match.

        Raises:
            InputError: If none does; it tells the nearest ones.
        """
        names = [name for name in names if not is_inserted(name)]
        found = [name for name in names if re.fullmatch(self.pattern, name)]
        if not found:
            raise InputError(
                f'{self} matches no module of the host; {nearest(self.pattern, names)}'
            )
        return found


def read_sites(sites: Any, start: Start) -> list[Site]:
    """Check the sites of a config.

    Args:
        sites: Value of the option.
        start: Start of the sites that name none.

    Raises:
        InputError: If an entry is not as it should be.
    """
    if start not in ('identity', 'paper'):
        raise InputError(f"InsertAttention expected start 'identity' or 'paper', got {start!r}")
    if not isinstance(sites, list | tuple):
        raise InputError(f'InsertAttention expected sites as a list of dicts, got {sites!r}')
    return [_read(site, start) for site in sites]


def _read(site: Any, start: Start) -> Site:
    form = f'one of {", ".join(PLACES)} and attention, such as dict(after="layer4", attention=...)'
    if not isinstance(site, dict):
        raise InputError(f'InsertAttention expected each site as a dict with {form}, got {site!r}')
    places = [place for place in PLACES if place in site]
    for key in site:
        if key not in (*PLACES, *OPTIONS):
            close = get_close_matches(key, (*PLACES, *OPTIONS), n=1)
            hint = f'did you mean {close[0]}?' if close else f'a site has {form}'
            raise InputError(f'InsertAttention: site has the key {key!r}; {hint}')
    if len(places) != 1 or 'attention' not in site:
        raise InputError(f'InsertAttention expected each site with {form}, got {dict(site)}')
    levels = site.get('levels')
    read = Site(
        place=places[0],
        pattern=site[places[0]],
        attention=site['attention'],
        levels=levels,
        start=site.get('start', start),
        shared=site.get('shared', False),
    )
    try:
        re.compile(read.pattern)
    except (re.error, TypeError) as error:
        raise InputError(f'{read} is no regular expression ({error})') from error
    attention = read.attention
    if not isinstance(attention, dict) or 'type' not in attention or 'in_channels' in attention:
        raise InputError(
            f'{read} expected attention as a config with a type and without in_channels, which '
            f'the host tells; got {attention!r}'
        )
    if levels is not None and (not isinstance(levels, list | tuple) or not levels):
        raise InputError(f'{read} expected levels as a list of indices or keys, got {levels!r}')
    if read.start not in ('identity', 'paper'):
        raise InputError(f"{read} expected start 'identity' or 'paper', got {read.start!r}")
    return read


def nearest(pattern: str, names: Iterable[str]) -> str:
    """Tell which names come nearest to a pattern that matches none of them."""
    names = [name for name in names if name and not is_inserted(name)]
    below = [name for name in names if re.fullmatch(rf'(.*\.)?(?:{pattern})', name)]
    if below and pattern:
        return f'did you mean {_quote(below)}, with its prefix?'
    plain = re.sub(r'\\d[+*]?|\[\^?\\?(.)[^]]*\][+*]?', lambda m: m[1] or '0', pattern)
    plain = re.sub(r'\.[*+]|[()?^$|]', '', plain.replace('\\.', '.')).strip('.')
    close = get_close_matches(plain, names, n=3, cutoff=0)
    return f'the nearest names are {_quote(close)}'


def _quote(names: list[str]) -> str:
    return ', '.join(repr(name) for name in names[:3])
