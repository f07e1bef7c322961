"""Put attention into a model that was written without it."""

from typing import Any, cast

import torch
from mmengine.config import ConfigDict
from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import nn

from mmattn.attention.base import Attention
from mmattn.attention.foreign import build_attention
from mmattn.errors import InputError
from mmattn.insertion.enlarging import build_upsampling, factor_of, upsampling_of
from mmattn.insertion.exchange import Host, RecordsGrid, Replaced, attach, exchange_class
from mmattn.insertion.inserted_attention import AFTER, BEFORE, InsertedAttention
from mmattn.insertion.maps import Map, has_maps, maps_of, shapes_at, value_at
from mmattn.insertion.sites import Site, nearest, read_sites
from mmattn.insertion.table import Row, table
from mmattn.layers.blend import Start
from mmattn.probe.dry_run import DryRun, Record, dry_run
from mmattn.probe.structures import children, describe
from mmattn.upsampling.base import Upsampling


@MODELS.register_module()
def InsertAttention(
    host: dict | nn.Module,
    sites: list[dict],
    *,
    start: Start = 'identity',
    freeze_host: bool = False,
    freeze_with_host: bool = False,
    input_shape: tuple | list | None = None,
    **host_options,
) -> nn.Module:
    """Build a model or a part of one, and insert attention into it.

    Channels are learnt from one forward pass of a copy. No key of the host changes: what is
    inserted after ``layer1.0.conv2`` lies below ``layer1.0.conv2.inserted_attention``, what is
    inserted before it below ``layer1.0.conv2.inserted_attention_before``. The inserted modules
    train as long as the host as a whole does, even where ``norm_eval``, ``frozen_stages``,
    ``requires_grad = False`` or ``eval()`` freeze the part around them.

    Args:
        host: Config of a model, backbone, neck or head of any package, or the module itself.
        sites: Where to insert what; see the note.
        start: ``'identity'`` leaves the output of the host at first as it is, bit for bit;
            ``'paper'`` starts as published, for training from scratch.
        freeze_host: Whether the host keeps its weights and statistics, in evaluation mode, and only
            what is inserted trains.
        freeze_with_host: Whether what freezes a part of the host freezes what is inserted there.
        input_shape: Shape (C, H, W) of the input of the host, or a list of them for several maps,
            where it cannot be guessed.
        host_options: What the model around adds to the config of its part; goes into ``host``,
            but None does not replace what is there: stock scripts set what they do not see.

    Note:
        A site is a dict with

        - one of ``after``, ``before``, ``instead_of``: a regular expression that has to match the
          whole name of a module (as in ``named_modules()``); the empty string is the host itself.
          ``after`` acts on what the module returns, ``before`` on its first argument, one module
          per map. ``instead_of`` takes the module out, together with its keys; under
          ``start='identity'`` the host at first computes as if nothing stood there.
          An upsampling module takes the place of one that enlarges: an ``nn.Upsample``, or mmcv's
          ``deconv`` and ``carafe``. Its factor is that of the host, and ``start='identity'`` lets
          ``DySample`` start as bilinear interpolation.
        - ``attention``: config of any attention module of mmattn, mmcv or timm
          (``TimmAttention``), or of whoever registers one, or of an upsampling module; without its
          channels.
        - ``levels`` (optional): which items of a tuple, list, dict or data class; else all maps.
        - ``start`` (optional): for this site.
        - ``shared`` (optional): one module for all positions and levels of the site.

        A map is (N, C, H, W), (N, H, W, C), or tokens (N, L, C) whose height and width the module
        takes or returns, another module returned before, or that fill a square.

    Returns:
        The host. Its class is exchanged for one of the same name that trains, initializes and
        loads what was inserted.

    Raises:
        InputError: If a site matches no module, one that never runs or that another site matches,
            or one that neither takes nor returns a map; if nothing is left that trains.

    Example:
        >>> from torch import nn
        >>> host = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 1))
        >>> site = dict(after='0', attention=dict(type='CoordAtt'))
        >>> model = InsertAttention(host, [site], input_shape=(3, 32, 32))
        >>> [key for key in model.state_dict() if key.endswith('blend')]
        ['0.inserted_attention.coord_att.blend']
    """
    wanted = read_sites(sites, start)
    if freeze_host and (freeze_with_host or not wanted):
        raise InputError(
            'InsertAttention: freeze_host=True leaves nothing to train '
            + ('with freeze_with_host=True' if freeze_with_host else 'without sites')
        )
    if isinstance(host, nn.Module):
        if host_options:
            raise InputError(f'InsertAttention has no option {next(iter(host_options))!r}')
        model = host
    elif isinstance(host, dict) and 'type' in host:
        added = {k: v for k, v in host_options.items() if v is not None or k not in host}
        model = MODELS.build({**host, **added})
    else:
        raise InputError(f'InsertAttention expected host as a config or a module, got {host!r}')
    if not wanted:
        return model
    run = dry_run(model, input_shape)
    plans, rows = [], []
    taken: dict[tuple[str, str], Site] = {}
    for site in wanted:
        shared: dict[tuple[int, int], tuple[str, Attention | Upsampling]] = {}
        enlarges = upsampling_of(site.attention) is not None
        for name in _positions(site, model, run, taken):
            # What enlarges has to do with the map that the module takes.
            side = 'before' if enlarges else site.place
            factor = factor_of(site, name, run.records[name]) if enlarges else 1
            maps = _chosen_maps(site, name, model, run, side)
            inserted = _build(site, name, maps, factor, model, shared, freeze_with_host)
            plans.append((site, name, inserted))
            calls = [run.records[name], *run.records[name].later]
            rows += [
                Row(str(site), name, m, shapes_at(m, side, calls), getattr(inserted, key))
                for m, key in inserted.maps
            ]
    for plan in plans:
        _put(*plan, model)
    exchange_class(model, Host)
    if freeze_host:
        cast(Host, model).freeze_host()
    model.train(model.training)
    print_log(table(rows, run), logger='current')
    return model


