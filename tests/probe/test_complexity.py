"""All counts of a model, for its parts, and what cannot be counted."""

import pytest
import torch
from torch import nn

from mmattn.attention import SE, CoordAtt
from mmattn.errors import InputError
from mmattn.fusion import AddFusion
from mmattn.probe.build import meta_device
from mmattn.probe.complexity import Part, count_complexity


class Stage(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 1, bias=False)
        self.attention = SE(channels, reduction=2)

    def forward(self, x):
        return self.attention(self.conv(x)).relu()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(Stage(4), nn.Conv2d(4, 3, 1, bias=False), Stage(8))
        self.unused = CoordAtt(8)
        self.add = AddFusion(8)

    def forward(self, x):
        x = self.backbone(x)
        return self.add(x, x)


@pytest.fixture(scope='module')
def counts():
    with meta_device():
        return count_complexity(Net(), (3, 5, 7), 2)


PIXELS, FLOAT = 35, 4


def test_parts_down_to_a_depth(counts):
    [backbone] = [part for name, part in counts.parts(1).items() if name == 'backbone']
    stage, conv, last = (counts.parts(2)[f'backbone.{i}'] for i in range(3))
    assert backbone == stage.plus(conv).plus(last)
    # Kept by the convolution: its input.
    assert conv == Part(12, 12 * PIXELS, 0, 3 * PIXELS, 0)
    own = counts.parts(3)
    assert own['backbone.0.conv'] == Part(12, 12 * PIXELS, 0, 4 * PIXELS, 2 * 3 * PIXELS * FLOAT)
    # ReLU, and its result, which the next convolution keeps as well.
    assert own['backbone.0'] == Part(0, 0, 4 * PIXELS, 0, 2 * 4 * PIXELS * FLOAT)


@pytest.mark.parametrize('depth', [1, 2, 9])
def test_parts_are_the_model_together(counts, depth):
    total = Part()
    for part in counts.parts(depth).values():
        total = total.plus(part)
    assert total == counts.total
    assert counts.total.parameters == sum(p.numel() for p in Net().parameters())


def test_attention_is_there_and_runs(counts):
    """An addition is none."""
    assert counts.attention == {'SE': 2, 'CoordAtt': 1}
    assert counts.idle == ['unused']


def test_sizes_that_do_not_fit():
    model = nn.Conv2d(3, 4, 9).to('meta')
    with pytest.raises(InputError, match=r'3 x 5 x 7 \(RuntimeError: .*; try another --shape'):
        count_complexity(model, (3, 5, 7), 2)


class AsksInTraining(nn.Module):
    def forward(self, x):
        if self.training and x.sum() > 0:
            return x
        return x.sigmoid()


def test_training_that_needs_values_is_not_counted():
    counts = count_complexity(AsksInTraining(), (3, 5, 7), 2)
    assert counts.total.operations == 3 * PIXELS
    assert list(counts.uncounted) == ['training']
    assert (counts.total.kept, counts.peak) == (0, 0)


def test_mask2former_has_parameters_only():
    model = nn.Module()
    model.panoptic_head = nn.Linear(3, 4)
    counts = count_complexity(model, (3, 5, 7), 2)
    assert list(counts.uncounted) == ['prediction', 'training']
    assert counts.total == Part(parameters=16)
    assert counts.idle == []
    assert torch.is_grad_enabled()
