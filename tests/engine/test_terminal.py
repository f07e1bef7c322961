"""What of a log reaches the terminal, and what only its file."""

import logging
import os
import sys
import types
import warnings

import mmengine.logging
import pytest
from mmengine.logging import MMLogger, print_log

from mmattn.engine import terminal


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """Leave the loggers, the warnings and the output of this process as they are."""
    monkeypatch.setattr(MMLogger, '_instance_dict', type(MMLogger._instance_dict)())
    monkeypatch.setattr(terminal, '_sparing', None)
    monkeypatch.setattr(mmengine.logging, 'print_log', print_log)
    with warnings.catch_warnings():
        warnings.simplefilter('always')
        yield


def say_as(module, function, level=logging.INFO, text='a line'):
    """Log a line from a function of a module of that name."""
    there = types.ModuleType(module)
    code = f'def {function}(log, text, level): log(text, logger="current", level=level)'
    exec(code, vars(there))
    vars(there)[function](print_log, text, level)


def logger_of_a_run(tmp_path, name='run'):
    logger = MMLogger.get_instance(name, log_file=str(tmp_path / f'{name}.log'))
    terminal.watch(logger)
    return logger


@pytest.mark.parametrize(
    ('module', 'function', 'level', 'passes'),
    [
        ('mmengine.runner.runner', '_log_env', logging.INFO, False),
        ('mmengine.runner.runner', 'resume', logging.INFO, True),
        ('mmengine.runner.runner', 'scale_lr', logging.INFO, True),
        ('mmengine.optim.optimizer.default_constructor', 'add_params', logging.INFO, False),
        ('mmdet.models.layers', 'forward', logging.INFO, False),
        ('mmdet.models.layers', 'forward', logging.WARNING, True),
        ('mmdet.models.layers', 'forward', logging.ERROR, True),
        ('mmattn.weights.report', 'refuse_or_log', logging.INFO, True),
        ('my_package.hooks', 'before_run', logging.INFO, True),
    ],
)
@pytest.mark.parametrize('verbose', [False, True], ids=['short', 'verbose'])
def test_until_the_first_iteration(tmp_path, capsys, verbose, module, function, level, passes):
    terminal.use(verbose)
    logger_of_a_run(tmp_path)
    say_as(module, function, level)
    assert ('a line' in capsys.readouterr().out) == (passes or verbose)
    terminal.begin()
    say_as(module, function, level, 'another line')
    assert 'another line' in capsys.readouterr().out
    text = (tmp_path / 'run.log').read_text()
    assert 'a line' in text and 'another line' in text


def test_a_second_run_begins_as_short(tmp_path, capsys):
    terminal.use(verbose=False)
    for name in ('one', 'two'):
        logger_of_a_run(tmp_path, name)
        say_as('mmengine.runner.runner', '_log_env', text=f'environment of {name}')
        terminal.begin()
    assert 'environment' not in capsys.readouterr().out
    assert 'environment of two' in (tmp_path / 'two.log').read_text()


IDLE = '"FileClient" will be deprecated in future.'
IDLE_OF_PYTHON = 'Default ``avg_non_ignore`` is False, if you would like to ignore'


def test_idle_warnings_are_in_the_file_only_even_those_from_before_it(tmp_path, capsys):
    terminal.use(verbose=False)
    say_as('mmengine.fileio', 'early', logging.WARNING, IDLE)
    warnings.warn(IDLE_OF_PYTHON, stacklevel=1)
    logger_of_a_run(tmp_path)
    terminal.begin()
    say_as('mmengine.fileio', 'late', logging.WARNING, f'{IDLE} Again')
    warnings.warn(f'{IDLE_OF_PYTHON} again', stacklevel=1)
    assert capsys.readouterr() == ('', '')
    text = (tmp_path / 'run.log').read_text()
    assert [text.count(line) for line in (IDLE, f'{IDLE} Again')] == [2, 1]
    assert [text.count(line) for line in (IDLE_OF_PYTHON, f'{IDLE_OF_PYTHON} again')] == [2, 1]


def test_other_warnings_of_python_go_where_they_went(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(warnings, 'showwarning', lambda message, *_: shown.append(str(message)))
    terminal.use(verbose=False)
    logger_of_a_run(tmp_path)
    warnings.warn('look at this', stacklevel=1)
    warnings.warn(IDLE_OF_PYTHON, stacklevel=1)
    assert shown == ['look at this']


def test_without_a_command_all_is_as_mmengine_has_it(tmp_path, capsys):
    logger_of_a_run(tmp_path)
    say_as('mmengine.runner.runner', '_log_env')
    assert 'a line' in capsys.readouterr().out


def test_goes_on_where_nobody_reads_the_output(tmp_path, capfd, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, 'w')
    monkeypatch.setattr(sys, 'stdout', stream)
    terminal.use(verbose=False)
    logger = logger_of_a_run(tmp_path)
    for line in ('one', 'two', 'three'):
        logger.warning(line)
    stream.close()
    assert capfd.readouterr().err == (
        'warning: nobody reads the output any more; the run goes on, and so does the log in its '
        'work dir\n'
    )
    assert (tmp_path / 'run.log').read_text().count(' - WARNING - ') == 3


@pytest.mark.parametrize('verbose', [False, True], ids=['short', 'verbose'])
def test_what_packages_print_for_debugging_while_they_are_imported(capsys, verbose):
    terminal.use(verbose)
    code = (
        'import logging\n'
        'from mmengine.logging import print_log\n'
        "print_log('Could not import OneDL', level=logging.DEBUG)\n"
        "print_log('of use')\n"
    )
    exec(code, vars(types.ModuleType('package')))
    lines = capsys.readouterr().out.splitlines()
    assert lines == ['Could not import OneDL'] * verbose + ['of use']
