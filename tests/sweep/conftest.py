import pytest

from mmattn.sweep.database import Database, Outcome
from mmattn.sweep.plan import make_plan


@pytest.fixture
def finished(tmp_path):
    """The folder of a sweep of three rows and three seeds; the last row has lost one."""
    plan = make_plan(
        dict(base='b.py', modules=['SE', 'CoordAtt'], positions='neck', seeds=[0, 1, 2])
    )
    values = dict(none=[60.0, 61.0, 62.0], SE=[60.5, 60.8, 62.1], CoordAtt=[62.0, 63.1, 64.2])
    with Database(tmp_path, create=True) as database:
        database.note(metric='mIoU', baseline='none', base='b.py', by_epoch='False', plan=plan.text)
        database.add(plan.runs())
        while (record := database.claim('me', lambda name: True)) is not None:
            if (record.row, record.seed) == ('SE', 2):
                database.fail(record.id, 'no memory', 1.0)
                continue
            value = values[record.row][record.seed]
            outcome = Outcome(
                val={'mIoU': value + 1},
                test={'mIoU': value, 'aAcc': 80.0},
                scalars=[('loss', 10, 2.0 - record.seed / 10), ('mIoU', 20, value)],
                memory=1000.0 + record.seed,
                memory_of='process',
                machine='a machine, 2 cores',
                versions={'torch': '2.1.0'},
                revision='0.1.0, commit abc',
                command='mmattn train x.py',
            )
            database.finish(record.id, outcome, 1.0)
        costs = dict(height=96, width=128, latency_spread=0.5, machine='a machine')
        database.write_cost('none', parameters=1e6, multiply_adds=2e9, latency=10.0, **costs)
        database.write_cost('CoordAtt', parameters=1.5e6, multiply_adds=3e9, latency=12.0, **costs)
        database.write_cost('SE', error='cannot be run')
    return tmp_path
