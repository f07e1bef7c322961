import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from torch import nn

from mmattn.errors import InputError
from mmattn.layers.packages import MissingPackage
from mmattn.weights import catalogue, hub, pretrained, sources
from mmattn.weights import download as download_room
from mmattn.weights.catalogue import Entry, Source
from tests.weights.hosts import hosting
from tests.weights.test_download import CONTENT, SUM, checkpoint

ROOT = Path(__file__).parents[2]
NAME = f'toy-{SUM[:8]}.pth'


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Caches and a folder of the test alone."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.delenv('MMATTN_PRETRAINED_DIR', raising=False)
    monkeypatch.setattr(download_room, 'CONNECTION', 1)
    cache, folder = tmp_path / 'torch/hub/checkpoints', tmp_path / 'folder'
    folder.mkdir()
    return SimpleNamespace(cache=cache, folder=folder)


@pytest.fixture
def publish(monkeypatch):
    """Put weights into the catalogue: the addresses of ``mmattn://toy``."""

    def publish(*addresses):
        entry = Entry(tuple(map(Source, addresses)), 'none')
        monkeypatch.setitem(catalogue.CATALOGUE, 'toy', entry)

    return publish


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_is_downloaded_once_into_the_cache_of_pytorch(places, publish):
    with hosting({NAME: CONTENT}) as host:
        publish(host.url(NAME))
        assert pretrained.find('toy') is None
        path = pretrained.get('mmattn://toy')
        asked = len(host.asked)
        assert pretrained.get('toy') == pretrained.find('toy') == path == places.cache / NAME
        assert len(host.asked) == asked
    assert path.read_bytes() == CONTENT
    assert names(places.cache) == [NAME]


def test_the_folder_that_is_named_comes_first(places, publish, monkeypatch):
    monkeypatch.setenv('MMATTN_PRETRAINED_DIR', str(places.folder))
    with hosting({NAME: CONTENT}) as host:
        publish(host.url(NAME))
        assert pretrained.get('toy') == places.folder / NAME
    places.cache.mkdir(parents=True)
    (places.cache / NAME).write_bytes(CONTENT)
    assert pretrained.get('toy') == places.folder / NAME
    (places.folder / NAME).unlink()
    assert pretrained.get('toy') == places.cache / NAME


def test_any_of_the_files_will_do(places, publish):
    publish('http://127.0.0.1:9/other.pth', f'http://127.0.0.1:9/{NAME}')
    places.cache.mkdir(parents=True)
    (places.cache / NAME).write_bytes(CONTENT)
    assert pretrained.get('toy') == places.cache / NAME


def test_a_damaged_file_of_the_cache_is_downloaded_anew(places, publish):
    places.cache.mkdir(parents=True)
    (places.cache / NAME).write_bytes(CONTENT[:-1])
    with hosting({NAME: CONTENT}) as host:
        publish(host.url(NAME))
        assert pretrained.get('toy').read_bytes() == CONTENT


def test_a_damaged_file_of_the_folder_is_told_of(places, publish, monkeypatch):
    monkeypatch.setenv('MMATTN_PRETRAINED_DIR', str(places.folder))
    (places.folder / NAME).write_bytes(CONTENT[:-1])
    publish(f'http://127.0.0.1:9/{NAME}')
    with pytest.raises(
        InputError,
        match=rf'{NAME} is damaged or another file: its SHA-256 does not begin with {SUM[:8]}; ',
    ):
        pretrained.get('toy')


def test_the_addresses_are_tried_in_turn(places, publish, monkeypatch):
    said = []
    monkeypatch.setattr(pretrained, 'print_log', lambda text, logger: said.append(text))
    other = {NAME: checkpoint(2.0)}
    with hosting({}) as missing, hosting(other) as wrong, hosting({NAME: CONTENT}) as right:
        publish('http://127.0.0.1:9/a.pth', *(host.url(NAME) for host in (missing, wrong, right)))
        assert pretrained.get('toy').read_bytes() == CONTENT
    assert names(places.cache) == [NAME]
    [line] = said
    assert line.startswith(f'mmattn://toy is {places.cache / NAME}; passed over: 127.0.0.1:9: ')


