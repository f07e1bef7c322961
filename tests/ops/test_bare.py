import pytest
from torch import nn

from mmattn.ops.bare import is_bare
from mmattn.probe.running import follow


@pytest.mark.parametrize(
    'register',
    [
        nn.Module.register_forward_hook,
        nn.Module.register_forward_pre_hook,
        nn.Module.register_full_backward_hook,
        nn.Module.register_full_backward_pre_hook,
    ],
)
def test_a_hook_counts_as_long_as_it_is_there(register):
    conv = nn.Conv2d(1, 1, 1)
    assert is_bare(conv)
    handle = register(conv, lambda *_: None)
    assert not is_bare(conv)
    handle.remove()
    assert is_bare(conv)


def test_a_forward_of_its_own_counts_unless_it_only_watches():
    conv = nn.Conv2d(1, 1, 1)
    with follow(conv):
        assert 'forward' in vars(conv) and is_bare(conv)
    conv.forward = lambda x: 2 * x
    assert not is_bare(conv)
