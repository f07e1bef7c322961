"""How long candidates take, one after the other, again and again, in one process."""

import time
from collections.abc import Callable, Mapping
from statistics import median, quantiles
from typing import Any, NamedTuple, Protocol

import torch

# Fewer have no quartiles to speak of.
ROUNDS = 7


class Timed(NamedTuple):
    """How long a candidate took, over all rounds.

    Args:
        wall: Median of the seconds that passed, or that the GPU was busy.
        cpu: Median of the seconds that all threads of this process computed.
        wall_ratio: ``wall`` in terms of the first candidate.
        cpu_ratio: ``cpu`` in terms of the first candidate.
        lower: First quartile of the ratios that both had within a round.
        upper: Third quartile of them.
        rounds: Rounds that were measured.
    """

    wall: float
    cpu: float
    wall_ratio: float
    cpu_ratio: float
    lower: float
    upper: float
    rounds: int


class Watch(Protocol):
    """Measures what runs between a start and a stop."""

    def start(self) -> None:
        """Begin, when all that was asked for before is done."""

    def stop(self) -> tuple[float, float]:
        """Give the seconds that passed and those that this process computed."""


class CPUWatch:
    """Measures on the CPU.

    Args:
        wall: Clock that shows the seconds that pass.
        cpu: Clock that shows the seconds that this process computes.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.perf_counter,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self.clocks = wall, cpu
        self.began = 0.0, 0.0

    def start(self) -> None:
        """Look at both clocks."""
        wall, cpu = self.clocks
        self.began = wall(), cpu()

    def stop(self) -> tuple[float, float]:
        """Look at both clocks again."""
        wall, cpu = self.clocks
        return wall() - self.began[0], cpu() - self.began[1]


class CUDAWatch:
    """Measures on a GPU, by events in its stream; the CPU's time is that of giving the orders."""

    def __init__(self) -> None:
        self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        self.cpu = 0.0

    def start(self) -> None:
        """Wait for the GPU, and begin."""
        torch.cuda.synchronize()
        self.cpu = time.process_time()
        self.events[0].record()

    def stop(self) -> tuple[float, float]:
        """Wait for the GPU, and ask it."""
        self.events[1].record()
        cpu = time.process_time() - self.cpu
        torch.cuda.synchronize()
        return self.events[0].elapsed_time(self.events[1]) / 1000, cpu


def take_turns(
    steps: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = ROUNDS,
    warm_up: int = 2,
    least: float = 0.01,
    watch: Watch | None = None,
) -> dict[str, Timed]:
    """Run candidates in turn, A B C A B C and so on, so that what disturbs one disturbs all.

    Args:
        steps: What each of them does, by its name; the ratios are to the first.
        rounds: Rounds that are measured.
        warm_up: Runs of each ahead of them.
        least: Seconds that a candidate runs in a round; a short one runs several times.
        watch: Measures; None for the clocks of the CPU.

    Returns:
        What was measured, by the same names.
    """
    watch = watch or CPUWatch()
    repeats = {}
    for name, step in steps.items():
        for _ in range(warm_up):
            step()
        watch.start()
        step()
        once, _ = watch.stop()
        repeats[name] = max(1, round(least / max(once, 1e-6)))
    walls: dict[str, list[float]] = {name: [] for name in steps}
    cpus: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            watch.start()
            for _ in range(repeats[name]):
                step()
            wall, cpu = watch.stop()
            walls[name].append(wall / repeats[name])
            cpus[name].append(cpu / repeats[name])
    first = next(iter(steps))
    return {name: _timed(walls[name], cpus[name], walls[first], cpus[first]) for name in steps}


def _timed(
    walls: list[float], cpus: list[float], first_walls: list[float], first_cpus: list[float]
) -> Timed:
    ratios = [wall / other for wall, other in zip(walls, first_walls, strict=True)]
    lower, _, upper = quantiles(ratios, n=4, method='inclusive') if len(ratios) > 1 else ratios * 3
    wall, cpu = median(walls), median(cpus)
    cpu_ratio = cpu / max(median(first_cpus), 1e-9)
    return Timed(wall, cpu, wall / median(first_walls), cpu_ratio, lower, upper, len(walls))
