import pytest

from mmattn.weights.sources import register_sources


@pytest.fixture(autouse=True, scope='session')
def own_loaders():
    """As whatever loads weights registers them."""
    register_sources()
