"""An upsampling module in place of one that a host enlarges its maps by."""

import inspect

from mmengine.registry import MODELS

from mmattn.errors import InputError
from mmattn.insertion.sites import Site
from mmattn.layers.blend import Start
from mmattn.probe.dry_run import Record
from mmattn.probe.structures import describe
from mmattn.upsampling.base import Upsampling


def upsampling_of(cfg: dict) -> type[Upsampling] | None:
    """Give the class of a config that is an upsampling module's, else None."""
    kind = cfg['type']
    if isinstance(kind, str):
        with MODELS.switch_scope_and_registry(cfg.get('_scope_')) as registry:
            kind = registry.get(kind)
    return kind if inspect.isclass(kind) and issubclass(kind, Upsampling) else None


def factor_of(site: Site, name: str, record: Record) -> int:
    """Tell how many times larger a module of the host makes its map.

    Raises:
        InputError: If the site is not in its place, or it does not take one map and return it a
            whole number of times larger.
    """
    if site.place != 'instead_of':
        raise InputError(
            f'{site}: {site.attention["type"]} enlarges its map; expected it instead_of a module '
            f'that does, such as an nn.Upsample, not {site.place} one'
        )
    taken: tuple = getattr(record.args[0] if record.args else None, 'shape', ())
    given: tuple = getattr(record.output, 'shape', ())
    alone = name and len(record.args) == 1 and not record.kwargs
    if alone and len(taken) == len(given) == 4 and taken[:2] == given[:2]:
        factor = given[2] // taken[2]
        if factor >= 1 and given[2:] == (taken[2] * factor, taken[3] * factor):
            return factor
    raise InputError(
        f'{site}: {name or "the host"!r} maps {describe(record.args)} to '
        f'{describe(record.output)}; expected one map in, and out one of the same channels, a '
        'whole number of times as high and as wide'
    )


def build_upsampling(
    kind: type[Upsampling], cfg: dict, in_channels: int, factor: int, start: Start
) -> tuple[str, Upsampling]:
    """Build an upsampling module for a map of a host.

    Args:
        kind: Its class.
        cfg: Its config, without channels.
        in_channels: Channels of the map.
        factor: How many times larger the host makes it.
        start: For a class that can start in several ways.

    Returns:
        Its name in the host, and the module.

    Raises:
        InputError: If the config asks for another factor.
    """
    if cfg.get('scale_factor', factor) != factor:
        raise InputError(
            f'expected scale_factor {factor}, by which the host enlarges there, '
            f'got {cfg["scale_factor"]}'
        )
    given = {**cfg, 'in_channels': in_channels, 'scale_factor': factor}
    if 'start' in inspect.signature(kind).parameters:
        given.setdefault('start', start)
    return kind.__name__.lower(), MODELS.build(given)
