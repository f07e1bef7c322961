"""Run what must hold on every supported stack, each in an environment of its own."""

import argparse
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
INSTALL = ROOT / 'requirements' / 'install.sh'
PAGE = ROOT / 'docs' / 'install.md'
LEGS = ('A', 'B', 'C')
NOT_HERE = 3  # exit status of install.sh
QUICK_MINUTES = 10

SMOKE = 'tests/tools/test_tools.py::test_smoke'
CLS = f'{SMOKE}[mobilenetv2-coordatt_in1k]'
DET = f'{SMOKE}[mask_rcnn_van_b0_fpn_1x_coco]'
SEG = f'{SMOKE}[upernet_van_b0_ade20k]'
# What a leg tests, and where.
PARTS = {
    'import': ['tests/test_imports.py'],
    'contract': [
        'tests/attention/test_contract.py',
        'tests/fusion',
        'tests/upsampling',
        'tests/ops',
    ],
    'checkpoints': ['tests/weights'],
    'networks': ['tests/backbones', 'tests/necks', 'tests/heads'],
    'insertion': [
        f'tests/insertion/test_{name}.py'
        for name in ('config', 'insert_attention', 'maps', 'possible_sites', 'stock_scripts')
    ],
    'training': ['tests/engine'],
    'smoke runs': [CLS, DET, SEG],
}
# What needs no compiled ops and takes minutes.
SAMPLE = {
    'import': [
        f'tests/test_imports.py::test_{name}'
        for name in (
            'needs_torch_mmengine_and_mmcv_without_ops_only',
            'imports_nothing_optional',
            'public_names',
        )
    ],
    'contract': [
        f'tests/attention/test_contract.py::test_keeps_its_promises[{name}]'
        for name in ('CBAM', 'CoordAtt', 'ECA')
    ],
    'checkpoints': ['tests/weights/test_plain_data.py', 'tests/weights/test_files.py'],
    'training': ['tests/engine/resume/test_loops.py'],
}
# Of the stock packages, mmpretrain alone does without mmcv.ops.
QUICK = {'A': {**SAMPLE, 'smoke runs': [CLS]}, 'C': {**SAMPLE, 'smoke runs': [SEG]}}

VERSIONS = """
import importlib.metadata, json, platform
found = {'Python': platform.python_version()}
for name in (
    'torch torchvision numpy opencv-python mmengine onedl-mmengine mmcv mmcv-lite onedl-mmcv mmdet '
    'onedl-mmdetection mmsegmentation onedl-mmsegmentation mmpretrain onedl-mmpretrain timm'
).split():
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class NotHere(Exception):
    """The machine has no Python for a leg, or no disk."""


class OutOfTime(Exception):
    """There is no time left."""


class Broken(Exception):
    """A leg cannot be tested, as it should."""


class Case(NamedTuple):
    """A test: its module, what came of it (passed, failed or skipped), and why."""

    module: str
    outcome: str
    reason: str = ''


def main(argv: list[str] | None = None) -> int:
    """Run the legs; return 1 if a test fails, or a leg that was asked for cannot be run."""
    args = parse(argv)
    deadline = time.monotonic() + 60 * args.limit if args.limit else None
    good = True
    with tempfile.TemporaryDirectory(prefix='matrix-') as folder:
        for leg in args.legs or (QUICK if args.quick else LEGS):
            print(f'leg {leg}', flush=True)
            try:
                good &= run(leg, args, deadline, Path(folder, f'{leg}.xml'))
            except (NotHere, OutOfTime, Broken) as error:
                print(f'leg {leg} was not run: {error}', flush=True)
                unnamed = isinstance(error, NotHere) and not args.legs
                good &= unnamed or (args.quick and not isinstance(error, Broken))
    return int(not good)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the options, and refuse those that do not go together."""
    parser = argparse.ArgumentParser(prog='make test-matrix ARGS=...', description=__doc__)
    parser.add_argument('legs', nargs='*', metavar='LEG', help='of A, B and C; all of them')
    parser.add_argument(
        '--quick',
        action='store_true',
        help=f'a sample of A and C that compiles nothing, within {QUICK_MINUTES} minutes; a leg '
        'for which there is no Python, no disk or no time is left out',
    )
    parser.add_argument(
        '--write', action='store_true', help=f'write the figures to {PAGE.relative_to(ROOT)}'
    )
    parser.add_argument(
        '--python',
        action='append',
        default=[],
        metavar='LEG=PYTHON',
        help='the Python of an environment that is used as it is',
    )
    parser.add_argument('--limit', type=float, metavar='MINUTES', help='for all legs together')
    args = parser.parse_args(argv)
    possible = tuple(QUICK) if args.quick else LEGS
    for leg in args.legs:
        if leg not in possible:
            quick = ' of --quick' if args.quick else ''
            parser.error(f'the legs{quick} are {", ".join(possible)}, not {leg}')
    args.pythons = dict(given.partition('=')[::2] for given in args.python)
    for leg, python in args.pythons.items():
        if leg not in possible or not shutil.which(python):
            parser.error(f'--python takes LEG=PYTHON, as in A=/env/bin/python, not {leg}={python}')
    if args.quick and args.write:
        parser.error('--quick is a sample, whose figures are not written')
    if args.write:
        for leg in args.legs or LEGS:
            if not figures_of(leg).search(PAGE.read_text(encoding='utf-8')):
                parser.error(f'{PAGE} has no place for the figures of leg {leg}')
    if args.quick and args.limit is None:
        args.limit = QUICK_MINUTES
    return args


