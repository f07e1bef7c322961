import pytest
import torch

from mmattn.ops.lka_gate import lka_gate


def test_is_a_product():
    x, attention = torch.randn(2, 3, 5, 7), torch.randn(2, 3, 5, 7)
    torch.testing.assert_close(lka_gate(x, attention), torch.einsum('...,...->...', x, attention))


def test_wrong_shape():
    with pytest.raises(ValueError, match=r'expected attention of shape \(1, 2, 3, 4\), got \(1, 1'):
        lka_gate(torch.rand(1, 2, 3, 4), torch.rand(1, 1, 3, 4))
