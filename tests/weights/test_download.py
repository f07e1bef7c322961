import hashlib
import io
import socket

import pytest
import torch

from mmattn.errors import InputError
from mmattn.weights import download as room
from mmattn.weights.download import DownloadError, download, find_silent, fits
from tests.weights.hosts import hosting


def checkpoint(value=1.0, count=50_000):
    content = io.BytesIO()
    torch.save({'state_dict': {'a': torch.full((count,), value)}}, content)
    return content.getvalue()


CONTENT = checkpoint()
SUM = hashlib.sha256(CONTENT).hexdigest()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize('check_sum', ['', SUM[:8], SUM])
def test_a_file_comes_whole(tmp_path, check_sum):
    with hosting({'a.pth': CONTENT}) as host:
        download(host.url('a.pth'), tmp_path / 'a.pth', check_sum)
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT
    assert names(tmp_path) == ['a.pth']


def test_goes_on_after_a_break(tmp_path):
    with hosting({'a.pth': CONTENT}, breaks=[70_000, 120_000]) as host:
        download(host.url('a.pth'), tmp_path / 'a.pth', SUM[:8])
    assert [start for _, _, start in host.asked] == [0, 70_000, 120_000]
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT
    assert names(tmp_path) == ['a.pth']


@pytest.mark.parametrize('check_sum', ['', SUM[:8]], ids=['by its ETag', 'by its sum'])
def test_another_process_goes_on_with_what_has_come(tmp_path, monkeypatch, check_sum):
    with hosting({'a.pth': CONTENT}, breaks=[70_000]) as host:
        monkeypatch.setattr(room, 'BREAKS', 1)
        with pytest.raises(DownloadError, match=r'^broke off after 70000 of \d+ bytes$'):
            download(host.url('a.pth'), tmp_path / 'a.pth', check_sum)
        [part] = names(tmp_path)
        assert part.startswith('a.pth.') and part.endswith('.incomplete')
        download(host.url('a.pth'), tmp_path / 'a.pth', check_sum)
    assert [start for _, _, start in host.asked] == [0, 70_000]
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT
    assert names(tmp_path) == ['a.pth']


def test_what_has_come_and_was_damaged_begins_anew(tmp_path, monkeypatch):
    with hosting({'a.pth': CONTENT}, breaks=[70_000]) as host:
        monkeypatch.setattr(room, 'BREAKS', 1)
        with pytest.raises(DownloadError):
            download(host.url('a.pth'), tmp_path / 'a.pth', SUM[:8])
        [part] = tmp_path.iterdir()
        part.write_bytes(bytes(70_000))
        download(host.url('a.pth'), tmp_path / 'a.pth', SUM[:8])
    assert [start for _, _, start in host.asked] == [0, 70_000, 0]
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT
    assert names(tmp_path) == ['a.pth']


def test_two_versions_of_a_file_are_not_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr(room, 'BREAKS', 1)
    with hosting({'a.pth': CONTENT}, breaks=[70_000]) as host:
        with pytest.raises(DownloadError):
            download(host.url('a.pth'), tmp_path / 'a.pth')
        host.files['a.pth'] = checkpoint(2.0)
        download(host.url('a.pth'), tmp_path / 'a.pth')
    assert [start for _, _, start in host.asked] == [0, 70_000, 0]
    assert (tmp_path / 'a.pth').read_bytes() == checkpoint(2.0)
    assert names(tmp_path) == ['a.pth']


def test_what_is_longer_than_the_file_begins_anew(tmp_path):
    (tmp_path / 'a.pth.01234567.incomplete').write_bytes(CONTENT + b'more')
    with hosting({'a.pth': CONTENT}) as host:
        download(host.url('a.pth'), tmp_path / 'a.pth', SUM[:8])
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT
    assert names(tmp_path) == ['a.pth']


def test_a_host_that_sends_all_again(tmp_path):
    with hosting({'a.pth': CONTENT}, breaks=[70_000], ranges=False) as host:
        download(host.url('a.pth'), tmp_path / 'a.pth', SUM[:8])
    assert [start for _, _, start in host.asked] == [0, 70_000]
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT


def test_a_host_that_calls_the_whole_a_part(tmp_path):
    with hosting({'a.pth': CONTENT}, status=206) as host:
        download(host.url('a.pth'), tmp_path / 'a.pth', SUM[:8])
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT


def refusing(line):
    return pytest.raises(InputError, match=line)


def test_another_file_is_not_taken(tmp_path):
    line = rf'^sent another file \(its SHA-256 does not begin with {SUM[:8]}\)$'
    with hosting({'a.pth': checkpoint(2.0)}) as host, refusing(line):
        download(host.url('a.pth'), tmp_path / 'a.pth', SUM[:8])
    assert names(tmp_path) == []


def test_a_page_about_a_file_is_not_taken(tmp_path):
    line = r'^sent another file \(a\.pth is no .* but a web page'
    with hosting({'a.pth': b'<!doctype html><p>Sign in'}) as host, refusing(line):
        download(host.url('a.pth'), tmp_path / 'a.pth')
    assert names(tmp_path) == []


def test_what_is_there_stays_until_the_new_one_is_whole(tmp_path):
    (tmp_path / 'a.pth').write_bytes(b'before')
    with hosting({'a.pth': checkpoint(2.0)}) as host, refusing('sent another file'):
        download(host.url('a.pth'), tmp_path / 'a.pth', SUM[:8])
    assert (tmp_path / 'a.pth').read_bytes() == b'before'


def test_a_missing_file(tmp_path):
    with hosting({}) as host, refusing(r'^404 Not Found$'):
        download(host.url('a.pth'), tmp_path / 'a.pth')
    assert names(tmp_path) == []


def test_a_host_that_falls_silent(tmp_path, monkeypatch):
    monkeypatch.setattr(room, 'SILENCE', 0.1)
    with hosting({'a.pth': CONTENT}, pause=0.5) as host, refusing(r'^no answer$'):
        download(host.url('a.pth'), tmp_path / 'a.pth')


def test_a_folder_that_cannot_be_written(tmp_path):
    line = r'cannot be written \(No such file or directory\)'
    with hosting({'a.pth': CONTENT}) as host, refusing(line):
        download(host.url('a.pth'), tmp_path / 'gone' / 'a.pth')


def test_silent_hosts_are_found_together(monkeypatch):
    monkeypatch.setattr(room, 'CONNECTION', 0.3)
    with (
        hosting({'a.pth': b''}) as alive,
        hosting({}) as missing,
        hosting({}, pause=2) as slow,
        socket.create_server(('127.0.0.1', 0)) as closed,
    ):
        port = closed.getsockname()[1]
        closed.close()
        dead = f'http://127.0.0.1:{port}/a.pth'
        urls = [alive.url('a.pth'), missing.url('a.pth'), slow.url('a.pth'), dead]
        silent = find_silent(urls)
    assert silent == {urls[2]: 'no answer', dead: 'Connection refused'}


def test_the_beginning_of_a_sum(tmp_path):
    (tmp_path / 'a').write_bytes(b'abc')
    assert fits(tmp_path / 'a', 'ba7816bf') and fits(tmp_path / 'a', '')
    assert not fits(tmp_path / 'a', '7816bf')
