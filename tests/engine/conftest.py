from functools import wraps
from itertools import count

import pytest
from mmengine.runner import Runner

_names = count()


@pytest.fixture(autouse=True)
def unformatted_configs(monkeypatch):
    """Spare each checkpoint the formatting of its config, which takes longer than a training."""
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, True))


@pytest.fixture(autouse=True)
def names_of_their_own(monkeypatch):
    """Let no two runs of a second have one message hub: mmengine names it after the time."""
    init = Runner.__init__

    @wraps(init)
    def named(self, *args, experiment_name=None, **kwargs):
        init(self, *args, experiment_name=experiment_name or f'run{next(_names)}', **kwargs)

    monkeypatch.setattr(Runner, '__init__', named)
