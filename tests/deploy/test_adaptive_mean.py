import pytest
import torch
from torch import nn

from mmattn.deploy.adaptive_mean import AdaptiveMean, replace_adaptive_means


@pytest.mark.parametrize('size', [(1, 1), (2, 3), (6, 6), (9, 4), (None, 2), (3, None)], ids=str)
@pytest.mark.parametrize('map_size', [(6, 6), (7, 5), (1, 13)], ids=str)
def test_is_the_pooling_of_pytorch(size, map_size):
    x = torch.rand(2, 3, *map_size)
    torch.testing.assert_close(AdaptiveMean(size)(x), nn.AdaptiveAvgPool2d(size)(x))


def test_replaces_what_is_more_than_a_mean():
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.AdaptiveAvgPool2d((2, 3))))
    x = torch.rand(1, 2, 1, 1)
    before = model(x)
    replace_adaptive_means(model)
    assert isinstance(model[0], nn.AdaptiveAvgPool2d) and isinstance(model[1][0], AdaptiveMean)
    torch.testing.assert_close(model(x), before)
