"""What scripts of 0.1.0 import is still there, and says where it is now."""

import importlib
import sys

import pytest

import mmattn.engine


@pytest.mark.parametrize('name', ['mmattn.checkpoints', 'mmattn.engine.checkpoint_files'])
def test_modules(name):
    sys.modules.pop(name, None)
    with pytest.warns(FutureWarning, match=f'{name} is .* now'):
        module = importlib.import_module(name)
    assert all(hasattr(module, each) for each in module.__all__)


@pytest.mark.parametrize('name', mmattn.engine._FORMER_NAMES)
def test_names_of_the_engine(name):
    with pytest.warns(FutureWarning, match=rf'mmattn\.engine\.{name} is mmattn\.engine\..* now'):
        assert getattr(mmattn.engine, name).__name__ == name


def test_other_names_are_unknown():
    with pytest.raises(AttributeError, match="has no attribute 'Trainer'"):
        mmattn.engine.Trainer  # noqa: B018
