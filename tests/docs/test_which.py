"""The page that compares choices: its table is counted, and what it tells to run runs."""

import re

import pytest
import torch
from mmengine.registry import MODELS

from docs.generate import which
from docs.generate.module_table import fill
from tests.configs.leaves import load, named

TEXT = which.PAGE.read_text(encoding='utf-8')


def line(choice):
    return f'| {" | ".join(which.row(choice))} |\n'


# The others take half a minute.
@pytest.mark.parametrize(
    'choice',
    [c for c in which.CHOICES if re.search('tiny-eca|-dysample|_mscan_t_ade|vit_s16', c.config)],
    ids=lambda choice: choice.config,
)
def test_a_row_is_what_is_counted(choice):
    assert line(choice) in TEXT, 'run python docs/generate/which.py'


@pytest.mark.slow
def test_the_table_is_what_is_counted():
    assert fill(TEXT, 'choices', which.table()) == TEXT, 'run python docs/generate/which.py'


@pytest.mark.parametrize(
    ('value', 'shown'),
    [(36, '+36'), (-441_100, '-441 k'), (45_608, '+45.6 k'), (16_924_000_000, '+16.9 G')],
)
def test_what_is_more(value, shown):
    assert which.change(value) == shown


@pytest.mark.parametrize('size', ['rtmdet_tiny', 'yolox_s'])
def test_weights_of_a_detector_go_into_one_with_the_stride_4(size, tmp_path):
    """By the function that the page gives."""
    [code] = [c for c in re.findall(r'```python\n(.*?)```', TEXT, re.DOTALL) if 'def ' in c]
    scope = {}
    exec(code, scope)
    plain, wide = (
        MODELS.build(dict(load(named('det', f'{size}{p2}-eca-insert-neck_300e_coco')).model.host))
        for p2 in ('', '_p2')
    )
    for parameter in plain.parameters():
        torch.nn.init.uniform_(parameter)
    torch.save(dict(state_dict=plain.state_dict()), tmp_path / 'coco.pth')
    report = scope['with_stride_4'](tmp_path / 'coco.pth', wide)
    assert not report.unexpected_keys
    theirs, ours = plain.state_dict(), wide.state_dict()
    for key in theirs:
        if key.startswith(('backbone.', 'neck.reduce_layers.', 'neck.top_down_blocks.')):
            assert torch.equal(theirs[key], ours[key]), key
    key = 'neck.bottom_up_blocks.{}.final_conv.conv.weight'
    assert torch.equal(theirs[key.format(0)], ours[key.format(1)])
    head = [key for key in report.missing_keys if key.startswith('bbox_head.')]
    # The head of RTMDet has another width.
    of_level_0 = all(re.search(r'^bbox_head\.\w+\.0\.', key) for key in head)
    assert of_level_0 == (size == 'yolox_s')
