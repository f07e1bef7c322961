import pytest
import torch
import torchvision
from torch import nn

from mmattn.errors import InputError
from mmattn.weights.checking import check_weights
from tests.weights.test_watch import SWIN, released_swin

mmdet = pytest.importorskip('mmdet.models.backbones')
ResNet, SwinTransformer = mmdet.ResNet, mmdet.SwinTransformer


class Model(nn.Module):
    def __init__(self, backbone, neck=True):
        super().__init__()
        self.backbone = backbone
        if neck:
            self.neck = nn.Conv2d(512, 8, 1)
        self.bbox_head = nn.Conv2d(8, 1, 1)


def save(path, state_dict):
    torch.save(state_dict, path / 'a.pth')
    return str(path / 'a.pth')


def under(prefix, state_dict):
    return {f'{prefix}{key}': value for key, value in state_dict.items()}


def test_weights_of_the_whole_model(tmp_path):
    model = Model(ResNet(18))
    path = save(tmp_path, under('module.', model.state_dict()))
    part, report, refusal = check_weights(model, path)
    assert (part, refusal, report.new, report.unused) == ('', None, {}, ())


def test_a_part_that_the_model_lacks_is_refused(tmp_path):
    model = Model(ResNet(18))
    path = save(tmp_path, {**model.state_dict(), 'mask.conv.weight': torch.rand(1)})
    _, report, refusal = check_weights(model, path)
    assert report.unused == ('mask.conv.weight',)
    assert 'mask.conv.weight: missing here' in str(refusal)


def test_weights_of_a_backbone(tmp_path):
    path = save(tmp_path, torchvision.models.resnet18().state_dict())
    part, report, refusal = check_weights(Model(ResNet(18)), path)
    assert part == 'backbone' and refusal is None
    assert report.line().endswith('120/120 host tensors loaded, 2 unused (fc.*)')


def test_weights_of_a_model_with_another_head(tmp_path):
    state_dict = under('backbone.', {**ResNet(18).state_dict(), 'head.fc.bias': torch.rand(3)})
    path = save(tmp_path, state_dict)
    part, report, refusal = check_weights(Model(ResNet(18), neck=False), path)
    assert part == 'backbone' and report.loaded == ()
    assert "give prefix='backbone.'" in str(refusal)
    cfg = dict(type='Pretrained', checkpoint='another.pth', prefix='backbone.')
    part, report, refusal = check_weights(Model(ResNet(18, init_cfg=cfg), neck=False), path)
    assert part == 'backbone' and len(report.loaded) == 120 and refusal is None


def test_a_host_converts_as_it_does_in_training(tmp_path):
    path = save(tmp_path, {'model': released_swin(SwinTransformer(**SWIN))})
    part, report, refusal = check_weights(Model(SwinTransformer(**SWIN)), path)
    assert part == 'backbone' and refusal is None
    assert set(report.new.values()) == {'output norm'}


@pytest.mark.parametrize('allowed', [False, True], ids=['strict', 'allowed'])
def test_refusal_comes_with_the_whole_report(tmp_path, allowed):
    cfg = dict(type='Pretrained', checkpoint='another.pth', strict_pretrained=not allowed)
    path = save(tmp_path, torchvision.models.resnet18().state_dict())
    _part, report, refusal = check_weights(Model(ResNet(34, init_cfg=cfg)), path)
    assert (refusal is None) == allowed
    assert len(report.missing) == 80
    assert report.listing()['missing there'][0] == 'layer1.2.conv1.weight'


def test_backbone_that_loads_nothing(tmp_path):
    class Deaf(nn.Conv2d):
        def init_weights(self):
            pass

    path = save(tmp_path, {'weight': torch.rand(1)})
    with pytest.raises(InputError, match=r'init_weights of Deaf loads no .*a\.pth'):
        check_weights(Model(Deaf(3, 3, 1)), path)
