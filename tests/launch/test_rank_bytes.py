"""What is said of a rank before a job, and what two ranks over gloo then have and send."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmattn.engine.cluster import optimizer_state, plan_ddp, plan_sharded
from tests.helpers import needs_torch
from tests.launch.helpers import ENV
from tests.launch.rank_bytes import Net

SCRIPT = Path(__file__).with_name('rank_bytes.py')
RANKS = 2


@pytest.fixture(scope='module')
def held(tmp_path_factory):
    """Give what the first rank has and sends, by the way to train."""
    store = tmp_path_factory.mktemp('ranks') / 'store'
    command = [sys.executable, SCRIPT]
    ranks = [
        subprocess.Popen(
            [*map(str, command), str(rank), str(RANKS), str(store)],
            env=ENV,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(RANKS)
    ]
    outputs = [rank.communicate(timeout=300)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * RANKS
    return json.loads(outputs[0].splitlines()[-1])


@pytest.fixture
def planned():
    model = Net().to('meta')
    cfg = Config(dict(optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.001))))
    return model, optimizer_state(model, cfg)


@needs_torch('2.6', 'FSDP2')
def test_ddp(held, planned):
    plan = plan_ddp(*planned, RANKS)
    assert plan.memory._asdict() == held['DDP']
    # Of two ranks, each sends as much as the buckets hold.
    assert plan.traffic == held['DDP']['copies']


@needs_torch('2.6', 'FSDP2')
def test_sharded(held, planned):
    plan = plan_sharded(*planned, RANKS, ['Unit'])
    said = {**plan.memory._asdict(), 'traffic': plan.traffic}
    del said['copies']
    assert said == held['sharded']
    # Less than the whole, and not much more than half of it.
    assert 0.5 <= said['parameters'] / held['DDP']['parameters'] < 0.6
