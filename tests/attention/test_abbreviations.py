"""Names that attention modules get in their hosts: checkpoints have them."""

import pytest

from mmattn import attention


@pytest.mark.parametrize('name', attention.__all__)
def test_abbreviation_is_the_name_of_the_file(name):
    kind = getattr(attention, name)
    file = kind.__module__.rpartition('.')[2]
    # Modules of others share a file.
    assert kind._abbr_ == ('timm_attention' if file == 'foreign' else file)
