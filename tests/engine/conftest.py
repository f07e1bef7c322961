import pytest


@pytest.fixture(autouse=True)
def unformatted_configs(monkeypatch):
    """Spare each checkpoint the formatting of its config, which takes longer than a training."""
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, True))
