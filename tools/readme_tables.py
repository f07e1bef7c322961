"""Measure what the tables of the README say, and write them into it."""

import inspect
import re
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import mmattn
from mmattn.listing import KINDS

ROOT = Path(__file__).resolve().parents[1]

# Figures of the papers and of their authors' READMEs: millions of parameters, 10^9 multiply-adds
# at 224x224 pixels, classifier of 1000 classes included.
BACKBONES = [
    ('VAN-B0', dict(type='VAN', arch='b0'), 4.1, 0.9),
    ('VAN-B1', dict(type='VAN', arch='b1'), 13.9, 2.5),
    ('VAN-B2', dict(type='VAN', arch='b2'), 26.6, 5.0),
    ('VAN-B3', dict(type='VAN', arch='b3'), 44.8, 9.0),
    ('VAN-B4', dict(type='VAN', arch='b4'), 60.3, 12.2),
    ('VAN-B5', dict(type='VAN', arch='b5'), 90.0, 17.2),
    ('VAN-B6', dict(type='VAN', arch='b6'), 200.0, 38.4),
    ('CoordAtt-MobileNetV2', dict(type='CoordAttMobileNetV2', out_indices=(7,)), 3.95, 0.31),
]
# Millions of parameters, 10^9 multiply-adds at 2048x512 pixels, mIoU in percent on ADE20K.
SEGMENTORS = [
    ('upernet_van_b0_ade20k', 32, None, '41.1'),
    ('upernet_van_b1_ade20k', 44, None, '44.9'),
    ('upernet_van_b2_ade20k', 57, 948, '50.1'),
    ('upernet_van_b3_ade20k', 75, 1030, '50.6'),
    ('upernet_van_b4_ade20k', 90, 1098, '52.2'),
    ('upernet_van_b5_ade20k', 117, 1208, '53.9'),
    ('upernet_van_b6_ade20k', 231, 1658, '54.7'),
    ('deeplabv3_coordatt_mobilenetv2_d16_ade20k', None, None, None),
    ('deeplabv3_coordatt_mobilenetv2_d8_ade20k', None, None, None),
]


def main() -> None:
    """Write the tables into the README, or with ``--check`` say which is out of date."""
    path = ROOT / 'README.md'
    text = path.read_text(encoding='utf-8')
    new = fill(text)
    if '--check' in sys.argv:
        sys.exit(
            0 if new == text else 'README.md is out of date: run python tools/readme_tables.py'
        )
    path.write_text(new, encoding='utf-8')


def fill(text: str) -> str:
    """Replace what stands between the markers of each table."""
    for name, make in (('modules', modules), ('backbones', networks), ('segmentors', segmentors)):
        marked = re.compile(rf'(<!-- table: {name} -->\n).*?(<!-- end -->)', re.DOTALL)
        text = marked.sub(lambda match, make=make: f'{match[1]}{make()}{match[2]}', text)
    return text


def table(head: list[str], rows: list[list[str]]) -> str:
    """Lay out a Markdown table."""
    lines = [head, ['---'] * len(head), *rows]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def modules() -> str:
    """List the registered modules and networks."""
    rows = []
    for kind in KINDS:
        for name in mmattn.list_modules(kind):
            cls = getattr(mmattn, name)
            paper = re.search(r'`([^<`]+?)\s*<(http[^>]+)>`_', inspect.getdoc(cls))
            cited = f'[{" ".join(paper[1].split())}]({paper[2]})' if paper else 'none'
            file = Path(inspect.getfile(cls)).relative_to(ROOT).as_posix()
            rows.append([f'`{name}`', kind, cited, f'[{file}]({file})'])
    return table(['`type`', 'kind', 'paper', 'file'], rows)


def networks() -> str:
    """Count parameters and multiply-adds of the backbones with their classifiers."""
    rows = []
    for name, cfg, paper_parameters, paper_flops in BACKBONES:
        with torch.device('meta'):
            model = MODELS.build({**cfg, 'type': f'mmattn.{cfg["type"]}'})
        channels = model.out_channels[-1]
        parameters = count(model) + (channels + 1) * 1000
        flops = multiply_adds(model, (224, 224)) + channels * 1000
        rows.append(
            [
                name,
                f'{parameters / 1e6:.2f} M',
                f'{paper_parameters:g} M',
                f'{flops / 1e9:.2f} G',
                f'{paper_flops:g} G',
            ]
        )
    return table(['backbone', 'parameters', 'paper', 'multiply-adds', 'paper'], rows)


def segmentors() -> str:
    """Count parameters and multiply-adds of the segmentation configs."""
    rows = []
    for name, paper_parameters, paper_flops, miou in SEGMENTORS:
        file = f'configs/seg/{name}.py'
        cfg = Config.fromfile(ROOT / file)
        init_default_scope(cfg.default_scope)
        with torch.device('meta'):
            model = revert_sync_batchnorm(MODELS.build(cfg.model))
        rows.append(
            [
                f'[{name}]({file})',
                f'{count(model) / 1e6:.1f} M',
                'not given' if paper_parameters is None else f'{paper_parameters} M',
                f'{multiply_adds(model, (512, 2048)) / 1e9:.0f} G',
                'not given' if paper_flops is None else f'{paper_flops} G',
                'not measured',
                miou or 'not given',
            ]
        )
    head = ['config', 'parameters', 'paper', 'multiply-adds', 'paper', 'mIoU here', 'mIoU, authors']
    return table(head, rows)


def count(model: nn.Module) -> int:
    """Count parameters."""
    return sum(p.numel() for p in model.parameters())


def multiply_adds(model: nn.Module, size: tuple[int, int]) -> float:
    """Count the multiply-adds of convolutions and matrix products at a size (height, width)."""
    image = torch.rand(1, 3, *size, device='meta')
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(image)
    return counter.get_total_flops() / 2


if __name__ == '__main__':
    main()
