"""The list of sites, as a user asks for it."""

import pytest

from tests import forked
from tests.tools.test_tools import ENV, ROOT


def list_sites(*args):
    return forked.run(ROOT / 'tools' / 'list_sites.py', *args, env=ENV)


def test_lists_name_class_shape_and_calls():
    config = ROOT / 'configs/det/mask_rcnn_van_b0_fpn_1x_coco.py'
    done = list_sites(config, '--pattern', r'neck|roi_head\.mask_head\.upsample|.*fpn_convs\.0')
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split('│')[1:-1]] for line in done.stdout.splitlines()]
    rows = [row for row in rows if len(row) == 4]
    assert rows == [
        ['neck', 'FPN', '1 x 256 x 64 x 80', '1'],
        *(['', '', f'1 x 256 x {h} x {w}', ''] for h, w in [(32, 40), (16, 20), (8, 10), (4, 5)]),
        ['neck.fpn_convs.0', 'ConvModule', '1 x 256 x 64 x 80', '1'],
        ['roi_head.mask_head.upsample', 'ConvTranspose2d', '4 x 256 x 28 x 28', '1'],
    ]


@pytest.mark.parametrize(
    ('text', 'args', 'message'),
    [
        ("model = dict(type='VAN', arch='b0')", ['--pattern', '('], r"pattern '(' is no regular"),
        ("optimizer = dict(type='SGD')", [], 'has no model'),
    ],
    ids=['pattern', 'no model'],
)
def test_an_error_is_one_line(tmp_path, text, args, message):
    (tmp_path / 'config.py').write_text(text)
    done = list_sites(tmp_path / 'config.py', *args)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