def run(leg: str, args: argparse.Namespace, deadline: float | None, report: Path) -> bool:
    """Run one leg, and print its figures.

    Returns:
        Whether tests passed and none failed.

    Raises:
        NotHere: The machine has no Python for it, or no disk.
        OutOfTime: It would take longer than the limit.
        Broken: Its environment cannot be made, or pytest does not run there.
    """
    python = args.pythons.get(leg) or environment(leg, 'demo' if args.quick else 'test', deadline)
    parts = QUICK[leg] if args.quick else PARTS
    env = {
        **os.environ,
        'PYTHON': python,
        'MMATTN_PYTHON': python,
        'PATH': f'{Path(python).parent}{os.pathsep}{os.environ["PATH"]}',
        'PYTHONPATH': str(ROOT),
        'OMP_NUM_THREADS': '1',
        'OMP_WAIT_POLICY': 'PASSIVE',
    }
    _, printed = call([python, '-c', VERSIONS], env, deadline, stdout=subprocess.PIPE)
    versions = json.loads(printed)
    command = [python, '-m', 'pytest', '-q', '-n', 'auto', '--dist', 'worksteal']
    command += ['--continue-on-collection-errors', f'--junitxml={report}']
    if args.quick:
        command.append('--timeout=240')
    begin = time.monotonic()
    for paths in parts.values():
        command += paths
    status, _ = call(command, env, deadline)
    if status not in (0, 1) or not report.exists():
        raise Broken(f'pytest ended with status {status}, see above')
    cases = read(report)
    figures = summary(leg, versions, cases, parts, (time.monotonic() - begin) / 60)
    print(f'\n{figures}\n{count(cases)}', flush=True)
    if args.write:
        write(leg, figures)
    outcomes = {case.outcome for case in cases}
    return status == 0 and 'passed' in outcomes and 'failed' not in outcomes


def environment(leg: str, task: str, deadline: float | None) -> str:
    """Find or make the environment of a leg, and return its Python."""
    command = ['bash', str(INSTALL), task, leg]
    status, printed = call(command, dict(os.environ), deadline, stdout=subprocess.PIPE)
    if status == NOT_HERE:
        raise NotHere('there is no Python or no disk for it, see above')
    if status:
        raise Broken('its environment cannot be made, see above')
    return printed.strip()


