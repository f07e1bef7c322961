"""Draw mutants, try the tests of their files on them, print the score and the survivors."""

import argparse
import json
import multiprocessing
import random
import re
import sys
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from fnmatch import fnmatch
from pathlib import Path

from tests.mutants.belonging import targets, tests_of
from tests.mutants.source import Mutant, count, mutants
from tests.mutants.trial import Copy, import_libraries

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Run from the command line."""
    options = _options()
    drawn = _named(options.only) if options.only else _drawn(options)
    print(f'{len(drawn)} mutants, {options.jobs} at a time', flush=True)
    _print_score(_try_all(drawn, options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='make mutants ARGS=...', description=__doc__)
    parser.add_argument(
        '--sample', type=int, default=50, metavar='N', help='how many (%(default)s)'
    )
    parser.add_argument('--seed', type=int, default=1, help='which ones (%(default)s)')
    parser.add_argument('--files', default='*', help="pattern, such as 'mmattn/ops/*'")
    parser.add_argument(
        '--from', type=int, default=0, dest='first', help='leave out so many drawn ones'
    )
    parser.add_argument(
        '--only', nargs='+', metavar='FILE:NUMBER', help='these instead of a sample'
    )
    parser.add_argument('--jobs', type=int, default=2, help='processes of one thread (%(default)s)')
    parser.add_argument('--limit', type=float, default=300, help='seconds for one (%(default)s)')
    parser.add_argument(
        '--out',
        type=Path,
        default=ROOT / 'work_dirs' / 'mutants.jsonl',
        help='results are added there',
    )
    return parser.parse_args()


def _drawn(options: argparse.Namespace) -> list[Mutant]:
    """Draw without replacement, each mutant of all files with the same chance."""
    files = [path for path in targets(ROOT) if fnmatch(path, options.files)]
    places = [(path, number) for path in files for number in range(count(ROOT / path))]
    random.Random(options.seed).shuffle(places)
    drawn = []
    for path, number in places:
        if len(drawn) == options.sample:
            break
        drawn += mutants(ROOT, path, [number])
    return drawn[options.first :]


def _named(names: list[str]) -> list[Mutant]:
    found = []
    for name in names:
        path, number = re.fullmatch(r'(.+):(\d+)', name).groups()
        found += mutants(ROOT, path, [int(number)])
    return found


def _try_all(drawn: list[Mutant], options: argparse.Namespace) -> list[dict]:
    tests = {path: tests_of(ROOT, path) for path in {mutant.path for mutant in drawn}}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    import_libraries()
    results = []
    # Forked workers have the libraries already.
    context = multiprocessing.get_context('fork')
    with (
        tempfile.TemporaryDirectory(prefix='mutants-') as folder,
        ProcessPoolExecutor(options.jobs, context, _make_copy, (folder,)) as pool,
        options.out.open('a', buffering=1) as out,
    ):
        trials = [pool.submit(_try, m, tests[m.path], options.limit) for m in drawn]
        for trial in as_completed(trials):
            results.append(trial.result())
            out.write(json.dumps(results[-1]) + '\n')
            _print(results[-1], f'{len(results)}/{len(drawn)}')
        _check_killers(pool, results, options.limit)
    return results


_copy: Copy


def _make_copy(folder: str) -> None:
    global _copy
    _copy = Copy(ROOT, folder)


def _try(mutant: Mutant, tests: dict[str, list[str]], limit: float) -> dict:
    outcome, reason, seconds = _copy.try_source(mutant.path, mutant.source, tests, limit)
    return dict(
        name=mutant.name,
        line=mutant.line,
        diff=mutant.diff,
        outcome=outcome,
        reason=reason,
        seconds=round(seconds, 1),
    )


def _check_killers(pool: ProcessPoolExecutor, results: list[dict], limit: float) -> None:
    """A test that fails without a mutant, too, has killed none."""
    killers = {r['reason'] for r in results if r['outcome'] == 'killed' and '::' in r['reason']}
    trials = {killer: pool.submit(_fails, killer, limit) for killer in killers}
    for result in results:
        if result['reason'] in trials and trials[result['reason']].result():
            result['outcome'] = 'unclear'


def _fails(test: str, limit: float) -> bool:
    return _copy.run({test: []}, limit)[0] != 'survived'


def _print(result: dict, progress: str) -> None:
    print(f'{progress} {result["outcome"]} {result["name"]} {result["seconds"]} s', flush=True)


def _print_score(results: list[dict]) -> None:
    outcomes = Counter(result['outcome'] for result in results)
    by_room = defaultdict(Counter)
    for result in results:
        by_room[Path(result['name']).parts[1]][result['outcome']] += 1
    for result in sorted(results, key=lambda r: r['name']):
        if result['outcome'] not in ('killed', 'timeout'):
            print(
                f'\n{result["outcome"]}: {result["name"]}, line {result["line"]}\n{result["diff"]}'
            )
    print()
    for room, counts in (*sorted(by_room.items()), ('all', outcomes)):
        dead = counts['killed'] + counts['timeout']
        total = sum(counts.values())
        print(f'{room}: {dead} of {total} died ({dead / total:.1%}), {counts["timeout"]} by time')
    sys.exit('a test fails without a mutant, too' if outcomes['unclear'] else None)


if __name__ == '__main__':
    main()
