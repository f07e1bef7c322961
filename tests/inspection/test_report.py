import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mmattn.errors import InputError
from mmattn.inspection.report import Entry, Row, describe, write_report
from tests.inspection.test_pictures import seen

# The smallest PNG: one transparent pixel.
PNG = base64.b64decode(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=='
)
HOSTILE = '"><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>&{{7*7}}'


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts, self.sources = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ('src', 'href')]
        assert not [name for name, _ in attrs if name.startswith('on')]

    def handle_data(self, data):
        self.texts.append(data.strip())


@pytest.fixture
def write(tmp_path):
    """Write a report and give what a browser reads in it."""
    page = tmp_path / 'page_1.png'
    page.write_bytes(PNG)

    def write(rows, name='photo.jpg', blend=page, failures=()):
        entries = [Entry(name, [page, page], rows)]
        write_report(tmp_path / 'report.html', 'a.py', 'b.pth', blend, entries, [*failures])
        reader = Reader()
        reader.feed((tmp_path / 'report.html').read_text(encoding='utf-8'))
        return reader

    return write


def test_has_every_site_and_picture_and_loads_nothing(write, tmp_path):
    rows = [Row(f'backbone.{i}.eca', 'ECA', 1, 'channel 0.1, 0.2, 0.3') for i in range(60)]
    read = write(rows)
    assert [row.site for row in rows] == [text for text in read.texts if 'backbone' in text]
    assert len(read.sources) == read.tags.count('img') == 3
    for source in read.sources:
        start, _, code = source.partition(',')
        assert start == 'data:image/png;base64'
        assert base64.b64decode(code) == PNG
    assert not {'script', 'link', 'iframe', 'object', 'base'} & {*read.tags}
    text = (tmp_path / 'report.html').read_text()
    assert not re.search(r'https?:|url\(|@import', text)
    assert "default-src 'none'" in text


def test_hostile_names_are_text(write):
    read = write([Row(HOSTILE, HOSTILE, 1, HOSTILE)], HOSTILE, failures=[HOSTILE])
    assert 'script' not in read.tags
    assert read.texts.count(HOSTILE) == 5
    assert all(source.startswith('data:image/png;base64,') for source in read.sources)


def test_a_name_that_is_no_text_does_not_end_the_report(write):
    assert r'\udcff.jpg' in write([], '\udcff.jpg').texts


def test_says_so_where_no_module_started_as_the_identity(write):
    read = write([], blend=None)
    assert len(read.sources) == 2
    assert 'No module started as the identity, so each acts in full.' in read.texts


def test_describes_gates_by_their_numbers():
    gate = np.array([0.25, 0.5, 1.0]).reshape(3, 1, 1)
    rows = describe([seen(dict(channel=gate)), seen({})])
    assert [row.gates for row in rows] == [
        'channel 0.25, 0.583, 1',
        'none, only before and after',
    ]
    assert rows[0].site == 'backbone.layer2.0.conv2.eca'


def test_a_full_disk_is_one_line(write, monkeypatch):
    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'replace', full)
    with pytest.raises(InputError, match='report.html cannot be written .*No space left') as error:
        write([])
    assert str(error.value).endswith('make room, and call the command again')