def test_one_line_says_what_failed_and_what_to_do(places, publish):
    with hosting({}) as missing, hosting({NAME: checkpoint(2.0)}) as wrong:
        urls = [missing.url('b.pth'), wrong.url(NAME)]
        publish('http://127.0.0.1:9/a.pth', 'http://127.0.0.1:9/c.pth', *urls)
        with pytest.raises(InputError) as failure:
            pretrained.get('toy')
    hosts = [re.escape(url.split('/')[2]) for url in urls]
    assert re.fullmatch(
        rf'mmattn://toy is not in {places.cache} and cannot be downloaded '
        rf'\(127\.0\.0\.1:9, 127\.0\.0\.1:9: Connection refused; {hosts[0]}: 404 Not Found; '
        rf'{hosts[1]}: sent another file \(its SHA-256 does not begin with {SUM[:8]}\)\): '
        r'put a\.pth there, or into a folder that MMATTN_PRETRAINED_DIR names '
        r'\(mmattn weights list toy has its addresses\)',
        str(failure.value),
    )
    assert names(places.cache) == []


def test_the_line_names_the_folder_if_there_is_one(places, publish, monkeypatch):
    monkeypatch.setenv('MMATTN_PRETRAINED_DIR', str(places.folder))
    publish('http://127.0.0.1:9/a.pth')
    line = rf'toy is not in {places.folder} or {places.cache} .*: put a\.pth into {places.folder} '
    with pytest.raises(InputError, match=line):
        pretrained.get('toy')


def test_an_unknown_name():
    with pytest.raises(InputError, match=r'^mmattn://van_b2 is not known; there are: van_b2_in1k'):
        pretrained.find('mmattn://van_b2')


def test_a_folder_that_cannot_be_made(tmp_path, publish, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'file'))
    publish('http://127.0.0.1:9/a.pth')
    with pytest.raises(InputError, match=r'checkpoints cannot be made \(Not a directory\)'):
        pretrained.get('toy')


GET = """
import sys
from mmattn.weights import catalogue, pretrained
from mmattn.weights.catalogue import Entry, Source
catalogue.CATALOGUE['toy'] = Entry((Source(sys.argv[1]),), 'none')
print(pretrained.get('toy').read_bytes() == open(sys.argv[2], 'rb').read())
"""


def start(*args, **env):
    env = {**os.environ, 'PYTHONPATH': str(ROOT), **env}
    args = [sys.executable, '-c', GET, *map(str, args)]
    return subprocess.Popen(args, env=env, stdout=subprocess.PIPE, text=True)


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_two_processes_download_once_and_a_killed_one_holds_nobody_up(tmp_path, places):
    (tmp_path / 'expected').write_bytes(CONTENT)
    with hosting({NAME: CONTENT}, pause=600) as host:
        killed = start(host.url(NAME), tmp_path / 'expected')
        wait_for(lambda: (places.cache / '.toy.lock').exists())
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        killed.stdout.close()
    assert names(places.cache) == ['.toy.lock']
    with hosting({NAME: CONTENT}, pause=0.3) as host:
        both = [start(host.url(NAME), tmp_path / 'expected') for _ in range(2)]
        assert [process.communicate()[0].splitlines()[-1] for process in both] == ['True'] * 2
    assert [command for command, _, _ in host.asked].count('GET') == 1
    assert names(places.cache) == [NAME]


# ---- Read by its name ----


class Attacker:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_its_name_stands_for_it_where_a_checkpoint_is_read(places, publish, monkeypatch):
    monkeypatch.setattr(sources, '_reads', 'data')
    with hosting({NAME: CONTENT}) as host:
        publish(host.url(NAME))
        read = CheckpointLoader.load_checkpoint('mmattn://toy')
    assert read['state_dict']['a'].sum() == 50_000
    layer = nn.Module()
    layer.a = nn.Parameter(torch.zeros(50_000))
    model = BaseModule(dict(type='Pretrained', checkpoint='mmattn://toy'))
    model.a = layer.a
    model.init_weights()
    assert model.a.sum() == 50_000


