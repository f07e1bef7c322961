from urllib.error import HTTPError, URLError

import pytest
import torch
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

from mmattn.errors import InputError

RESNET18 = 'resnet18-f37072fd.pth'


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder to search; whoever goes past it finds the network down."""
    monkeypatch.setenv('MMATTN_PRETRAINED_DIR', str(tmp_path))
    monkeypatch.setattr('mmengine.runner.checkpoint.load_url', fail_with(URLError('no network')))
    return tmp_path


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
    monkeypatch.setattr('mmengine.runner.checkpoint.load_url', fail_with(error))
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
    with pytest.raises(FileNotFoundError, match='nope'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'nope.pth'))
