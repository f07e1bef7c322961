"""The commands about public weights, without a network."""

import sys

import pytest

from mmattn.cli.main import main
from mmattn.weights import catalogue
from mmattn.weights.catalogue import CATALOGUE, Entry, Reported, Source
from tests.weights.hosts import hosting
from tests.weights.test_download import CONTENT, SUM

NAME = f'toy-{SUM[:8]}.pth'


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Give the exit status, the output and the errors of a command about ``toy``."""
    monkeypatch.setenv('MMATTN_PRETRAINED_DIR', str(tmp_path))
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setenv('HF_HUB_CACHE', str(tmp_path / 'hub'))

    def call(command, *names):
        monkeypatch.setattr(sys, 'argv', ['mmattn', 'weights', command, *names])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    with hosting({NAME: CONTENT}) as host:
        source = Source(host.url(NAME), 'released VAN')
        reported = Reported('accuracy/top1', 75.25, 'a paper')
        entry = Entry((source,), 'MIT', reported, megabytes=3, config='mmattn::cls/x.py')
        monkeypatch.setitem(catalogue.CATALOGUE, 'toy', entry)
        call.host = host
        yield call


def test_lists_all_in_a_line_each(call):
    status, out, _ = call('list')
    assert status == 0 and call.host.asked == []
    assert [line for line in out.splitlines() if '│ toy ' in line and '75.25 accuracy/top1' in line]
    assert all(f'│ {name} ' in out for name in CATALOGUE)


def test_tells_all_of_one(call, tmp_path):
    _, out, _ = call('list', 'toy')
    address = call.host.url(NAME)
    assert [line.strip() for line in out.splitlines() if line.strip()] == [
        'mmattn://toy',
        address,
        f'file     {NAME}',
        f'SHA-256  begins with {SUM[:8]}',
        'layout   released VAN',
        'size      about 3 MB',
        'licence   MIT (of the code it was published with)',
        'reported  accuracy/top1 75.25, a paper',
        'to test   mmattn::cls/x.py: mmattn weights verify toy --data-root DIR',
        'tested    not opened by this project: it loads if it is what its authors say',
        'here      no; mmattn weights get toy downloads it',
    ]
    (tmp_path / NAME).write_bytes(CONTENT)
    assert call('list', 'mmattn://toy')[1].splitlines()[-1] == f'  here      {tmp_path / NAME}'


def test_gets_it_and_says_where_it_is(call, tmp_path):
    status, _, err = call('path', 'toy')
    line = 'error: toy is not on this disk; mmattn weights get toy downloads it\n'
    assert (status, err) == (1, line)
    for command in ('get', 'path'):
        status, out, _ = call(command, 'toy')
        assert status == 0 and out.splitlines()[-1] == str(tmp_path / NAME)


def test_an_unknown_name_is_refused_before_anything_is_downloaded(call):
    status, _, err = call('get', 'toy', 'nope')
    assert status == 1 and err.startswith('error: mmattn://nope is not known; there are: ')
    assert call.host.asked == []
