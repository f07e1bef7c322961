import threading
from concurrent.futures import TimeoutError

import pytest
import torch.distributed as dist

from mmattn.compat import TORCH
from mmattn.launch import heartbeat
from mmattn.launch.ask import ask
from mmattn.launch.heartbeat import Heartbeat


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    # Before 2.3, to ask for what is not there takes 0.01 s.
    monkeypatch.setattr(heartbeat, '_INTERVAL', 0.01 if TORCH >= (2, 3) else 0.05)
    monkeypatch.setattr(heartbeat, '_SILENT', 0.1)


class Store(dist.TCPStore):
    def __init__(self):
        super().__init__('127.0.0.1', 0, is_master=True, wait_for_workers=False)


class Beating:
    """A rank, and what its heartbeat misses."""

    def __init__(self, store, rank, world_size=3, patience=0.3):
        self.missed, self.told = 'nobody', threading.Event()
        self.heartbeat = Heartbeat(store, rank, world_size, patience, self.miss)
        self.heartbeat.start()

    def miss(self, ranks):
        self.missed = ranks
        self.told.set()


@pytest.fixture
def three():
    server = Store()
    # A connection of its own for each, as they have it in a run.
    stores = [
        dist.TCPStore('127.0.0.1', server.port, is_master=False, wait_for_workers=False)
        for _ in range(3)
    ]
    ranks = [Beating(store, rank) for rank, store in enumerate(stores)]
    yield ranks
    for rank in ranks:
        rank.heartbeat.leave()


class Silent(Store):
    """A store whose process is stopped after some answers."""

    answers = 3

    def set(self, key, value):
        self.answers -= 1
        if not self.answers:
            threading.Event().wait()
        super().set(key, value)


def test_nobody_is_missed_while_all_beat(three):
    assert not three[0].told.wait(1)
    assert not three[1].told.is_set()


@pytest.mark.parametrize('stopped', [0, 2])
def test_one_that_is_silent_is_missed(stopped):
    store = Store()
    ranks = [Beating(store, rank, patience=0.3) for rank in range(3) if rank != stopped]
    # It has shown itself once.
    store.set(f'beat/{stopped}', '1')
    assert ranks[0].told.wait(5)
    assert ranks[0].missed == [stopped]
    others = [rank for rank in range(3) if rank != stopped]
    assert ranks[0].heartbeat.is_silent(stopped)
    assert not any(map(ranks[0].heartbeat.is_silent, others))
    # All look at rank 0, and only rank 0 at the others.
    assert ranks[1].told.wait(0.2 if stopped else 5) == (stopped == 0)
    for rank in ranks:
        rank.heartbeat.leave()


def test_one_that_has_left_is_not_missed(three):
    three[2].heartbeat.leave()
    three[1].heartbeat.leave()
    assert not three[0].told.wait(1)


def test_one_that_has_not_joined_is_not_missed():
    alone = Beating(Store(), 0, patience=0.1)
    assert not alone.told.wait(0.5)
    alone.heartbeat.leave()


def test_a_store_that_is_silent_is_missed():
    alone = Beating(Silent(), 1, patience=0.1)
    assert alone.told.wait(5)
    assert alone.missed is None


def test_a_rank_that_waits_ends_when_another_has_told(monkeypatch):
    statuses = []
    ended = threading.Event()

    def end(status):
        statuses.append(status)
        ended.set()

    monkeypatch.setattr(heartbeat, '_GRACE', 0.1)
    monkeypatch.setattr(heartbeat.os, '_exit', end)
    store = Store()
    waiting = Beating(store, 1)
    assert not ended.wait(0.3)
    store.set('failed', '0')
    assert ended.wait(5)
    waiting.heartbeat.leave()
    assert set(statuses) == {1}


def test_an_answer_is_waited_for_in_vain():
    with pytest.raises(TimeoutError):
        ask(threading.Event().wait).result(0.1)
    assert ask(lambda: 3).result(5) == 3
    with pytest.raises(ZeroDivisionError):
        ask(lambda: 1 / 0).result(5)