# Whoever checks a config is told where what is none of the options above goes.
InsertAttention.rest_goes_to = 'host'


def _look_into_host(cfg: ConfigDict, name: str) -> Any:
    """Give what a config of :func:`InsertAttention` does not have from that of its host."""
    if cfg.get('type') in (InsertAttention, 'InsertAttention', 'mmattn.InsertAttention'):
        return dict.get(cfg, 'host', {})[name]
    raise KeyError(name)


# Stock scripts read `cfg.model.backbone`, whatever is around the model.
ConfigDict.__missing__ = _look_into_host


def _positions(
    site: Site, host: nn.Module, run: DryRun, taken: dict[tuple[str, str], Site]
) -> list[str]:
    """Find the modules of a site.

    Raises:
        InputError: If there are none, one never runs, or another site has it.
    """
    names = dict(host.named_modules())
    found = site.match(names)
    idle = [name for name in found if name not in run.records]
    if idle:
        raise InputError(
            f'{site} matches {idle[0]!r}{_more(idle)}, which the forward pass never runs as a '
            f'module; {nearest(idle[0], [name for name in run.records if name not in idle])}'
        )
    for name in found:
        side = 'before' if site.place == 'before' else 'after'
        known = getattr(names[name], '_modules', {})
        if (name, side) in taken or (AFTER if side == 'after' else BEFORE) in known:
            other = taken.get((name, side), 'attention inserted earlier')
            raise InputError(f'{site} matches {name!r}, which {other} matches, too; keep one')
        taken[name, side] = site
    out = {name: site for (name, _), site in taken.items() if site.place == 'instead_of'}
    for (name, _), other in taken.items():
        for gone in out:
            if name.startswith(f'{gone}.'):
                raise InputError(
                    f'{other} matches {name!r} inside {gone!r}, which {out[gone]} takes out'
                )
    return found


def _more(names: list[str]) -> str:
    return f' and {len(names) - 1} more' if len(names) > 1 else ''


