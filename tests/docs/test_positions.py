"""docs/positions.png: each position that it names can be used."""

import io
import re
from pathlib import Path

import pytest
from matplotlib.text import Text
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from docs.generate import positions
from mmattn.insertion import InsertAttention
from mmattn.insertion.inserted_attention import inserted_in
from mmattn.probe.build import meta_device

ROOT = Path(__file__).resolve().parents[2]
BASES = ROOT / 'configs' / '_base_' / 'models'
# Panels, the host that they draw, and what the short names in them begin with.
HOSTS = dict(
    mask_rcnn=(('whole_model', 'bottleneck', 'fpn'), 'mask_rcnn_r50_fpn', 'backbone.layerN.M.'),
    upernet=(('uper_head',), 'upernet_r50', ''),
    deeplabv3=(('aspp_head',), 'deeplabv3_512_mobilenetv2_d8', ''),
    resnet=(('basic_block',), dict(type='mmdet.ResNet', depth=18), 'layerN.M.'),
    mobilenet=(('mobilenet',), dict(type='mmseg.MobileNetV2'), 'layerN.M.'),
    swin=(('swin_block',), dict(type='mmdet.SwinTransformer'), 'stages.N.blocks.M.'),
    efficientnet=(('efficientnet',), dict(type='mmpretrain.EfficientNet'), 'layers.N.M.'),
)


def named(panels):
    """Give place and name of the positions in some panels."""
    sheet = positions.Sheet()
    for panel in panels:
        getattr(positions, panel)(sheet)
    texts = [text.get_text() for text in sheet.figure.findobj(Text)]
    found = [re.fullmatch(r'(after|before|instead_of) (\S+)', text) for text in texts]
    return dict.fromkeys(match.groups() for match in found if match)


def test_every_panel_is_looked_at():
    drawn = [panel.__name__ for panel in positions.PANELS]
    assert sorted(drawn) == sorted(panel for panels, *_ in HOSTS.values() for panel in panels)


@pytest.mark.parametrize(('panels', 'cfg', 'prefix'), HOSTS.values(), ids=HOSTS)
def test_attention_can_be_put_where_it_is_drawn(panels, cfg, prefix):
    if isinstance(cfg, str):
        init_default_scope('mmdet' if 'rcnn' in cfg else 'mmseg')
        cfg = Config.fromfile(BASES / f'{cfg}.py').model
    sites = []
    for place, name in named(panels):
        whole = name.split('.')[0] in ('backbone', 'neck', 'roi_head', 'decode_head')
        pattern = re.escape(name if whole else prefix + name)
        pattern = pattern.replace('N', r'\d').replace('M', r'\d+')
        site = {place: pattern, 'attention': dict(type='SE', reduction=4)}
        if panels == ('aspp_head',) and place == 'before':
            site['levels'] = [3]
        sites.append(site)
    assert sites
    with meta_device():
        model = InsertAttention(MODELS.build(cfg), sites)
    assert len(list(inserted_in(model))) >= len(sites)


def test_notices_another_picture(tmp_path):
    same, other = io.BytesIO(positions.PICTURE.read_bytes()), tmp_path / 'other.png'
    assert positions.same_pixels(positions.PICTURE, same)
    positions.Sheet().figure.savefig(other, dpi=20)
    assert not positions.same_pixels(other, same)
