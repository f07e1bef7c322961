import hashlib
import io
import os
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace
from urllib.error import HTTPError, URLError

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

from mmattn.errors import InputError
from mmattn.weights import sources

RESNET18 = 'resnet18-f37072fd.pth'


@pytest.fixture(autouse=True, params=['', 'data'], ids=['as mmengine', 'as data'])
def folder(request, tmp_path, monkeypatch):
    """A folder to search; whoever goes past it finds the network down."""
    monkeypatch.setattr(sources, '_reads', request.param)
    monkeypatch.setenv('MMATTN_PRETRAINED_DIR', str(tmp_path))
    cut_off(monkeypatch, URLError('no network'))
    return tmp_path


def cut_off(monkeypatch, error):
    for download in ('mmengine.runner.checkpoint.load_url', 'mmattn.weights.sources.download'):
        monkeypatch.setattr(download, fail_with(error))


def fail_with(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.parametrize(
    ('address', 'name'),
    [
        ('https://example.com/models/van_b2.pth', 'van_b2.pth'),
        ('http://example.com/a%20b.pth?download=1', 'a b.pth'),
        ('torchvision://resnet18', 'resnet18-f37072fd.pth'),
        ('modelzoo://resnet18', 'resnet18-f37072fd.pth'),
        ('open-mmlab://detectron2/resnet50_caffe', 'resnet50_msra-5891d200.pth'),
        ('open-mmlab://resnet50_caffe', 'resnet50_caffe-788b5fa3.pth'),
        ('https://example.com/van_b2.safetensors', 'van_b2.safetensors'),
    ],
)
def test_the_folder_is_searched_first(folder, address, name):
    save = save_file if name.endswith('.safetensors') else torch.save
    save({'a': torch.arange(3)}, folder / name)
    assert torch.equal(CheckpointLoader.load_checkpoint(address)['a'], torch.arange(3))


def test_the_log_says_which_file_was_read(folder, tmp_path):
    torch.save({'a': torch.arange(3)}, folder / 'van_b2.pth')
    MMLogger.get_instance(str(tmp_path), log_file=str(tmp_path / 'log.txt'))
    CheckpointLoader.load_checkpoint('https://example.com/models/van_b2.pth')
    said = f'https://example.com/models/van_b2.pth is read from {folder / "van_b2.pth"}'
    assert said in (tmp_path / 'log.txt').read_text()


def test_weights_of_a_classifier_give_its_backbone(folder):
    weights = {'backbone.a': torch.arange(3), 'head.b': torch.arange(2)}
    torch.save({'state_dict': weights}, folder / 'vgg11_batch256_imagenet_20210208-4271cd6c.pth')
    checkpoint = CheckpointLoader.load_checkpoint('mmcls://vgg11')
    assert list(checkpoint['state_dict']) == ['a']


@pytest.mark.parametrize(
    'error',
    [URLError('no network'), HTTPError('u', 404, 'Not Found', {}, None), ConnectionResetError('x')],
    ids=['no network', 'not found', 'reset'],
)
def test_a_dead_address_says_where_to_put_the_file(folder, monkeypatch, error):
    cut_off(monkeypatch, error)
    with pytest.raises(
        InputError,
        match=rf'^https://\S+{RESNET18} cannot be reached \(.+\): .* into {folder} as {RESNET18}$',
    ):
        CheckpointLoader.load_checkpoint('torchvision://resnet18')


def test_a_dead_address_names_the_variable(monkeypatch):
    monkeypatch.delenv('MMATTN_PRETRAINED_DIR')
    with pytest.raises(
        InputError, match=r'into a folder named by MMATTN_PRETRAINED_DIR as a\.pth$'
    ):
        CheckpointLoader.load_checkpoint('https://example.com/a.pth')


def test_unknown_names_and_folders(monkeypatch):
    with pytest.raises(InputError, match=r'torchvision://resnet19 is not known; there are: resnet'):
        CheckpointLoader.load_checkpoint('torchvision://resnet19')
    monkeypatch.setenv('MMATTN_PRETRAINED_DIR', '/nowhere')
    with pytest.raises(InputError, match='MMATTN_PRETRAINED_DIR=/nowhere is not a folder'):
        CheckpointLoader.load_checkpoint('https://example.com/a.pth')


def test_local_files_are_read_as_before(tmp_path):
    torch.save({'a': torch.arange(3)}, tmp_path / 'a.pth')
    assert torch.equal(
        CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))['a'], torch.arange(3)
    )
    with pytest.raises((FileNotFoundError, InputError), match='nope'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'nope.pth'))


