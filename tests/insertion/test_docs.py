"""docs/insert_attention.md: its configs, its commands and its table."""

import copy
import re
import subprocess
from pathlib import Path

import pytest
import torch
from mmcv.cnn.utils import fuse_conv_bn
from mmengine.config import Config
from mmengine.registry import HOOKS, MODELS, init_default_scope
from torch import nn

import mmattn
from mmattn.insertion import InsertAttention
from mmattn.insertion.inserted_attention import inserted_in
from mmattn.layers.plugins import plugins_of
from mmattn.probe.build import meta_device
from tests.helpers import randomize

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / 'docs' / 'insert_attention.md').read_text()
CONFIGS = re.findall(r'```python\n(.*?)```', TEXT, re.DOTALL)
COMMANDS = re.findall(r'```bash\n(.*?)```', TEXT, re.DOTALL)
ROWS = re.findall(r'^\| (`[A-Z].*?) \| `((?:after|before|instead_of)=.*?)`', TEXT, re.MULTILINE)

# What the configs of the page go on from.
DETECTOR = "['{configs}/_base_/models/mask_rcnn_r50_fpn.py', '{configs}/_base_/runtime/det.py']"
SEGMENTOR = "['{configs}/_base_/models/upernet_r50.py', '{configs}/_base_/runtime/seg.py']"
CLASSIFIER = "'{configs}/_base_/runtime/cls.py'"
BASES = {
    'your_mask_rcnn.py': f'_base_ = {DETECTOR}',
    'your_upernet.py': f'_base_ = {SEGMENTOR}\nmodel = dict(decode_head=dict(num_classes=3))',
    'your_efficientnet.py': f"""
_base_ = {CLASSIFIER}
backbone = dict(type='EfficientNet', arch='b0')
head = dict(type='LinearClsHead', num_classes=3, in_channels=1280)
neck = dict(type='GlobalAveragePooling')
model = dict(type='ImageClassifier', backbone=backbone, neck=neck, head=head)
""",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in BASES.items():
        (tmp_path / name).write_text(text.format(configs=ROOT / 'configs'))
    (tmp_path / 'your_mask_rcnn_with_attention.py').write_text(CONFIGS[0])
    return tmp_path


@pytest.mark.parametrize('text', CONFIGS, ids=[f'block {i}' for i in range(len(CONFIGS))])
def test_configs_do_what_they_say(folder, text):
    (folder / 'config.py').write_text(text)
    cfg = Config.fromfile(folder / 'config.py')
    init_default_scope(cfg.default_scope)
    with meta_device():
        model = MODELS.build(cfg.model)
    if 'KeepAttentionTraining' in text:
        assert len(plugins_of(model)) == 16
        assert all(HOOKS.get(hook.type) for hook in cfg.custom_hooks)
    else:
        assert list(inserted_in(model))
    keys = cfg.get('optim_wrapper', {}).get('paramwise_cfg', {}).get('custom_keys', {})
    assert bool(keys) == ('optim_wrapper' in text)
    for key in keys:
        assert any(key in name for name, _ in model.named_parameters())


@pytest.mark.parametrize('line', [line for text in COMMANDS for line in text.splitlines()])
def test_is_a_command_on_files_that_exist(line):
    subprocess.run(['bash', '-n'], input=line, text=True, check=True)
    for path in re.findall(r'(?:tools|configs)/[\w/]+\.\w+', line):
        assert (ROOT / path).is_file(), path


def test_links_lead_somewhere():
    headings = re.findall(r'^#+ (.*)$', TEXT, re.MULTILINE)
    anchors = {heading.lower().replace(' ', '-') for heading in headings}
    for link in re.findall(r'\]\(([^)]+)\)', TEXT):
        if link.startswith('#'):
            assert link[1:] in anchors, link
        else:
            assert (ROOT / 'docs' / link).is_file(), link


@pytest.fixture(scope='module')
def hosts():
    names = ('mmdet.ResNet', 'mmseg.MobileNetV2', 'mmpretrain.EfficientNet')
    cfgs = [dict(type=name, **(dict(depth=50) if 'ResNet' in name else {})) for name in names]
    with meta_device():
        return {cfg['type'].split('.')[1]: MODELS.build(cfg) for cfg in cfgs}


@pytest.mark.parametrize(('modules', 'site'), ROWS, ids=lambda text: text.replace('`', ''))
def test_sites_of_the_table_are_there(hosts, modules, site):
    kinds = re.findall(r'`(\w+)`', modules)
    row = next(line for line in TEXT.splitlines() if modules in line and site in line)
    [host] = [name for name in hosts if f'({name} of' in row] or ['ResNet']
    place, pattern = re.fullmatch(r"(\w+)=r'(.*)'", site.replace(r'\|', '|')).groups()
    model = copy.deepcopy(hosts[host])
    with meta_device():
        InsertAttention(model, [{place: pattern, 'attention': dict(type=kinds[0])}])
    assert list(inserted_in(model))
    assert set(kinds) <= set(mmattn.list_modules('attention'))


@pytest.mark.parametrize(
    'site',
    [dict(before=r'layer\d\.\d+\.conv3'), dict(after=r'layer\d\.\d+'), dict(after=r'layer\d')],
    ids=['before', 'block', 'stage'],
)
def test_norms_fold_where_the_page_says_so(site):
    cfg = dict(type='mmdet.ResNet', depth=50, base_channels=8, num_stages=2, out_indices=(1,))
    host = MODELS.build(dict(cfg, strides=(1, 2), dilations=(1, 1)))
    site = dict(site, attention=dict(type='CoordAtt', reduction=4))
    model = randomize(InsertAttention(host, [site], start='paper'))
    model.eval()
    folded = fuse_conv_bn(copy.deepcopy(model))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in (folded.bn1, folded.layer1[0].bn3))
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        [expected], [found] = model(x), folded(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