@pytest.mark.parametrize('reads', ['', 'data'])
def test_it_runs_no_code(tmp_path, places, publish, monkeypatch, reads):
    monkeypatch.setattr(sources, '_reads', reads)
    places.cache.mkdir(parents=True)
    data = {'state_dict': {}, 'extra': Attacker(tmp_path / 'harm')}
    torch.save(data, places.cache / 'a.pth')
    publish('http://127.0.0.1:9/a.pth')
    with pytest.raises(InputError, match=r'a\.pth is not plain data'):
        CheckpointLoader.load_checkpoint('mmattn://toy')
    assert not (tmp_path / 'harm').exists()


# ---- The Hugging Face hub ----

HUB = 'hub://owner/repository/toy.pth'


class Package:
    """Plays huggingface_hub, with a cache that calls a file by what the hub says is its sum."""

    constants = SimpleNamespace(HF_HUB_OFFLINE=False)

    def __init__(self, folder, said=SUM, error=None):
        self.folder, self.said, self.error = folder, said, error

    def try_to_load_from_cache(self, repository, file, cache_dir):
        assert (repository, file, cache_dir) == ('owner/repository', 'toy.pth', None)
        return str(self.folder / file) if (self.folder / file).is_file() else None

    def hf_hub_download(self, repository, file, cache_dir, etag_timeout):
        if self.error:
            raise self.error
        (self.folder / self.said).write_bytes(CONTENT)
        (self.folder / file).symlink_to(self.folder / self.said)
        return str(self.folder / file)


@pytest.fixture
def play(tmp_path, monkeypatch):
    def play(*args, **options):
        package = Package(tmp_path, *args, **options)
        monkeypatch.setattr(hub, 'import_optional', lambda *args: package)
        return package

    with hosting({}) as host:
        monkeypatch.setenv('HF_ENDPOINT', host.url('')[:-1])
        yield play


def test_the_hub_is_asked_by_its_package(tmp_path, publish, play):
    publish(HUB)
    play()
    path = pretrained.get('toy')
    assert path == tmp_path / 'toy.pth' == pretrained.find('toy')


def test_the_hub_sends_another_file_than_it_says(tmp_path, publish, play):
    publish(HUB)
    play(said='0' * 64)
    with pytest.raises(InputError, match=r'sent another file \(its SHA-256 is not 0{64}\)'):
        pretrained.get('toy')
    assert pretrained.find('toy') is None


def test_an_error_of_the_package_leads_to_the_next_address(publish, play):
    play(error=RuntimeError('no such\nrepository'))
    with hosting({NAME: CONTENT}) as host:
        publish(HUB, host.url(NAME))
        assert pretrained.get('toy').name == NAME
    publish(HUB)
    with pytest.raises(InputError, match=r'\(127\.0\.0\.1:\d+: no such\)'):
        pretrained.get('toy')


def test_without_the_package_or_when_it_is_offline(publish, play, monkeypatch):
    publish(HUB)
    monkeypatch.setattr(Package, 'constants', SimpleNamespace(HF_HUB_OFFLINE=True))
    play()
    with pytest.raises(InputError, match=r'HF_HUB_OFFLINE is set'):
        pretrained.get('toy')

    def refuse(*args):
        raise MissingPackage('no package')

    monkeypatch.setattr(hub, 'import_optional', refuse)
    with pytest.raises(InputError, match=r'\(127\.0\.0\.1:\d+: pip install huggingface_hub\)'):
        pretrained.get('toy')


def test_the_package_itself(tmp_path, places):
    pytest.importorskip('huggingface_hub')
    path = 'owner/repository/resolve/main/toy.pth'
    headers = {'X-Repo-Commit': hashlib.sha1(b'').hexdigest()}
    (tmp_path / 'expected').write_bytes(CONTENT)
    with hosting({path: CONTENT}, headers=headers) as host:
        env = dict(HF_ENDPOINT=host.url('')[:-1], HF_HOME=str(tmp_path / 'hf'))
        out, _ = start(HUB, tmp_path / 'expected', **env).communicate()
        assert out.splitlines()[-1] == 'True'
    assert names(places.cache) == []
    cached = hub.find_of_hub('owner/repository', 'toy.pth', tmp_path / 'hf/hub')
    assert cached.read_bytes() == CONTENT
