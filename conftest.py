import gc
import logging
import os
import signal

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

from mmattn.testing.promises import why_not_half

# Whoever starts the tests behind nohup, or in the background, ignores them.
for _number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(_number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One more than there are cores, since many tests wait for what they start; each needs 5 GB."""
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return max(1, min(os.cpu_count() + 1, 4, int(memory / 5e9)))


def pytest_collection_modifyitems(items):
    """Begin with what has a limit of its own, being long: at the end the others would be idle."""
    items.sort(key=lambda item: item.get_closest_marker('timeout') is None)


def pytest_collection_finish():
    """Leave what was imported out of every later garbage collection; mmengine asks for many."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """Skip what PyTorch has no float16 for; each such test would have to say so otherwise."""
    try:
        return (yield)
    except Exception as error:
        reason = why_not_half(error)
        if reason is None:
            raise
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def no_default_scope():
    """Leave no default scope to the next test: mmengine would look up names there."""
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture(autouse=True)
def no_visualizer():
    """Leave no visualizer to the next test: mmengine gives it to whoever asks for one of its name,
    and the folder that it writes to is gone by then."""
    yield
    kinds = [Visualizer]
    for kind in kinds:
        kinds += kind.__subclasses__()
        kind._instance_dict.clear()


@pytest.fixture(autouse=True)
def examples_log_nothing(request):
    """What an example logs would be among what it prints, or not, as a test before it left it."""
    if isinstance(request.node, pytest.DoctestItem):
        logging.disable()
    yield
    logging.disable(logging.NOTSET)
