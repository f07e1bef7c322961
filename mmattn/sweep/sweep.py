"""A sweep from its plan to its results, taken up again wherever it was broken off."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mmattn.errors import InputError
from mmattn.files.lock import in_turn
from mmattn.sweep.claims import Worker, is_alive, working
from mmattn.sweep.config_files import Base, write_config
from mmattn.sweep.costs import measure
from mmattn.sweep.database import Database, Record
from mmattn.sweep.plan import Plan, Run
from mmattn.sweep.progress import Display
from mmattn.sweep.training import Failed, Interrupted, Launch, do_run

# Seconds between two looks at the runs of other processes.
_PAUSE = 5


class Sweep:
    """A sweep in a folder: its plan, its files and its results.

    Args:
        folder: Folder of the sweep.
        plan: What is to be run.
        base: Its base config, read.

    Raises:
        InputError: If the folder holds another sweep, or cannot be used.
    """

    def __init__(self, folder: Path, plan: Plan, base: Base) -> None:
        self.folder = folder.resolve()
        self.plan, self.base = plan, base
        try:
            for name in ('configs', 'runs', 'workers'):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f'{folder} cannot be written ({error.strerror}); give another --out'
            ) from error
        self.database = Database(self.folder, create=True)
        self._check_base()
        runs = [*plan.runs()]
        self.add(runs)
        self.database.forget(run.row for run in runs)

    def _check_base(self) -> None:
        facts = dict(
            base=self.base.path,
            digest=self.base.digest,
            metric=self.base.metric,
            baseline=self.plan.baseline,
            plan=self.plan.text,
            by_epoch=str(self.base.by_epoch),
        )
        former = self.database.facts()
        if former.get('metric', self.base.metric) != self.base.metric:
            raise InputError(
                f'{self.folder} compares {former["metric"]}, this plan {self.base.metric}; give '
                'another --out'
            )
        begun = [row['name'] for row in self.database.rows('SELECT * FROM runs WHERE starts > 0')]
        if begun and former['digest'] != self.base.digest:
            raise InputError(
                f'{self.base.path} is not what it was when {begun[0]} began: its runs '
                'could not be compared; put it back, or give another --out'
            )
        self.database.note(**facts)

    def add(self, runs: list[Run]) -> None:
        """Add runs to those that are to be done, and write their configs."""
        self.database.add(runs)
        for run in runs:
            write_config(run, self.base, self.folder / 'configs')

    def _iterations(self) -> int:
        """Give the iterations of a run, or 0 where runs differ or epochs are counted."""
        lengths = self.plan.lengths or (self.base.cfg.train_cfg.get('max_iters', 0),)
        return 0 if self.base.by_epoch or len(lengths) > 1 else lengths[0]

    def work(self, launch: Launch, *, one: bool = False) -> None:
        """Do the runs that nobody has done or is doing.

        Args:
            launch: How trainings are started.
            one: Whether to end after one run, and not to wait for those of other processes.
        """
        total = len(self.database.runs())
        alive = partial(is_alive, self.folder / 'workers')
        with (
            working(self.folder / 'workers') as worker,
            Display(total, self._count_done(), self._iterations()) as display,
        ):
            waits = False
            while True:
                record = self.database.claim(worker.name, alive)
                if record is not None:
                    waits = False
                    self._do(record, launch, worker, display)
                if one:
                    return
                if record is None:
                    if not any(r.state == 'running' for r in self.database.runs()):
                        return
                    if not waits:
                        display.say('waiting for runs of other processes; Ctrl-C leaves them alone')
                    waits = True
                    time.sleep(_PAUSE)

    def _do(self, record: Record, launch: Launch, worker: Worker, display: Display) -> None:
        begin = time.monotonic()
        config = self.folder / 'configs' / f'{record.name}.py'
        work_dir = self.folder / 'runs' / record.name
        display.begin(record.name, (work_dir / 'last_checkpoint').is_file())
        try:
            outcome = do_run(config, work_dir, self.base.metric, launch, worker, display.watch)
        except (Interrupted, KeyboardInterrupt):
            self.database.release(record.id, time.monotonic() - begin)
            raise
        except (Failed, OSError) as error:
            # Such as a folder that cannot be written any more.
            self.database.fail(record.id, str(error), time.monotonic() - begin)
            display.end(f'{record.name} failed: {error}', self._count_done())
            return
        self.database.finish(record.id, outcome, time.monotonic() - begin)
        value = outcome.test[self.base.metric]
        line = f'{record.name}: {self.base.metric} {value:.4g} on the test'
        display.end(line, self._count_done())

    def _count_done(self) -> int:
        return sum(record.state == 'done' for record in self.database.runs())

    def measure(self, device: str | None, say: Callable[[str], None]) -> None:
        """Count and time each variant, one after another, when all runs are over.

        Args:
            device: What is timed: ``'cpu'``, ``'cuda'``, or None for a GPU if there is one.
            say: Takes a line for the user.
        """
        lock = self.folder / 'measuring.lock'
        with in_turn(lock, lambda: say('another process measures the latency')):
            if any(r.state in ('waiting', 'running') for r in self.database.runs()):
                return
            known = {
                row['variant']
                for row in self.database.rows('SELECT variant FROM costs WHERE error IS NULL')
            }
            configs = {r.variant: r.name for r in reversed(self.database.runs())}
            for variant, name in reversed(configs.items()):
                if variant in known:
                    continue
                path = self.folder / 'configs' / f'{name}.py'
                try:
                    cost = measure(path, self.plan.shape, device)
                except InputError as error:
                    say(f'{variant}: the costs are not known: {error}')
                    cost = dict(error=str(error))
                self.database.write_cost(variant, **cost)
