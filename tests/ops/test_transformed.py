import pytest
import torch

from mmattn.ops.transformed import is_transformed


@pytest.mark.parametrize('transform', [torch.func.vmap, torch.func.grad, torch.func.jacrev])
def test_is_transformed(transform):
    seen = []

    def look(x):
        seen.append(is_transformed(x))
        return x.sum()

    x = torch.ones(2)
    transform(look)(x)
    look(x)
    assert seen == [True, False]
