"""What ours must reach beside its peers, as data, and whether it does."""

import fnmatch
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch

from mmattn.benchmark.cases import Conditions, Row
from mmattn.benchmark.forms import FORMS
from mmattn.benchmark.measure import Figures, Result
from mmattn.probe.machine import has_bfloat16

# Where the quartiles of the ratios are further apart, something else runs on the machine, and the
# time that the process computes tells more than the time that passes.
QUIET = 0.1


@dataclass(frozen=True)
class Bar:
    """A ratio that may not be higher.

    Args:
        rows: Rows that it is about, as ``group/name``; ``*`` stands for anything.
        conditions: Under which they are measured.
        limit: The bar. A ratio is rounded to two digits before it is held against it.
        figure: What is compared: ``'time'``, or bytes ``'moved'`` or ``'kept'``.
        form: Key of ``FORMS``; None for ours as it is built.
        base: Candidate that it is compared with; None for the first one.
    """

    rows: str
    conditions: Conditions
    limit: float
    figure: Literal['time', 'moved', 'kept'] = 'time'
    form: str | None = None
    base: str | None = None

    @property
    def candidate(self) -> str:
        """Name of the candidate that it is about."""
        return f'ours {self.form}' if self.form else 'ours'


class Verdict(NamedTuple):
    """Whether a bar holds for a row.

    Args:
        bar: The bar.
        row: The row, as ``group/name``.
        measured: The ratio; None if it was not measured.
        holds: Whether it is low enough; None if it was not measured.
        note: How it was measured, or why it was not.
    """

    bar: Bar
    row: str
    measured: float | None
    holds: bool | None
    note: str = ''


_LARGE = Conditions(shape=(1, 3, 512, 512))
_MEDIUM = Conditions(shape=(1, 3, 256, 256))
_MAP = Conditions(shape=(2, 64, 32, 32))
_TRAINED_MAP = Conditions(shape=(2, 64, 32, 32), mode='train')
_TRAINED = Conditions(shape=(1, 3, 512, 512), mode='train')
_STAGE = Conditions(shape=(2, 144, 128, 128))
_SMALL_MAP = Conditions(shape=(1, 64, 14, 14))
_ON_GPU = Conditions(device='cuda', dtype='float16', shape=(8, 3, 512, 512), mode='train')

# Those of which no form is there yet are not measured, and say so.
BARS = [
    *(
        Bar('backbones/VAN-B2', _LARGE, limit, form=form)
        for form, limit in {
            'folded': 0.55,
            'folded compiled': 0.44,
            'openvino': 0.37,
            'folded bfloat16': 0.21,
            'folded bfloat16 compiled': 0.15,
            'openvino bfloat16': 0.15,
        }.items()
    ),
    *(
        Bar('backbones/VAN-B0', _LARGE, limit, form=form)
        for form, limit in {
            'folded': 0.56,
            'folded bfloat16': 0.24,
            'openvino': 0.20,
            'openvino bfloat16': 0.13,
        }.items()
    ),
    Bar('models/upernet_van_b0_ade20k', _MEDIUM, 0.27, form='folded bfloat16', base='ours'),
    Bar('modules/CoordAtt', _STAGE, 0.80, form='nhwc'),
    Bar('modules/CoordAtt', _STAGE, 0.65, form='compiled'),
    *(
        Bar('backbones/CoordAttMobileNetV2', _LARGE, limit, form=form)
        for form, limit in {
            'folded': 0.66,
            'onnxruntime': 0.30,
            'openvino': 0.24,
            'openvino bfloat16': 0.17,
        }.items()
    ),
    Bar('backbones/AFFResNet-50', _MEDIUM, 0.88, form='folded'),
    Bar('backbones/AFFResNet-50', _MEDIUM, 0.45, form='folded bfloat16'),
    Bar('modules/NonLocal', _MAP, 0.5),
    Bar('modules/NonLocal', _TRAINED_MAP, 0.8),
    Bar('modules/NonLocal', _TRAINED_MAP, 0.2, 'kept'),
    Bar('modules/*', _SMALL_MAP, 1.05),
    Bar('backbones/VAN-B2', _TRAINED, 0.95, 'kept'),
    Bar('backbones/VAN-B2', _TRAINED, 0.42, 'kept', form='lean'),
    Bar('backbones/VAN-B2', _TRAINED, 1.05, form='lean'),
    *(
        bar
        for dtype in ('bfloat16', 'float16')
        for bar in (
            Bar('modules/*', replace(_TRAINED_MAP, dtype=dtype), 1.05, 'moved'),
            Bar('modules/*', replace(_TRAINED_MAP, dtype=dtype), 1.0, 'kept'),
        )
    ),
    Bar('data/LoadSegMap*', Conditions(), 1.1),
    Bar('training/upernet_van_b2_ade20k', _ON_GPU, 0.65),
]

