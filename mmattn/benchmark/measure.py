"""A row of the benchmark: its candidates made ready, counted, compared and timed."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmattn.benchmark.cases import (
    DTYPES,
    Candidate,
    Case,
    Conditions,
    Row,
    autocast,
    explain_missing,
    make_inputs,
    make_ready,
)
from mmattn.benchmark.forms import add_forms
from mmattn.errors import InputError
from mmattn.probe.structures import leaves
from mmattn.probe.timing import ROUNDS, CUDAWatch, Timed, take_turns
from mmattn.probe.traffic import Traffic, count_kept_bytes, count_traffic

# Results that are further apart, relative to the largest number, are not the same numbers.
_TOLERANCES = {'float32': 1e-3, 'bfloat16': 0.1, 'float16': 0.05}


@dataclass(frozen=True)
class Figures:
    """What was found out about a candidate.

    Args:
        name: Its name.
        timed: How long it takes; None if that was not asked for.
        traffic: What it moves; None of compiled code and of a loader, which cannot be seen.
        kept: Bytes that it keeps for the backward pass; None beside a prediction, too.
        difference: Largest difference of its results from those of the first candidate, relative to
            their largest number; None where they are not compared.
    """

    name: str
    timed: Timed | None = None
    traffic: Traffic | None = None
    kept: int | None = None
    difference: float | None = None


@dataclass
class Result:
    """What was found out about a row.

    Args:
        group: Group of the row.
        name: Name of the row.
        conditions: Under which it was measured.
        shapes: Shape (N, C, H, W) of each input.
        figures: Of each candidate, the one first that all others are compared with.
        remarks: What the reader should know.
        failed: Whether it could not be measured though all that it needs is installed, or its
            candidates do not compute the same.
    """

    group: str
    name: str
    conditions: Conditions
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    figures: list[Figures] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    failed: bool = False

    def find(self, name: str) -> Figures | None:
        """Give the figures of a candidate, if there are any."""
        return next((each for each in self.figures if each.name == name), None)


def measure(
    row: Row,
    conditions: Conditions,
    *,
    forms: list[str] | None = None,
    timed: bool = True,
    rounds: int = ROUNDS,
) -> Result:
    """Measure the candidates of a row.

    Args:
        row: The row.
        conditions: Of all candidates that have none of their own.
        forms: Keys of :data:`mmattn.benchmark.forms.FORMS`, to be measured as well.
        timed: Whether to measure time; otherwise it is only counted.
        rounds: Rounds that are measured.

    Returns:
        What was found out. That a package is missing, and whatever a candidate raises, is said in
        its remarks.
    """
    if row.group == 'training':
        conditions = replace(conditions, mode='train')
    result = Result(row.group, row.name, conditions)
    torch.manual_seed(0)
    try:
        case = row.build(conditions)
        add_forms(case, forms or [], conditions)
        result.shapes, result.remarks = case.shapes, case.remarks
        _fill(result, case, timed, rounds)
    except (ImportError, InputError) as error:
        result.remarks.append(f'not measured: {explain_missing(error)}')
    except Exception as error:
        reason = str(error).splitlines() or ['']
        result.remarks.append(f'failed: {type(error).__name__}: {reason[0]}')
        result.failed = True
    return result


def _fill(result: Result, case: Case, timed: bool, rounds: int) -> None:
    """Count and compare candidates, and time them in turn."""
    conditions = result.conditions
    counts = count(case, conditions)
    differences = _compare(case, conditions) if case.compares else {}
    for candidate in case.candidates:
        difference = differences.get(candidate.name, 0.0)
        if difference > _TOLERANCES[candidate.dtype or conditions.of(candidate).dtype]:
            result.failed = True
            result.remarks.append(f'{candidate.name} gives other numbers ({difference:.2g})')
    times: dict[str, Timed] = {}
    if timed:
        watch = CUDAWatch() if conditions.device == 'cuda' else None
        steps = {each.name: make_step(each, case, conditions) for each in case.candidates}
        times = take_turns(steps, rounds=rounds, watch=watch)
    result.figures = [
        Figures(
            candidate.name,
            times.get(candidate.name),
            **counted,
            difference=differences.get(candidate.name),
        )
        for candidate, counted in zip(case.candidates, counts, strict=True)
    ]


def _get_ready(
    candidate: Candidate, case: Case, conditions: Conditions
) -> tuple[Conditions, tuple[Tensor, ...]]:
    """Make a candidate ready, and give its own conditions and inputs."""
    own = conditions.of(candidate)
    if isinstance(candidate.function, nn.Module):
        make_ready(candidate.function, own)
    return own, make_inputs(case.shapes, own)


def count(case: Case, conditions: Conditions) -> list[dict[str, Any]]:
    """Count what the candidates of a case move and keep.

    Args:
        case: The case.
        conditions: Of all candidates that have none of their own.

    Returns:
        For each candidate its ``traffic``, and in training what is ``kept``; nothing of compiled
        code, of other runtimes and of loaders.
    """
    counts: list[dict[str, Any]] = []
    for candidate in case.candidates:
        own, inputs = _get_ready(candidate, case, conditions)
        module, dtype = candidate.function, DTYPES[own.dtype]
        if own.compiled or not candidate.is_eager or not isinstance(module, nn.Module):
            counts.append({})
        elif own.mode == 'eval':
            counts.append(dict(traffic=count_traffic(module, *inputs, dtype=dtype)))
        else:
            traffic = count_traffic(module, *inputs, backward=True, dtype=dtype)
            kept = count_kept_bytes(module, *inputs, dtype=dtype)
            counts.append(dict(traffic=traffic, kept=kept))
    return counts


def _compare(case: Case, conditions: Conditions) -> dict[str, float]:
    """Compare what candidates compute in evaluation with what the first one does.

    A batch norm that trains on the means of two images makes signs of them, and so of rounding.
    """
    found: dict[str, float] = {}
    first: list[Tensor] | None = None
    for candidate in case.candidates:
        own, inputs = _get_ready(candidate, case, replace(conditions, mode='eval'))
        with autocast(own), torch.no_grad():
            results = _tensors(candidate.function(*inputs))
        first = results if first is None else first
        found[candidate.name] = _difference(results, first)
    return found


def _tensors(out: Any) -> list[Tensor]:
    found = [value for _, value in leaves(out) if isinstance(value, Tensor | np.ndarray)]
    return [x if isinstance(x, Tensor) else torch.from_numpy(x.copy()) for x in found]


def _difference(results: list[Tensor], others: list[Tensor]) -> float:
    found = 0.0
    for result, other in zip(results, others, strict=True):
        largest = other.abs().max().double().clamp(min=1e-12)
        apart = (result.double() - other.double()).abs().max() / largest
        found = max(found, float(apart.nan_to_num(nan=math.inf)))
    return found


def make_step(candidate: Candidate, case: Case, conditions: Conditions) -> Callable[[], Any]:
    """Give what is timed: a prediction, or a forward and backward pass, with a step or without.

    Args:
        candidate: The candidate, which is made ready.
        case: Its case. Where an optimizer takes a step, it is AdamW.
        conditions: Of all candidates that have none of their own.
    """
    own, inputs = _get_ready(candidate, case, conditions)
    module = candidate.function
    if not isinstance(module, nn.Module):
        return module
    run = torch.compile(module) if own.compiled else module
    if own.mode == 'eval':

        def predict() -> None:
            with torch.no_grad(), autocast(own):
                run(*inputs)

        return predict
    # Nobody asks for the gradient of an image.
    for x in inputs:
        x.requires_grad_(not case.steps)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-6) if case.steps else None
    gradients: list[Tensor] = []

    def train() -> None:
        with autocast(own):
            outputs = [out for out in _tensors(run(*inputs)) if out.requires_grad]
        if not gradients:
            gradients.extend(torch.ones_like(out) for out in outputs)
        torch.autograd.backward(outputs, gradients)
        if optimizer is not None:
            optimizer.step()
        module.zero_grad()
        for x in inputs:
            x.grad = None

    return train
