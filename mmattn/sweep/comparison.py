"""What the seeds of a row say about it and the baseline, and no more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmattn.layers.packages import import_optional

# A difference is called one if it would come about by chance in fewer than one of twenty
# comparisons; a row that differs as observed should be found in four of five studies.
LEVEL = 0.05
POWER = 0.8
# Beyond this, nobody trains so many.
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Comparison:
    """A row against the baseline, over the seeds that both have."""

    n: int
    """Common seeds."""

    difference: float | None
    """Mean of row - baseline; None without a common seed."""

    low: float | None
    high: float | None
    """Ends of the 95 % confidence interval of the difference, which no other row takes part in."""

    p: float | None
    """Of the paired t-test; None where there is no such test."""

    adjusted: float | None
    """The same after Holm's correction over all rows that are compared."""

    more_seeds: int | None
    """Seeds beyond ``n`` that a difference such as the observed one needs to be found with a power
    of 80 %; None if no number would do or none is known."""

    @property
    def verdict(self) -> str:
        """Say what the seeds support."""
        if self.n < 2:
            return 'one seed, no claim' if self.n else 'no common seed, no claim'
        if self.p is None:
            return f'the same difference with each of {self.n} seeds, no test'
        if self.adjusted is None or self.adjusted >= LEVEL or self.difference is None:
            return f'not distinguishable from the baseline with {self.n} seeds'
        return 'higher' if self.difference > 0 else 'lower'


def compare(
    rows: Mapping[str, Mapping[int, float]], baseline: Mapping[int, float]
) -> dict[str, Comparison]:
    """Compare rows with a baseline.

    Args:
        rows: For each row, the metric by the seed.
        baseline: The metric by the seed.

    Returns:
        The comparison of each row.

    Raises:
        MissingPackage: If scipy is not installed.
    """
    differences = {
        name: [values[seed] - baseline[seed] for seed in sorted(values.keys() & baseline.keys())]
        for name, values in rows.items()
    }
    tests = {name: paired_t_test(each) for name, each in differences.items()}
    tested = {name: p for name, p in tests.items() if p is not None}
    adjusted = dict(zip(tested, holm([*tested.values()]), strict=True))
    level = LEVEL / max(1, len(tested))
    found = {}
    for name, each in differences.items():
        low, high = confidence_interval(each) or (None, None)
        found[name] = Comparison(
            n=len(each),
            difference=float(np.mean(each)) if each else None,
            low=low,
            high=high,
            p=tests[name],
            adjusted=adjusted.get(name),
            more_seeds=further_seeds(each, level),
        )
    return found


def paired_t_test(differences: Sequence[float]) -> float | None:
    """Give the p value of Student's paired t-test, two-sided.

    Args:
        differences: Row - baseline, one for each seed.

    Returns:
        The p value: 1 if all differences are zero. None with fewer than two, and where all are the
        same number, whose spread cannot be told.
    """
    if len(differences) < 2:
        return None
    if _is_constant(differences):
        return None if differences[0] else 1.0
    return float(_stats().ttest_1samp(differences, 0.0).pvalue)


def confidence_interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """Give the 95 % confidence interval of the mean difference, of Student's t.

    Args:
        differences: Row - baseline, one for each seed.

    Returns:
        Its ends; None where the spread of the differences cannot be told.
    """
    n = len(differences)
    if n < 2 or _is_constant(differences):
        return None
    mean, error = np.mean(differences), np.std(differences, ddof=1) / np.sqrt(n)
    half = _stats().t.ppf(1 - LEVEL / 2, n - 1) * error
    return float(mean - half), float(mean + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.

    Args:
        p_values: Of tests of one family.

    Returns:
        The adjusted ones, in the same order: each is to be compared with the level itself.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def power(effect: float, n: int, level: float) -> float:
    """Give the probability that a paired t-test finds a difference.

    Args:
        effect: Mean of the differences over their standard deviation.
        n: Seeds.
        level: Level of the test, two-sided.
    """
    stats = _stats()
    limit = stats.t.ppf(1 - level / 2, n - 1)
    # The other tail is that of a significant difference in the wrong direction.
    return float(stats.nct.sf(limit, n - 1, abs(effect) * np.sqrt(n)))


def further_seeds(differences: Sequence[float], level: float = LEVEL) -> int | None:
    """Say how many seeds a difference such as the observed one would still need.

    Args:
        differences: Row - baseline, one for each seed.
        level: Level of the test.

    Returns:
        Seeds beyond those that there are, 0 if they suffice; None where the observed difference is
        zero or its spread cannot be told, or beyond :data:`MOST_SEEDS`.
    """
    if len(differences) < 2 or _is_constant(differences):
        return None
    effect = float(np.mean(differences) / np.std(differences, ddof=1))
    if effect == 0 or power(effect, MOST_SEEDS, level) < POWER:
        return None
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        if power(effect, middle, level) < POWER:
            low = middle
        else:
            high = middle
    return max(0, high - len(differences))


def _is_constant(differences: Sequence[float]) -> bool:
    """Tell whether numbers differ by no more than they are rounded."""
    scale = max(map(abs, differences))
    return max(differences) - min(differences) <= 1e-9 * scale


def _stats() -> Any:
    return import_optional('scipy.stats', 'the comparison of seeds')
