"""The one file of a sweep's results, which several processes may write."""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmattn.errors import InputError
from mmattn.sweep.plan import TRIAL, Run

FILE = 'sweep.db'
# Of the tables below; 'mmsw' tells whose file it is.
VERSION = 1
APPLICATION = int.from_bytes(b'mmsw', 'big')
# Seconds to wait for another process, whose transactions take milliseconds.
PATIENCE = 60.0

_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    variant TEXT NOT NULL,
    row TEXT NOT NULL,
    axes TEXT NOT NULL,                 -- JSON: {axis: label}
    seed INTEGER NOT NULL,
    recipe TEXT NOT NULL,               -- JSON: what is inserted, and what else changes
    state TEXT NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    worker TEXT,                        -- whose it is while it is running
    starts INTEGER NOT NULL DEFAULT 0,  -- how often it was begun or gone on with
    error TEXT,                         -- the one line of a failure
    seconds REAL NOT NULL DEFAULT 0,    -- of training and test, as far as they were not killed
    memory REAL,                        -- MiB: of the GPU, or of the process on a CPU
    memory_of TEXT,                     -- 'GPU' or 'process'
    finished TEXT,                      -- UTC
    machine TEXT, versions TEXT, revision TEXT, command TEXT
);
CREATE TABLE metrics (
    run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    part TEXT NOT NULL CHECK (part IN ('val', 'test')),
    name TEXT NOT NULL,
    value REAL,
    PRIMARY KEY (run, part, name)
);
CREATE TABLE scalars (
    run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    step INTEGER NOT NULL,
    value REAL,
    PRIMARY KEY (run, name, step)
) WITHOUT ROWID;
CREATE TABLE costs (
    variant TEXT PRIMARY KEY,
    parameters INTEGER,
    multiply_adds INTEGER,
    height INTEGER, width INTEGER,      -- of the image that both and the latency are for
    latency REAL, latency_spread REAL,  -- ms: median, and the distance of the quartiles
    machine TEXT,
    error TEXT
);
"""


@dataclass(frozen=True)
class Record:
    """A run as the database has it."""

    id: int
    name: str
    variant: str
    row: str
    axes: dict[str, str]
    seed: int
    recipe: str
    state: str
    worker: str | None
    error: str | None


@dataclass(frozen=True)
class Outcome:
    """What a run that has ended well leaves."""

    val: dict[str, float]
    """Metrics of the validation that chose the checkpoint."""

    test: dict[str, float]
    scalars: list[tuple[str, int, float]]
    """Name, step and value of all that was logged."""

    memory: float | None
    """MiB."""

    memory_of: str
    machine: str
    versions: dict[str, str]
    revision: str
    command: str


class Database:
    """The results of a sweep.

    The file may lie on a network file system: its journal is the classical one, since the other
    (WAL) needs memory that all processes share. Every change is one short transaction.

    Args:
        folder: Folder of the sweep.
        create: Whether to make the file if there is none.

    Raises:
        InputError: If there is none, it is no file of a sweep, of another version, or locked for
            too long.
    """

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        self.path = folder / FILE
        if not create and not self.path.is_file():
            raise InputError(f'{folder} has no {FILE}; expected the --out of mmattn sweep run')
        with self._explained():
            self._connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
            self._connection.execute('PRAGMA foreign_keys = ON')
            if create:
                self._make()
            self._check()

    def __enter__(self) -> 'Database':
        return self

    def __exit__(self, *args: object) -> None:
        self._connection.close()

    def _make(self) -> None:
        """Make the tables, unless another process is ahead."""
        with self.changing() as connection:
            if connection.execute('SELECT count(*) FROM sqlite_master').fetchone()[0]:
                return
            for statement in _TABLES.split(';\n'):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f'PRAGMA application_id = {APPLICATION}')
            connection.execute(f'PRAGMA user_version = {VERSION}')

    def _check(self) -> None:
        [application] = self._connection.execute('PRAGMA application_id').fetchone()
        [version] = self._connection.execute('PRAGMA user_version').fetchone()
        if application != APPLICATION:
            raise InputError(f'{self.path} is not the file of a sweep; give another folder')
        if version != VERSION:
            raise InputError(
                f'{self.path} is of another version: its tables are {version}, this mmattn reads '
                f'{VERSION}; use the mmattn that wrote it, or give a new folder'
            )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if 'locked' in str(error) or 'busy' in str(error):
                raise InputError(
                    f'{self.path} has been locked by another process for {PATIENCE:.0f} s; close '
                    'what has it open, and start again: nothing is lost'
                ) from error
            raise InputError(
                f'{self.path} cannot be used ({error}); see whether it is the file of a sweep, '
                'and whether its disk is full or may not be written'
            ) from error

    @contextlib.contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Change all that the body changes in one step, and nothing if it fails."""
        with self._explained():
            self._connection.execute('BEGIN IMMEDIATE')
            try:
                yield self._connection
            except BaseException:
                self._connection.execute('ROLLBACK')
                raise
            self._connection.execute('COMMIT')

    def rows(self, question: str, *values: Any) -> list[sqlite3.Row]:
        """Answer a question in SQL."""
        with self._explained():
            return self._connection.execute(question, values).fetchall()

    def facts(self) -> dict[str, str]:
        """Give what is true of the whole sweep."""
        return {row['name']: row['value'] for row in self.rows('SELECT * FROM facts')}

    def fact(self, name: str) -> str:
        """Give one of them.

        Raises:
            InputError: If the sweep was killed before it was written down.
        """
        facts = self.facts()
        if name not in facts:
            raise InputError(f'{self.path} has no plan yet; start mmattn sweep run with one again')
        return facts[name]

    def note(self, **facts: str) -> None:
        """Write down what is true of the whole sweep."""
        with self.changing() as connection:
            connection.executemany('INSERT OR REPLACE INTO facts VALUES (?, ?)', facts.items())

    def runs(self) -> list[Record]:
        """List the runs, in the order in which they are to be done."""
        return [_record(row) for row in self.rows('SELECT * FROM runs ORDER BY id')]

    def add(self, runs: Iterable[Run]) -> None:
        """Add the runs that are not there yet.

        Raises:
            InputError: If one of the same name is there, and was another one.
        """
        with self.changing() as connection:
            for run in runs:
                found = connection.execute(
                    'SELECT recipe, state FROM runs WHERE name = ?', (run.name,)
                ).fetchone()
                if found is None:
                    axes = json.dumps(run.axes)
                    connection.execute(
                        'INSERT INTO runs (name, variant, row, axes, seed, recipe) '
                        'VALUES (?, ?, ?, ?, ?, ?)',
                        (run.name, run.variant, run.row, axes, run.seed, run.recipe()),
                    )
                elif found['recipe'] != run.recipe():
                    raise InputError(
                        f'{self.path} has a run {run.name} with other options; give another --out, '
                        'or the row another name'
                    )

    def forget(self, rows: Iterable[str]) -> None:
        """Remove what is not done of rows that the plan has no longer; trials are of no plan.

        Args:
            rows: The rows of the plan.
        """
        kept = [*rows]
        marks = ', '.join('?' for _ in kept)
        with self.changing() as connection:
            connection.execute(
                "DELETE FROM runs WHERE state IN ('waiting', 'failed') "
                f"AND row NOT LIKE '{TRIAL}%' AND row NOT IN ({marks})",
                kept,
            )

    def retry(self) -> None:
        """Let the runs that failed wait for another try."""
        with self.changing() as connection:
            connection.execute(
                "UPDATE runs SET state = 'waiting', error = NULL WHERE state = 'failed'"
            )

    def claim(self, worker: str, is_alive: Callable[[str], bool]) -> Record | None:
        """Take the first run that nobody has, or whose worker is gone.

        Args:
            worker: Who takes it.
            is_alive: Tells of another worker whether it is still there.

        Returns:
            The run; None if there is none to take.
        """
        with self.changing() as connection:
            free = None
            alive: dict[str, bool] = {}
            for row in connection.execute(
                "SELECT * FROM runs WHERE state IN ('waiting', 'running') ORDER BY id"
            ):
                owner = row['worker']
                if row['state'] == 'running' and owner not in alive:
                    alive[owner] = owner is not None and is_alive(owner)
                if row['state'] == 'waiting' or not alive[owner]:
                    free = row
                    break
            if free is None:
                return None
            connection.execute(
                "UPDATE runs SET state = 'running', worker = ?, starts = starts + 1, error = NULL "
                'WHERE id = ?',
                (worker, free['id']),
            )
            return _record(free)

    def release(self, run: int, seconds: float) -> None:
        """Give back a run that has stopped half way and saved itself."""
        with self.changing() as connection:
            connection.execute(
                "UPDATE runs SET state = 'waiting', worker = NULL, seconds = seconds + ? "
                'WHERE id = ?',
                (seconds, run),
            )

    def fail(self, run: int, error: str, seconds: float) -> None:
        """Write down in one line why a run has failed."""
        with self.changing() as connection:
            connection.execute(
                "UPDATE runs SET state = 'failed', worker = NULL, error = ?, "
                'seconds = seconds + ? WHERE id = ?',
                (error, seconds, run),
            )

    def finish(self, run: int, outcome: Outcome, seconds: float) -> None:
        """Write down what a run has given."""
        with self.changing() as connection:
            connection.execute('DELETE FROM metrics WHERE run = ?', (run,))
            connection.execute('DELETE FROM scalars WHERE run = ?', (run,))
            for part, metrics in (('val', outcome.val), ('test', outcome.test)):
                connection.executemany(
                    'INSERT INTO metrics VALUES (?, ?, ?, ?)',
                    [(run, part, name, value) for name, value in metrics.items()],
                )
            connection.executemany(
                'INSERT OR REPLACE INTO scalars VALUES (?, ?, ?, ?)',
                [(run, *scalar) for scalar in outcome.scalars],
            )
            connection.execute(
                "UPDATE runs SET state = 'done', worker = NULL, error = NULL, "
                'seconds = seconds + ?, memory = ?, memory_of = ?, machine = ?, versions = ?, '
                'revision = ?, command = ?, '
                "finished = strftime('%Y-%m-%d %H:%M:%S', 'now') WHERE id = ?",
                (
                    seconds,
                    outcome.memory,
                    outcome.memory_of,
                    outcome.machine,
                    json.dumps(outcome.versions),
                    outcome.revision,
                    outcome.command,
                    run,
                ),
            )

    def write_cost(self, variant: str, **cost: Any) -> None:
        """Write down what a variant costs."""
        names = ', '.join(cost)
        marks = ', '.join('?' for _ in cost)
        with self.changing() as connection:
            connection.execute(
                f'INSERT OR REPLACE INTO costs (variant, {names}) VALUES (?, {marks})',
                (variant, *cost.values()),
            )


def _record(row: sqlite3.Row) -> Record:
    names = ('id', 'name', 'variant', 'row', 'seed', 'recipe', 'state', 'worker', 'error')
    return Record(axes=json.loads(row['axes']), **{name: row[name] for name in names})
