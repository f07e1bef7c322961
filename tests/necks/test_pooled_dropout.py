import pytest
import torch

from mmattn import PooledDropout


def test_averages_every_map():
    maps = (torch.rand(2, 4, 3, 5), torch.rand(2, 6, 1, 1))
    pooled = PooledDropout(0.5).eval()(maps)
    for vector, x in zip(pooled, maps, strict=True):
        torch.testing.assert_close(vector, x.flatten(2).mean(2))


def test_drops_whole_channels_in_training_only():
    neck, maps = PooledDropout(0.25), (torch.ones(64, 256, 2, 2),)
    [vector] = neck(maps)
    assert (vector == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    torch.testing.assert_close(vector[vector > 0], torch.full_like(vector[vector > 0], 1 / 0.75))
    assert (neck.eval()(maps)[0] == 1).all()