def _chosen_maps(site: Site, name: str, host: nn.Module, run: DryRun, side: str) -> list[Map]:
    """Choose the maps that a site acts on at one of its modules.

    Raises:
        InputError: If there are none, or one of ``levels`` is none.
    """
    record = run.records[name]
    maps = maps_of(record, side, host, run)
    if site.levels is not None:
        items = len(children(value_at(record, side)))
        wanted = [key + items if isinstance(key, int) and key < 0 else key for key in site.levels]
        there = {m.path[0] for m in maps if m.path}
        absent = [key for key, item in zip(site.levels, wanted, strict=True) if item not in there]
        if absent:
            raise InputError(
                f'{site}: {name or "the host"!r} has no map at level {absent[0]!r}; '
                + (f'it has them at {sorted(there, key=str)}' if there else 'leave levels out')
            )
        maps = [m for m in maps if m.path and m.path[0] in wanted]
    unknown = [m for m in maps if not m.is_known]
    if site.levels is None and len(unknown) < len(maps):
        maps, unknown = [m for m in maps if m.is_known], []
    if maps and not unknown:
        if site.place == side == 'instead_of':
            _check_replaceable(site, name, record)
        return maps
    others = [other for other in run.records if has_maps(run.records[other], side, host, run)]
    what = (
        f'is tokens {unknown[0].shape} of unknown height and width'
        if unknown
        else f'is no map of shape (N, C, H, W): {describe(value_at(record, side))}'
    )
    does = 'takes' if side == 'before' else 'returns'
    raise InputError(
        f'{site}: what {name or "the host"!r} {does} {what}; {nearest(name or "host", others)}'
    )


def _check_replaceable(site: Site, name: str, record: Record) -> None:
    taken = record.args[0] if record.args else None
    same = getattr(taken, 'shape', None) == getattr(record.output, 'shape', 0)
    if not name or len(record.args) != 1 or record.kwargs or not same:
        raise InputError(
            f'{site}: {name or "the host"!r} cannot be replaced, it maps {describe(record.args)} '
            f'to {describe(record.output)}; expected one map in and one of the same shape out'
        )


def _build(
    site: Site,
    name: str,
    maps: list[Map],
    factor: int,
    host: nn.Module,
    shared: dict,
    freeze_with_host: bool,
) -> InsertedAttention:
    """Build what a site puts at one of its modules."""
    attentions, places = {}, []
    several = len(maps) > 1
    kind = upsampling_of(site.attention)
    for feature_map in maps:
        channels = feature_map.channels
        built = shared.get((channels, factor)) if site.shared else None
        if site.shared and shared and built is None:
            [(others, other), *_] = shared
            raise InputError(
                f'{site}: shared=True needs the same channels everywhere, '
                f'got {others} and {channels}'
                if others != channels
                else f'{site}: shared=True needs the same factor everywhere, '
                f'got {other} and {factor}'
            )
        if built is None:
            try:
                if kind is None:
                    built = build_attention(site.attention, channels, site.start)
                else:
                    built = build_upsampling(kind, site.attention, channels, factor, site.start)
            except ValueError as error:
                raise InputError(f'{site}: {error} (for {name or "the host"!r})') from error
            shared[channels, factor] = built
        abbr, attention = built
        own_name = abbr if site.shared or not several else f'{abbr}{_suffix(feature_map)}'
        attentions[own_name] = attention
        places.append((feature_map, own_name))
    inserted = InsertedAttention(attentions, places, freeze_with_host=freeze_with_host)
    like = next((t for t in host.parameters() if t.is_floating_point()), torch.empty(0))
    return inserted.to(like.device, like.dtype)


def _suffix(feature_map: Map) -> str:
    return '_'.join(str(key) for key in feature_map.path).replace('.', '_')


def _put(site: Site, name: str, inserted: InsertedAttention, host: nn.Module) -> None:
    for feature_map, _ in inserted.maps:
        for source in feature_map.grid_source:
            exchange_class(source, RecordsGrid)
            source.grid_path = feature_map.grid_source_path
    if site.place == 'instead_of':
        parent, _, own = name.rpartition('.')
        host.get_submodule(parent).add_module(own, Replaced())
    attach(host.get_submodule(name), BEFORE if site.place == 'before' else AFTER, inserted)
