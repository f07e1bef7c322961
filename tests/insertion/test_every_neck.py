"""Insertion into every neck of mmdet and mmseg."""

import pytest

from mmattn.errors import InputError
from mmattn.probe.dry_run import dry_run
from tests.insertion.contract import check
from tests.insertion.hosts import NO_NECKS, build, necks

NECKS = {name: config for name, config in necks().items() if name not in NO_NECKS}

# What the attributes of a neck do not tell, or smaller maps for one with a whole backbone inside.
INPUT_SHAPES = {
    'mmdet.RFP': [(3, 128, 192), (256, 32, 48), (512, 16, 24), (1024, 8, 12), (2048, 4, 6)],
    'mmdet.SSDNeck': [(16, 20, 20), (32, 10, 10)],
}


@pytest.mark.parametrize('name', NECKS)
def test_starts_as_the_host_and_trains(name):
    check(NECKS[name], 'after', INPUT_SHAPES.get(name))


@pytest.mark.parametrize('name', NO_NECKS)
def test_an_exception_does_not_run(name):
    with pytest.raises(InputError):
        dry_run(build(necks()[name]))
