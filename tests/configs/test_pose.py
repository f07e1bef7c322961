"""The pose configs are read alone: mmpose is not a requirement."""

import pytest

from tests.configs import leaves


@pytest.mark.parametrize(
    ('size', 'flops', 'score'), [('256x192', 6.1, 74.9), ('384x288', 13.6, 76.7)]
)
def test_recipe_of_simple_baseline(size, flops, score):
    cfg = leaves.read(leaves.named('pose', f'simple_baseline_van_b2_coco-{size}'))
    assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=5e-4)
    assert cfg.train_cfg.max_epochs == 210
    assert cfg.train_dataloader.batch_size == 64
    assert 'x'.join(str(side) for side in cfg.codec.input_size[::-1]) == size
    assert (cfg.published.flops, cfg.published.metrics) == (flops, dict(AP=score))
