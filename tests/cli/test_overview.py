"""What a run tells of itself before its first iteration, in numbers that are counted here anew."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.registry import MODELS
from torch import nn

from mmattn import CoordAtt, CoordAttMobileNetV2, InsertAttention
from mmattn.cli.overview import describe_data, table_of_parts
from mmattn.layers.plugins import let_train, plugins_of
from mmattn.probe.build import build
from tests.configs.leaves import named


def rows_of(table):
    """Give the cells of a table by part and column, without those that are empty."""
    lines = [line.split('|')[1:-1] for line in table.splitlines() if line.startswith('|')]
    columns, *rows = [[cell.strip() for cell in line] for line in lines]
    return {
        row[0]: {name: cell for name, cell in zip(columns[1:], row[1:], strict=True) if cell}
        for row in rows
    }


def count(modules, only=lambda parameter: True):
    modules = modules if isinstance(modules, list) else [modules]
    parameters = {id(p): p for module in modules for p in module.parameters()}
    return f'{sum(p.numel() for p in parameters.values() if only(p)):,}'


def is_frozen(parameter):
    return not parameter.requires_grad


class Model(nn.Module):
    def __init__(self, backbone, neck=None):
        super().__init__()
        self.backbone = backbone
        if neck:
            self.neck = neck
        self.bbox_head = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Conv2d(8, 3, 1))


def test_frozen_stages_of_a_backbone():
    model = Model(CoordAttMobileNetV2(out_indices=(1, 2), frozen_stages=1))
    model.train()
    backbone = model.backbone
    gates = [module for module in backbone.modules() if isinstance(module, CoordAtt)]
    rows = rows_of(table_of_parts(model))
    assert rows == {
        'backbone': {
            'type': 'CoordAttMobileNetV2',
            'parameters': count(backbone),
            'frozen': count(backbone, is_frozen),
            'in': rows['backbone']['in'],
            'attention': f'{len(gates)} CoordAtt',
            'its parameters': count(gates),
        },
        'bbox_head': {'type': 'Sequential', 'parameters': count(model.bbox_head)},
        'total': {
            'type': 'Model',
            'parameters': count(model),
            'frozen': count(model, is_frozen),
            'attention': f'{len(gates)} CoordAtt',
            'its parameters': count(gates),
        },
    }
    assert gates and count(model, is_frozen) != '0'
    frozen = rows['backbone']['in'].split(', ')
    children = dict(backbone.named_children())
    assert frozen == [name for name in children if count(children[name], is_frozen) != '0']


@pytest.mark.parametrize('freeze_with_host', [False, True])
def test_what_is_inserted_into_a_frozen_host(freeze_with_host):
    cfg = dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8)
    host = MODELS.build(dict(cfg, out_indices=(0, 3), frozen_stages=4))
    host.train()
    assert count(host, is_frozen) == count(host)
    sites = [dict(after=r'layer1\.\d', attention=dict(type='CoordAtt', reduction=4))]
    model = InsertAttention(host, sites, freeze_with_host=freeze_with_host)
    model.train()
    gates = [module for module in model.modules() if isinstance(module, CoordAtt)]
    rows = rows_of(table_of_parts(Model(model)))
    assert rows['backbone'] == {
        'type': 'ResNet',
        'parameters': count(model),
        'frozen': count(model, is_frozen),
        'in': 'all of it' if freeze_with_host else 'conv1, bn1, layer1, layer2, ...',
        'attention': '2 CoordAtt',
        'its parameters': count(gates),
    }
    trained = int(count(model).replace(',', '')) - int(count(model, is_frozen).replace(',', ''))
    assert f'{trained:,}' == ('0' if freeze_with_host else count(gates))


def test_shared_parameters_are_counted_once():
    gate = CoordAtt(8)
    model = Model(nn.Sequential(nn.Conv2d(3, 8, 1), gate), nn.Sequential(gate, nn.Conv2d(8, 8, 1)))
    model.bbox_head[0].weight = model.neck[1].weight
    model.scale = nn.Parameter(torch.ones(5))
    rows = rows_of(table_of_parts(model))
    assert {name: row.get('parameters') for name, row in rows.items()} == {
        'backbone': count(model.backbone),
        'neck': count(model.neck[1]),
        'bbox_head': '35',  # 8 + 3 x 8 + 3
        '(itself)': '5',
        'total': count(model),
    }
    assert rows['total']['attention'] == '1 CoordAtt' and 'attention' not in rows['neck']


def test_plugins_of_a_resnet_are_attention():
    plugin = dict(cfg=dict(type='ContextBlock', ratio=0.25), position='after_conv3')
    cfg = dict(type='mmseg.ResNet', depth=50, base_channels=8, stem_channels=8, frozen_stages=1)
    backbone = MODELS.build(dict(cfg, plugins=[plugin]))
    backbone.train()
    plugins = plugins_of(backbone)
    let_train(plugins)
    row = rows_of(table_of_parts(Model(backbone)))['backbone']
    assert row['attention'] == '16 ContextBlock'
    assert row['its parameters'] == count([*plugins.values()])
    assert row['frozen'] == count(backbone, is_frozen) != '0'


def test_lazy_parameters_do_not_count_yet():
    rows = rows_of(table_of_parts(Model(nn.LazyConv2d(8, 1))))
    assert rows['backbone'] == {'type': 'LazyConv2d'}


@pytest.mark.parametrize(
    ('folder', 'name', 'parts'),
    [
        ('seg', 'upernet_van_b0_ade20k', 'backbone decode_head auxiliary_head'),
        ('cls', 'mobilenetv2-coordatt_in1k', 'backbone neck head'),
        (
            'det',
            'mask_rcnn_r50-coordatt-insert_fpn_1x_coco',
            'backbone neck rpn_head roi_head.bbox_head roi_head.mask_head',
        ),
        (
            'det',
            'cascade_mask_rcnn_van_b2_fpn_3x_coco',
            'backbone neck rpn_head roi_head.bbox_head roi_head.mask_head',
        ),
    ],
    ids=['mmseg', 'mmpretrain', 'mmdet', 'cascade'],
)
def test_parts_of_shipped_models_add_up(folder, name, parts):
    model = build(Config.fromfile(named(folder, name)))
    model.train()
    rows = rows_of(table_of_parts(model))
    total = rows.pop('total')
    assert list(rows) == parts.split()
    for column, only in (('parameters', lambda parameter: True), ('frozen', is_frozen)):
        numbers = [int(row.get(column, '0').replace(',', '')) for row in rows.values()]
        assert f'{sum(numbers):,}' == total.get(column, '0') == count(model, only)
    if 'cascade' in name:
        assert rows['roi_head.bbox_head']['type'] == '3 ConvFCBBoxHead'


class Numbers(BaseDataset):
    METAINFO = dict(classes=('one', 'two'))

    def load_data_list(self):
        return [dict(number=i) for i in range(1200)]


def lines(*datasets):
    return list(
        describe_data({f'data {i}': SimpleNamespace(dataset=d) for i, d in enumerate(datasets)})
    )


def test_what_is_read():
    once = dict(type=Numbers)
    twice = dict(
        type=ConcatDataset, datasets=[once, dict(type=RepeatDataset, dataset=once, times=5)]
    )
    assert lines(Numbers(), RepeatDataset(Numbers(), times=5), RepeatDataset(twice, times=3)) == [
        'data 0: 1,200 images, 2 classes (Numbers)',
        'data 1: 1,200 images, 2 classes (Numbers)',
        'data 2: 2,400 images, 2 classes (Numbers)',
    ]


def test_what_does_not_say_what_it_reads():
    person = Numbers(metainfo=dict(classes=('person',)))
    person.data_mode = 'topdown'
    subset = torch.utils.data.Subset(list(range(10)), [1, 2, 3])
    assert lines(person, subset, iter([])) == [
        'data 0: 1,200 persons, 1 class (Numbers)',
        'data 1: 3 images (list)',
        'data 2: ? images (list_iterator)',
    ]
