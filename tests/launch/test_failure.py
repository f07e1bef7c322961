"""Who tells of an error before the ranks have joined."""

import socket

import pytest
import torch.distributed as dist

from mmattn.launch import failure


@pytest.fixture
def torchrun(monkeypatch):
    """A store as torchrun holds it for its ranks."""
    listener = socket.create_server(('127.0.0.1', 0))
    port = listener.getsockname()[1]
    env = dict(TORCHELASTIC_USE_AGENT_STORE='True', TORCHELASTIC_RUN_ID='a')
    for name, value in dict(env, MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port)).items():
        monkeypatch.setenv(name, value)
    store = dist.TCPStore(
        '127.0.0.1',
        port,
        is_master=True,
        wait_for_workers=False,
        master_listen_fd=listener.detach(),
    )
    yield monkeypatch.setenv
    del store


def told(capsys, setenv, ranks):
    for rank in ranks:
        setenv('RANK', rank)
        failure.tell('config nope.py is not a file; check the path')
    return capsys.readouterr().err.splitlines()


def test_one_of_the_ranks(torchrun, capsys):
    line = 'error: rank {}: config nope.py is not a file; check the path'
    assert told(capsys, torchrun, '102') == [line.format(1)]
    # Those of the next start do not know of it.
    torchrun('TORCHELASTIC_RESTART_COUNT', '1')
    assert told(capsys, torchrun, '02') == [line.format(0)]


@pytest.mark.parametrize(
    ('name', 'value'),
    [('TORCHELASTIC_USE_AGENT_STORE', 'False'), ('MASTER_PORT', 'x'), ('MASTER_PORT', '1')],
    ids=['none', 'no port', 'dead'],
)
def test_each_for_itself_without_a_store(torchrun, capsys, monkeypatch, name, value):
    monkeypatch.setattr(failure, '_ROLL_CALL', 0.2)
    torchrun(name, value)
    assert len(told(capsys, torchrun, '01')) == 2
