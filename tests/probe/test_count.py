"""Counts by hand."""

import pytest
from mmengine.config import Config
from torch import nn

from mmattn.probe.build import meta_device
from mmattn.probe.count import count_multiply_adds, count_parameters, counted_size


class TwoMaps(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(4, 6, 1)])
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x, y):
        return self.norm(self.convs[0](x)).mean() + self.convs[1](y).mean()


def test_convolutions_count_and_norms_do_not():
    with meta_device():
        module = TwoMaps()
    assert count_parameters(module) == (4 * 6 * 9 + 6) + (4 * 6 + 6) + 2 * 6
    shapes = (1, 4, 5, 7), (1, 4, 3, 2)
    assert count_multiply_adds(module, *shapes) == 4 * 6 * 9 * 5 * 7 + 4 * 6 * 3 * 2


@pytest.mark.parametrize(
    ('cfg', 'size'),
    [
        (dict(default_scope='mmseg'), (512, 512)),
        (dict(default_scope='mmseg', published=dict(paper='A')), (512, 512)),
        (dict(default_scope='mmseg', published=dict(flops_shape=[64, 32])), (64, 32)),
        (dict(), None),
    ],
    ids=['usual', 'published without size', 'published', 'neither'],
)
def test_size_of_the_image(cfg, size):
    assert counted_size(Config(cfg)) == size
