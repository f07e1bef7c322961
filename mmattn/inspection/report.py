"""One HTML page with all pictures in it, which loads nothing from elsewhere."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment

from mmattn.files.whole_file import write_whole
from mmattn.inspection.gates import Seen

# The policy lets a browser load nothing but what is in the page, whatever a name may be.
_TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Attention of {{ config }}</title>
<style>
body { font: 15px/1.5 sans-serif; color: #222; max-width: 1100px; margin: 2em auto; padding: 0 1em }
img { max-width: 100%; display: block }
table { border-collapse: collapse; font-size: 13px }
td, th { text-align: left; padding: 2px 12px 2px 0; border-bottom: 1px solid #ddd; \
vertical-align: top; overflow-wrap: anywhere }
</style>
</head>
<body>
<h1>What the attention did</h1>
<p>Config {{ config }}, checkpoint {{ checkpoint }}.</p>
<h2>How much of each module was taken up</h2>
{% if blend %}
<img alt="bars of the blend factors" src="{{ blend | data_uri }}">
{% else %}
<p>No module started as the identity, so each acts in full.</p>
{% endif %}
{% for entry in entries %}
<h2>{{ entry.name }}</h2>
{% for page in entry.pages %}
<img alt="{{ entry.name }}, page {{ loop.index }}" src="{{ page | data_uri }}">
{% endfor %}
<table>
<tr><th>module</th><th>class</th><th>call</th><th>gates: smallest, mean, largest</th></tr>
{% for row in entry.rows %}
<tr><td>{{ row.site }}</td><td>{{ row.type }}</td><td>{{ row.call }}</td><td>{{ row.gates }}</td>\
</tr>
{% endfor %}
</table>
{% endfor %}
{% if failures %}
<h2>Not drawn</h2>
<ul>
{% for failure in failures %}
<li>{{ failure }}</li>
{% endfor %}
</ul>
{% endif %}
</body>
</html>
"""


@dataclass(frozen=True)
class Row:
    """What the report says of one call of a module."""

    site: str
    type: str
    call: int
    gates: str


@dataclass(frozen=True)
class Entry:
    """One image in the report.

    Args:
        name: Its name.
        pages: The files of its pages.
        rows: What is said of each call.
    """

    name: str
    pages: list[Path]
    rows: list[Row]


def describe(seen: Iterable[Seen]) -> list[Row]:
    """Put what was seen into numbers."""
    return [
        Row(
            each.site,
            each.type,
            each.call,
            '; '.join(
                f'{name} {gate.min():.3g}, {gate.mean():.3g}, {gate.max():.3g}'
                for name, gate in each.gates.items()
            )
            or 'none, only before and after',
        )
        for each in seen
    ]


def write_report(
    path: Path,
    config: str,
    checkpoint: str,
    blend: Path | None,
    entries: list[Entry],
    failures: list[str],
) -> None:
    """Write the report.

    Whatever the names of files and classes are, they appear as text.

    Args:
        path: The file.
        config: Name of the config.
        checkpoint: Name of the checkpoint.
        blend: Picture of the blend factors; None if there are none.
        entries: The images.
        failures: What was not drawn, and why, a line each.

    Raises:
        InputError: If it cannot be written.
    """
    environment = Environment(autoescape=True, trim_blocks=True)
    environment.filters['data_uri'] = _data_uri
    # Piece by piece: many pictures need not be in memory together.
    pieces = environment.from_string(_TEMPLATE).generate(
        config=config, checkpoint=checkpoint, blend=blend, entries=entries, failures=failures
    )

    def write(partial: Path) -> None:
        with partial.open('w', encoding='utf-8', errors='backslashreplace') as file:
            file.writelines(pieces)

    write_whole(path, write, remedy='call the command again')


def _data_uri(path: Path) -> str:
    return 'data:image/png;base64,' + base64.b64encode(path.read_bytes()).decode('ascii')
