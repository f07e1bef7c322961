"""Write the table of docs/which.md: what each choice costs in its model, and what is published."""

import argparse
import copy
import logging
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from docs.generate.model_zoo import METRICS
from docs.generate.module_table import fill
from mmattn.insertion.without_attention import without_attention
from mmattn.probe.build import build
from mmattn.probe.count import count_multiply_adds, count_parameters, published_results

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'which.md'
# Height and width of the image for which a model is counted.
REAL_TIME, TWO_STAGE, CROP, CITY, TILE = (
    (640, 640),
    (800, 1280),
    (512, 512),
    (1024, 2048),
    (1024, 1024),
)


@dataclass(frozen=True)
class Choice:
    """A row of the table.

    Args:
        model: What it is a choice for.
        what: What is chosen.
        config: The config with it, below ``configs/``, without its suffix.
        size: Height and width of the image for which it is counted.
        without: The config that it is compared with; ``'plain'`` for its own without attention and
            with a plain pyramid; nothing if it is a model of its own.
        published: What is reported beside the ``published`` of the config.
    """

    model: str
    what: str
    config: str
    size: tuple[int, int]
    without: str = ''
    published: str = ''


def _real_time(name: str, title: str) -> list[Choice]:
    """Give the choices for a real-time detector."""
    config = 'det/{}-{}-insert-neck_300e_coco'
    return [
        *(
            Choice(title, f'`{kind}`', config.format(name, kind.lower()), REAL_TIME, 'plain')
            for kind in ('CoordAtt', 'CBAM', 'ECA')
        ),
        Choice(
            title,
            'a map of stride 4, with `ECA`',
            config.format(f'{name}_p2', 'eca'),
            REAL_TIME,
            config.format(name, 'eca'),
        ),
    ]


def _sizes(model: str, what: str, config: str, sizes: str, at: tuple[int, int]) -> list[Choice]:
    """Give the sizes of a network."""
    return [Choice(model, f'`{what}` {size.upper()}', config.format(size), at) for size in sizes]


CHOICES = [
    *_real_time('rtmdet_tiny', 'RTMDet-tiny'),
    *_real_time('rtmdet_s', 'RTMDet-S'),
    *_real_time('yolox_s', 'YOLOX-S'),
    *(
        Choice(
            'Faster R-CNN, ResNet-50',
            f'`{kind}`',
            f'det/faster_rcnn_r50_fpn-{kind.lower()}_1x_coco',
            TWO_STAGE,
            'plain',
            without,
        )
        for kind, without in (
            ('DySample', '37.5 without, 38.7 with the dynamic scope'),
            ('CARAFE', ''),
            ('FreqFusion', '37.5 without'),
        )
    ),
    *_sizes('Mask R-CNN', 'MSCAN', 'det/mask_rcnn_mscan_{}_fpn_1x_coco', 'tsbl', TWO_STAGE),
    *_sizes('Mask R-CNN', 'LSKNet', 'det/mask_rcnn_lsknet_{}_fpn_1x_coco', 'ts', TWO_STAGE),
    *_sizes('Faster R-CNN', 'LSKNet', 'det/faster_rcnn_lsknet_{}_fpn_1x_dota', 'ts', TILE),
    *_sizes('SegNeXt, ADE20K', 'MSCAN', 'seg/segnext_mscan_{}_ade20k', 'tsbl', CROP),
    *_sizes('SegNeXt, Cityscapes', 'MSCAN', 'seg/segnext_mscan_{}_cityscapes', 'tsbl', CITY),
    *(
        Choice(
            f'UperNet, {host} of DINOv3, frozen',
            '`CoordAtt`',
            f'seg/upernet_timm_{name}_dinov3-coordatt-insert_ade20k',
            CROP,
            'plain',
        )
        for name, host in (('convnext_t', 'ConvNeXt-T'), ('vit_s16', 'ViT-S/16'))
    ),
    Choice(
        'Mask R-CNN, ConvNeXt-T of DINOv3, frozen',
        '`CoordAtt`',
        'det/mask_rcnn_timm_convnext_t_dinov3-coordatt-insert_fpn_1x_coco',
        TWO_STAGE,
        'plain',
    ),
]


def main() -> None:
    """Write the table into the page, or with ``--check`` say that it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='compare, write nothing')
    args = parser.parse_args()
    logging.disable(logging.INFO)  # What models say while they are built.
    warnings.simplefilter('ignore')
    text = PAGE.read_text(encoding='utf-8')
    new = fill(text, 'choices', table())
    if not args.check:
        PAGE.write_text(new, encoding='utf-8')
    elif new != text:
        sys.exit('error: docs/which.md out of date; run python docs/generate/which.py')


def table() -> str:
    """List the choices."""
    head = ['for', 'choice', 'parameters', 'that train', 'more', 'multiply-adds', 'more', 'at']
    head += ['published', 'config']
    rules = ['---', '---', '--:', '--:', '--:', '--:', '--:', '---', '---', '---']
    rows = [row(choice) for choice in CHOICES]
    return ''.join(f'| {" | ".join(line)} |\n' for line in [head, rules, *rows])


def row(choice: Choice) -> list[str]:
    """Count one choice, and the model that it is compared with."""
    cfg = read(choice.config)
    parameters, trained, multiply_adds = count(cfg, choice.size)
    more = ['', '']
    if choice.without:
        other = plain(cfg) if choice.without == 'plain' else read(choice.without)
        before = count(other, choice.size)
        more = [change(parameters - before[0]), change(multiply_adds - before[2])]
    height, width = choice.size
    return [
        choice.model,
        choice.what,
        f'{parameters / 1e6:.2f} M',
        f'{trained / 1e6:.2f} M',
        more[0],
        f'{multiply_adds / 1e9:.2f} G',
        more[1],
        f'{width}x{height}',
        reported(cfg, choice.published),
        f'[config](../configs/{choice.config}.py)',
    ]


def read(name: str) -> Config:
    """Read a config by its name in the table."""
    return Config.fromfile(ROOT / 'configs' / f'{name}.py')


def plain(cfg: Config) -> Config:
    """Take out of a config what the row is about."""
    if 'upsample' not in cfg.model.get('neck', {}):
        found = without_attention(cfg)
        assert found is not None
        return found
    found = copy.deepcopy(cfg)
    del found.model.neck['upsample']
    return found


def count(cfg: Config, size: tuple[int, int]) -> tuple[int, int, int]:
    """Count parameters, those that train, and multiply-adds."""
    model = build(cfg)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    multiply_adds = count_multiply_adds(model, (1, 3, *size))
    assert multiply_adds is not None  # Only a Mask2Former has none.
    return count_parameters(model), trained, multiply_adds


def change(value: int) -> str:
    """Show by how much a count grows, in three digits."""
    for unit, suffix in ((1e9, ' G'), (1e6, ' M'), (1e3, ' k')):
        if abs(value) >= unit:
            return f'{value / unit:+.3g}{suffix}'
    return f'{value:+d}'


def reported(cfg: Config, remark: str) -> str:
    """Say what is published of a config."""
    results = [
        f'{", ".join(figures(result["metrics"]))}: {result["where"]}'
        for result in published_results(cfg)
    ]
    return '; '.join([*results, remark] if remark else results) or 'none'


def figures(metrics: dict[str, float]) -> list[str]:
    """Name the figures of one result."""
    return [f'{value} {METRICS[name][0]}' for name, value in metrics.items()]


if __name__ == '__main__':
    main()
