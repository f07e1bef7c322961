"""The table of what was inserted where, and what it costs."""

from io import StringIO
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from torch import nn

from mmattn.insertion.maps import Map
from mmattn.probe.count import count_multiply_adds, count_parameters
from mmattn.probe.dry_run import DryRun, copy_on_meta


class Row(NamedTuple):
    """One map with its attention module.

    Args:
        site: How the config names the site.
        position: Name of the module of the host.
        feature_map: The map, at the first call of that module.
        shapes: Shapes (N, C, H, W) of the map at all calls.
        attention: The attention module.
    """

    site: str
    position: str
    feature_map: Map
    shapes: list[tuple[int, ...]]
    attention: nn.Module


def table(rows: list[Row], run: DryRun) -> str:
    """Write a table of sites, positions, shapes, modules, parameters and added FLOPs.

    FLOPs are the multiply-adds of convolutions and matrix products for one image of the size of
    the dry forward, as OpenMMLab counts them. A module that the host runs several times shows the
    shape at its first call and the FLOPs of all calls.
    """
    size = f' for an image of {run.image[0]} x {run.image[1]} pixels' if run.image else ''
    columns = ('site', 'position', 'shape there', 'module', 'parameters', 'added FLOPs')
    out = Table(*columns[:4], title=f'Inserted attention{size}', title_justify='left')
    for column in columns[4:]:
        out.add_column(column, justify='right')
    seen, total, flops = set(), 0, 0
    costs: dict[tuple, int] = {}
    for row in rows:
        parameters = count_parameters(row.attention)
        added = 0
        for shape in row.shapes:
            key = (parameters, str(row.attention), shape)
            if key not in costs:
                cost = count_multiply_adds(copy_on_meta(row.attention), shape)
                assert cost is not None  # Only a Mask2Former has none.
                costs[key] = cost
            added += costs[key]
        count = 0 if row.attention in seen else parameters
        seen.add(row.attention)
        total, flops = total + count, flops + added
        position = '.'.join((row.position or '(host)', *(f'[{k}]' for k in row.feature_map.path)))
        times = f', {len(row.shapes)} times' if len(row.shapes) > 1 else ''
        out.add_row(
            row.site.removeprefix('site '),
            position.replace('.[', '['),
            ' x '.join(map(str, row.feature_map.shape)) + times,
            type(row.attention).__name__,
            f'{count:,}',
            f'{added:,}',
        )
    out.add_section()
    out.add_row('total', '', '', f'{len(rows)} maps', f'{total:,}', f'{flops:,}')
    text = StringIO()
    console = Console(file=text, width=200, color_system=None, markup=False)
    console.print(out)
    return '\n' + text.getvalue().rstrip()
