import pytest

from tests.doctor.site import Site


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of stub packages that is all this process and its children find."""
    return Site(tmp_path / 'site', monkeypatch)


@pytest.fixture
def healthy(site):
    """The same with forks in which nothing is wrong."""
    site.add_forks()
    return site


@pytest.fixture
def stock(site):
    """The same with stock packages in which nothing is wrong."""
    site.add_stock()
    return site
