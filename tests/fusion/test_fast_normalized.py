import pytest
import torch
import torch.nn.functional as F

from mmattn.fusion import BiFPNFusion, FastNormalizedFusion
from mmattn.testing.promises import randomize


def mean(weights, maps):
    positive = [max(w, 0.0) for w in weights.tolist()]
    return sum(w * x for w, x in zip(positive, maps, strict=True)) / (sum(positive) + 1e-4)


@pytest.mark.parametrize(
    'weights', [[1.0, 1.0], [1.3, -0.4, 0.2], [-1.0, -2.0], [0.1] * 5], ids=str
)
def test_equation(weights):
    module = FastNormalizedFusion(8, num_inputs=len(weights)).double()
    assert torch.equal(module.weights, torch.ones(len(weights), dtype=torch.float64))
    module.weights.data = torch.tensor(weights, dtype=torch.float64)
    maps = torch.randn(len(weights), 2, 8, 5, 3, dtype=torch.float64).unbind()
    torch.testing.assert_close(module(*maps), mean(module.weights, maps))
    gates = module.gates(*maps)
    assert list(gates)[:2] == ['factor_of_x', 'factor_of_y']
    total = sum(gate * x for gate, x in zip(gates.values(), maps, strict=True))
    torch.testing.assert_close(module(*maps), total)


@pytest.mark.parametrize('training', [False, True])
def test_node_of_bifpn(training):
    module = randomize(BiFPNFusion(8, num_inputs=3)).double().train(training)
    maps = torch.randn(3, 2, 8, 5, 3, dtype=torch.float64).unbind()
    x = mean(module.weights, maps)
    p = {key: value.clone() for key, value in module.conv.state_dict().items()}
    x = F.conv2d(x * x.sigmoid(), p['depthwise_conv.weight'], padding=1, groups=8)
    x = F.conv2d(x, p['pointwise_conv.weight'], p['pointwise_conv.bias'])
    statistics = p['bn.running_mean'], p['bn.running_var'], p['bn.weight'], p['bn.bias']
    x = F.batch_norm(x, *statistics, training=training, eps=1e-3)
    torch.testing.assert_close(module(*maps), x)


def test_starts_as_the_sum_of_all():
    maps = torch.randn(3, 2, 8, 5, 3).unbind()
    for kind in (FastNormalizedFusion, BiFPNFusion):
        assert torch.equal(
            kind(8, num_inputs=3, start='identity')(*maps), maps[0] + maps[1] + maps[2]
        )


def test_wrong_maps():
    x = torch.rand(1, 8, 3, 3)
    module = FastNormalizedFusion(8, num_inputs=3)
    with pytest.raises(ValueError, match='FastNormalizedFusion expected 3 maps, got 2'):
        module(x, x)
    with pytest.raises(ValueError, match=r'x and y and z of one shape, .* and z \(1, 8, 3, 2\)'):
        module(x, x, x[..., :2])
    with pytest.raises(ValueError, match='num_inputs has to be a whole number from 2 to 16, got 1'):
        FastNormalizedFusion(8, num_inputs=1)