def call(
    command: list[str], env: dict[str, str], deadline: float | None, stdout: int | None = None
) -> tuple[int, str]:
    """Run a command to its end, or end it and all that it has started.

    Returns:
        Its exit status, and what it printed to ``stdout``.

    Raises:
        OutOfTime: There is no time left.
    """
    seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=stdout, text=True, start_new_session=True
    ) as process:
        try:
            printed, _ = process.communicate(timeout=seconds)
        except BaseException as error:
            end(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise OutOfTime('the time limit is over') from None
            raise
    return process.returncode, printed


def end(process: subprocess.Popen) -> None:
    """End a process and what it has started; it may clear away what it was about to make."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def read(report: Path) -> list[Case]:
    """Read a report of pytest in the format of JUnit."""
    cases = {}
    for element in ElementTree.parse(report).iter('testcase'):
        # A file that cannot be collected, or is skipped as a whole, stands in place of a test.
        module, name = element.get('classname') or element.get('name'), element.get('name')
        found = {child.tag: child for child in element}
        if 'failure' in found or 'error' in found:
            case = Case(module, 'failed')
        elif 'skipped' in found:
            case = Case(module, 'skipped', found['skipped'].get('message', '').partition('\n')[0])
        else:
            case = Case(module, 'passed')
        # A test that fails and then cannot be cleared away is there twice.
        known = cases.get((module, name))
        if known is None or known.outcome != 'failed':
            cases[module, name] = case
    return list(cases.values())


def count(cases: list[Case]) -> str:
    """Say how many tests passed, failed and were skipped."""
    found = Counter(case.outcome for case in cases)
    return ', '.join(f'{found[outcome]} {outcome}' for outcome in ('passed', 'failed', 'skipped'))


def summary(
    leg: str,
    versions: dict[str, str],
    cases: list[Case],
    parts: dict[str, list[str]],
    minutes: float,
) -> str:
    """Lay out the figures of a leg in Markdown."""
    found = Counter((part_of(case, parts), case.outcome) for case in cases)
    today = datetime.date.today()
    lines = [
        f'**Leg {leg}**, {today.day} {today:%B %Y}, {commit()}, {minutes:.0f} minutes on '
        f'{os.cpu_count()} cores: {", ".join(map(" ".join, versions.items()))}.',
        '',
        '| part | passed | failed | skipped |',
        '| --- | --: | --: | --: |',
    ]
    outcomes = ('passed', 'failed', 'skipped')
    for part in parts:
        lines.append(f'| {part} | {" | ".join(str(found[part, o]) for o in outcomes)} |')
    totals = [str(sum(found[part, outcome] for part in parts)) for outcome in outcomes]
    lines.append(f'| all | {" | ".join(totals)} |')
    reasons = Counter(case.reason for case in cases if case.outcome == 'skipped')
    if reasons:
        lines += ['', '| skipped | why |', '| --: | --- |']
        for reason, number in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
            lines.append(f'| {number} | {reason.replace("|", chr(92) + "|")} |')
    return '\n'.join(lines) + '\n'


def part_of(case: Case, parts: dict[str, list[str]]) -> str:
    """Find the part to which a test belongs."""
    for part, paths in parts.items():
        for path in paths:
            module = path.partition('::')[0].removesuffix('.py').replace('/', '.')
            if f'{case.module}.'.startswith(f'{module}.'):
                return part
    raise ValueError(f'{case.module} belongs to no part')


def commit() -> str:
    """Name the commit that is tested, and say if files differ from it."""
    git = ['git', '-C', str(ROOT)]
    head = subprocess.run([*git, 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True)
    if head.returncode:
        return 'no commit'
    dirty = subprocess.run(
        [*git, 'diff', '--quiet', 'HEAD', '--', '.', f':(exclude){PAGE.relative_to(ROOT)}']
    ).returncode
    return f'commit {head.stdout.strip()}{" with changes" if dirty else ""}'


def figures_of(leg: str) -> re.Pattern[str]:
    """Match the figures of a leg on the page, between its two markers."""
    return re.compile(
        rf'(<!-- figures of leg {leg} -->\n).*?(<!-- end of leg {leg} -->)', re.DOTALL
    )


def write(leg: str, figures: str) -> None:
    """Replace the figures of a leg, and leave all else as it is."""
    text = PAGE.read_text(encoding='utf-8')
    text = figures_of(leg).sub(lambda match: f'{match[1]}{figures}{match[2]}', text)
    PAGE.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    sys.exit(main())
