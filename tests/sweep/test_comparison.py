"""Against scipy's own paired test, textbook values and planted differences."""

import numpy as np
import pytest
from scipy import stats

from mmattn.sweep.comparison import (
    compare,
    confidence_interval,
    further_seeds,
    holm,
    paired_t_test,
    power,
)

# Student's data on sleep, 1908: hours gained by ten patients with two drugs.
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def differences(a, b):
    return [y - x for x, y in zip(a, b, strict=True)]


def test_student_himself():
    gained = differences(FIRST, SECOND)
    # t = 4.0621 with 9 degrees of freedom, p = 0.002833, interval 0.70 to 2.46.
    assert paired_t_test(gained) == pytest.approx(0.002833, abs=1e-6)
    assert confidence_interval(gained) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)


@pytest.mark.parametrize('n', [2, 3, 5, 30])
def test_paired_test_is_that_of_scipy(n):
    a, b = np.random.default_rng(n).normal(size=(2, n))
    theirs = stats.ttest_rel(b, a)
    assert paired_t_test(differences(a, b)) == pytest.approx(theirs.pvalue, rel=1e-9)
    interval = theirs.confidence_interval(0.95)
    assert confidence_interval(differences(a, b)) == pytest.approx(interval, rel=1e-9)


def test_two_seeds_by_hand():
    # t = mean / (sd / sqrt 2) = 2 / (sqrt 2 / sqrt 2) = 2; with one degree of freedom, Cauchy:
    # p = 1 - 2/pi * atan 2.
    assert paired_t_test([1.0, 3.0]) == pytest.approx(1 - 2 / np.pi * np.arctan(2))


def test_holm():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


# Sizes that G*Power gives for the paired t-test, two-sided, level 0.05, power 0.80.
@pytest.mark.parametrize(('effect', 'n'), [(0.5, 34), (0.8, 15), (1.0, 10), (0.2, 199)])
def test_seeds_for_a_power_of_80_percent(effect, n):
    assert power(effect, n - 1, 0.05) < 0.8 <= power(effect, n, 0.05)
    # Three differences with this mean and a standard deviation of 1.
    assert further_seeds([effect - 1, effect, effect + 1]) == n - 3


def test_further_seeds_that_nobody_could_train():
    assert further_seeds([-1.0, 1.0]) is None
    assert further_seeds([-1.0, 1.001]) is None
    assert further_seeds([1.0, 1.0, 1.0]) is None
    assert further_seeds([1.0]) is None
    assert further_seeds([9.0, 9.1, 9.2, 9.0, 9.1, 9.2]) == 0


def test_power_of_draws():
    rng = np.random.default_rng(0)
    draws = rng.normal(0.9, 1, size=(4000, 8))
    found = (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean()
    assert power(0.9, 8, 0.05) == pytest.approx(found, abs=0.02)


def verdict(row, baseline):
    return compare({'row': dict(enumerate(row))}, dict(enumerate(baseline)))['row'].verdict


def test_verdicts():
    assert verdict([1.0], [0.0]) == 'one seed, no claim'
    assert compare({'row': {1: 2.0}}, {0: 1.0})['row'].verdict == 'no common seed, no claim'
    same = 'not distinguishable from the baseline with 3 seeds'
    assert verdict([1.0, 2.0, 3.0], [1.1, 1.8, 3.1]) == same
    assert verdict([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == same
    assert verdict([2.0, 3.1, 4.2], [1.0, 2.0, 3.0]) == 'higher'
    assert verdict([0.0, 0.9, 1.8], [1.0, 2.0, 3.0]) == 'lower'
    # 0.1 + 0.2 - 0.2 is not 0.1.
    shifted = [x + 0.1 for x in (0.2, 0.7, 0.4)]
    assert verdict(shifted, [0.2, 0.7, 0.4]) == 'the same difference with each of 3 seeds, no test'


def test_only_common_seeds_count():
    found = compare({'row': {0: 1.0, 1: 2.5, 7: 99.0}}, {0: 0.0, 1: 1.0, 5: -99.0})['row']
    assert (found.n, found.difference) == (2, 1.25)


def test_what_is_found_alone_may_not_be_found_among_many():
    baseline = dict(enumerate([0.0, 0.0, 0.0, 0.0]))
    row = dict(enumerate([1.0, 1.4, 0.6, 2.0]))
    assert compare({'row': row}, baseline)['row'].verdict == 'higher'
    noise = {f'n{i}': dict(enumerate([1.0, -1.0, 0.5 + i, -1.2])) for i in range(5)}
    among = compare({'row': row, **noise}, baseline)['row']
    assert among.p == pytest.approx(stats.ttest_1samp([1.0, 1.4, 0.6, 2.0], 0).pvalue)
    assert among.adjusted == pytest.approx(6 * among.p)
    assert among.verdict.startswith('not distinguishable')


def test_no_difference_is_called_one_more_often_than_in_one_of_twenty_sweeps():
    rng = np.random.default_rng(1)
    false = 0
    for _ in range(150):
        values = rng.normal(size=(5, 4))
        rows = {str(i): dict(enumerate(v)) for i, v in enumerate(values[1:])}
        found = compare(rows, dict(enumerate(values[0])))
        false += any(c.verdict in ('higher', 'lower') for c in found.values())
    assert false <= 150 * 0.05 + 2 * np.sqrt(150 * 0.05 * 0.95)
