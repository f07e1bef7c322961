"""Names that attention modules get in their hosts: checkpoints have them."""

import pytest

from mmattn import attention
from mmattn.attention.base import Attention


@pytest.mark.parametrize('name', attention.__all__)
def test_abbreviation_is_the_name_of_the_file(name):
    kind = getattr(attention, name)
    file = kind.__module__.rpartition('.')[2]
    # Modules of others share a file.
    assert kind._abbr_ == ('timm_attention' if file == 'foreign' else file)


@pytest.mark.parametrize(
    ('name', 'abbr'), [('RowGate', 'row_gate'), ('SEGate2', 'se_gate2'), ('gate', 'gate')]
)
def test_abbreviation_is_the_name_of_the_class_where_none_is_given(name, abbr):
    kind = type(name, (Attention,), {})
    assert kind._abbr_ == abbr
    assert type('Other', (kind,), {})._abbr_ == abbr
    assert type(name, (Attention,), dict(_abbr_='own'))._abbr_ == 'own'