Measure = Callable[[Row, Conditions, list[str], bool], Result]


def judge(bars: Iterable[Bar], rows: list[Row], measure: Measure) -> Iterator[Verdict]:
    """Measure what bars are about, and hold it against them.

    Args:
        bars: The bars.
        rows: Rows to look at.
        measure: Measures a row under some conditions, with some forms of ours, with time or not.
    """
    # Bars on one row under the same conditions are judged by one measurement.
    wanted: dict[tuple[str, Conditions], tuple[Row, list[Bar]]] = {}
    for bar in bars:
        for row in rows:
            name = f'{row.group}/{row.name}'
            if fnmatch.fnmatchcase(name, bar.rows):
                wanted.setdefault((name, bar.conditions), (row, []))[1].append(bar)
    for (name, conditions), (row, about) in wanted.items():
        left = []
        for bar in about:
            reason = _why_not(bar)
            if reason is None:
                left.append(bar)
            else:
                yield Verdict(bar, name, None, None, reason)
        if left:
            forms = list(dict.fromkeys(bar.form for bar in left if bar.form))
            result = measure(row, conditions, forms, any(bar.figure == 'time' for bar in left))
            for bar in left:
                yield judge_one(bar, name, result)


def _why_not(bar: Bar) -> str | None:
    """Say why a bar cannot be measured here, if it cannot."""
    if bar.conditions.device == 'cuda' and not torch.cuda.is_available():
        return 'no CUDA device'
    if bar.form and bar.form not in FORMS:
        return f'there is no form {bar.form!r} yet'
    on_cpu = bar.conditions.device == 'cpu'
    in_bfloat16 = 'bfloat16' in f'{bar.form} {bar.conditions.dtype}'
    if bar.figure == 'time' and on_cpu and in_bfloat16 and not has_bfloat16():
        return 'this CPU does not compute in bfloat16'
    return None


def judge_one(bar: Bar, name: str, result: Result) -> Verdict:
    """Hold the figures of a row against a bar.

    Args:
        bar: The bar.
        name: The row, as ``group/name``.
        result: Its figures.
    """
    if result.failed or not result.figures:
        return Verdict(bar, name, None, None, '; '.join(result.remarks))
    figures = result.find(bar.candidate)
    base = result.find(bar.base) if bar.base else result.figures[0]
    if figures is None or base is None:
        return Verdict(bar, name, None, None, '; '.join(result.remarks))
    measured, note = _ratio(bar.figure, figures, base)
    if measured is None:
        return Verdict(bar, name, None, None, note)
    return Verdict(bar, name, measured, round(measured, 2) <= bar.limit, note)


def _ratio(figure: str, figures: Figures, base: Figures) -> tuple[float | None, str]:
    if figure == 'time':
        if figures.timed is None or base.timed is None:
            return None, 'no time was measured'
        spread = (figures.timed.upper - figures.timed.lower) / figures.timed.wall_ratio
        if spread <= QUIET:
            return figures.timed.wall / base.timed.wall, 'wall'
        return figures.timed.cpu / base.timed.cpu, f'CPU time, quartiles {spread:.0%} apart'
    own, other = (_bytes(figure, each) for each in (figures, base))
    if own is None or other is None:
        return None, 'not counted'
    return ratio_of(own, other), 'counted'


def _bytes(figure: str, figures: Figures) -> int | None:
    if figure == 'kept':
        return figures.kept
    return figures.traffic.moved if figures.traffic else None


def ratio_of(own: int, other: int) -> float:
    """Give a ratio of counts; of nothing to nothing it is one."""
    if other == 0:
        return 1.0 if own == 0 else float('inf')
    return own / other