# ---- Read as data from everywhere ----


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Start hosts that serve a folder each; give the address of a file there."""
    monkeypatch.undo()
    monkeypatch.setattr(sources, '_reads', 'data')
    monkeypatch.delenv('MMATTN_PRETRAINED_DIR', raising=False)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    servers = []

    def serve(data, name='a.pth'):
        folder = tmp_path / f'host{len(servers)}'
        folder.mkdir()
        torch.save(data, folder / name)
        handler = partial(SilentHandler, directory=str(folder))
        servers.append(ThreadingHTTPServer(('127.0.0.1', 0), handler))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f'http://127.0.0.1:{servers[-1].server_port}/{name}'

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


class Attacker:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize('folder', ['data'], indirect=True)
def test_hosts_are_kept_apart(host):
    """Two hosts may have files of one name."""
    one, other = host({'a': torch.zeros(2)}), host({'a': torch.ones(2)})
    for _ in range(2):
        assert CheckpointLoader.load_checkpoint(one)['a'].sum() == 0
        assert CheckpointLoader.load_checkpoint(other)['a'].sum() == 2


@pytest.mark.parametrize('folder', ['data'], indirect=True)
def test_a_name_with_its_check_sum_is_found_in_the_cache(host, tmp_path):
    cache = tmp_path / 'cache/hub/checkpoints'
    cache.mkdir(parents=True)
    torch.save({'a': torch.zeros(2)}, cache / 'part.pth')
    check_sum = hashlib.sha256((cache / 'part.pth').read_bytes()).hexdigest()[:8]
    (cache / 'part.pth').rename(cache / f'a-{check_sum}.pth')
    address = host({'a': torch.ones(2)}, f'a-{check_sum}.pth')
    assert CheckpointLoader.load_checkpoint(address)['a'].sum() == 0
    # What lies there under the name of something else is not taken for it.
    torch.save({'a': torch.full((2,), 7.0)}, cache / f'a-{check_sum}.pth')
    assert CheckpointLoader.load_checkpoint(address)['a'].sum() == 2


@pytest.mark.parametrize('folder', ['data'], indirect=True)
@pytest.mark.parametrize('scheme', ['http', 'torchvision', 'open-mmlab', 'openmmlab file', 'mmcls'])
def test_an_address_runs_no_code(host, tmp_path, monkeypatch, scheme):
    url = host({'state_dict': {}, 'extra': Attacker(tmp_path / 'harm')})
    known = {'x': url, 'file': 'host0/a.pth'}
    for names in ('torchvision', 'external', 'mmcls'):
        name = 'get_torchvision' if names == 'torchvision' else f'get_{names}'
        monkeypatch.setattr(f'mmengine.runner.checkpoint.{name}_models', lambda: known)
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    address = url if scheme == 'http' else f'{scheme}://x'
    address = 'openmmlab://file' if scheme == 'openmmlab file' else address
    with pytest.raises(InputError, match='is not plain data'):
        CheckpointLoader.load_checkpoint(address)
    assert not (tmp_path / 'harm').exists()


@pytest.mark.parametrize('folder', ['data'], indirect=True)
@pytest.mark.parametrize('address', ['s3://bucket/a.pth', 'petrel://a.pth', 'cluster:s3://a.pth'])
def test_a_storage_runs_no_code(folder, monkeypatch, address):
    content = io.BytesIO()
    torch.save({'state_dict': {}, 'extra': Attacker(folder / 'harm')}, content)
    backend = SimpleNamespace(get=lambda path: content.getvalue())
    monkeypatch.setattr(sources, 'get_file_backend', lambda *args, **kwargs: backend)
    with pytest.raises(InputError, match=r'a\.pth is not plain data'):
        CheckpointLoader.load_checkpoint(address)
    content.seek(0)
    torch.save({'state_dict': {'a': torch.ones(2)}}, content)
    assert CheckpointLoader.load_checkpoint(address)['state_dict']['a'].sum() == 2
    assert not (folder / 'harm').exists()


@pytest.mark.parametrize('folder', ['data'], indirect=True)
def test_pavi_runs_no_code(folder, monkeypatch):
    data = {'state_dict': {}, 'extra': Attacker(folder / 'harm')}
    model = SimpleNamespace(name='../x', download=lambda path: torch.save(data, path))
    cloud = SimpleNamespace(modelcloud=SimpleNamespace(get=lambda path: model))
    monkeypatch.setitem(sys.modules, 'pavi', cloud)
    with pytest.raises(InputError, match='is not plain data'):
        CheckpointLoader.load_checkpoint('pavi://a.pth')
    assert not (folder / 'harm').exists()
