"""Candidates in turn, on clocks that a test moves."""

import pytest

from mmattn.probe.timing import CPUWatch, Timed, take_turns


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Machine:
    """Runs steps of given lengths, and writes down which."""

    def __init__(self):
        self.wall, self.cpu = Clock(), Clock()
        self.ran = []

    @property
    def watch(self):
        return CPUWatch(self.wall, self.cpu)

    def step(self, name, seconds, computed=None):
        """Give a step; of several lengths, each run takes the next one, and the last for good."""
        left = list(seconds) if isinstance(seconds, list) else [seconds]

        def run():
            self.ran.append(name)
            length = left.pop(0) if len(left) > 1 else left[0]
            self.wall.now += length
            self.cpu.now += length if computed is None else computed

        return run


def test_one_after_the_other():
    machine = Machine()
    steps = {name: machine.step(name, 1.0) for name in 'ABC'}
    found = take_turns(steps, rounds=3, warm_up=2, watch=machine.watch)
    # Two runs to get warm and one to see how long it takes, then in turn.
    assert ''.join(machine.ran) == 'AAABBBCCC' + 'ABC' * 3
    assert found['A'] == Timed(1, 1, 1, 1, 1, 1, 3)


def test_medians_and_ratios():
    machine = Machine()
    steps = {
        'A': machine.step('A', [9, 1, 1, 2, 100], computed=4),
        'B': machine.step('B', [9, 2, 1, 4, 50], computed=1),
    }
    found = take_turns(steps, rounds=3, warm_up=1, watch=machine.watch)
    assert (found['A'].wall, found['B'].wall) == (2, 4)
    assert (found['B'].wall_ratio, found['B'].cpu_ratio) == (2, 0.25)
    # Within the rounds 1/1, 4/2 and 50/100.
    assert (found['B'].lower, found['B'].upper) == (0.75, 1.5)


def test_short_steps_are_repeated():
    machine = Machine()
    steps = {'A': machine.step('A', 0.001), 'B': machine.step('B', 0.004)}
    found = take_turns(steps, rounds=7, warm_up=0, least=0.01, watch=machine.watch)
    # Fewer repeats of what takes longer: 10 and 2.
    assert machine.ran.count('A') == 1 + 7 * 10
    assert machine.ran.count('B') == 1 + 7 * 2
    assert found['B'].wall_ratio == pytest.approx(4)


def test_one_round_has_its_ratio_for_both_quartiles():
    machine = Machine()
    steps = {'A': machine.step('A', 1.0), 'B': machine.step('B', 3.0)}
    found = take_turns(steps, rounds=1, watch=machine.watch)
    assert (found['B'].lower, found['B'].upper) == (3, 3)


def test_real_clocks():
    found = take_turns({'A': lambda: sum(range(1000))}, rounds=2, warm_up=0, least=0)
    assert found['A'].wall > 0
