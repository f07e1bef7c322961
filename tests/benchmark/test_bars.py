"""What a training pass in half precision may move and keep, beside the peer of each module.

The bars are 1.05 of the bytes moved and 1.0 of the bytes kept. What is above them today stands
below with its figure: it may not get worse, and has to go from here when it meets the bar. Both
lists as they would be now: ``python -m tests.benchmark.test_bars``. All figures: ``mmattn benchmark
modules --count --mode train --dtype bfloat16 float16``.
"""

import functools

import pytest
import torch

from mmattn.benchmark.bars import ratio_of
from mmattn.benchmark.cases import Conditions
from mmattn.benchmark.measure import count
from mmattn.benchmark.peers import ROWS, SHAPE
from mmattn.errors import InputError

MOVED, KEPT = 1.05, 1.0
# Every position looks at every other one, in eight heads: ten seconds on the whole map.
SMALLER = {'AttentionAugmentedConv': (2, 64, 16, 16)}
DTYPES = ('bfloat16', 'float16')

MOST_MOVED: dict[tuple[str, str], float] = {
    ('AgentAttention', 'bfloat16'): 1.32,
    ('AgentAttention', 'float16'): 1.43,
    ('CAA', 'float16'): 1.13,
    ('LKA', 'float16'): 1.2,
    ('LSK', 'float16'): 1.19,
    ('LSKA', 'float16'): 1.32,
    ('MLCA', 'bfloat16'): 1.74,
    ('MLCA', 'float16'): 1.86,
    ('MSCA', 'float16'): 1.22,
    ('MSCAM', 'float16'): 1.09,
    ('MixedPooling', 'float16'): 1.1,
    ('SCConv', 'float16'): 1.09,
    ('StripModule', 'float16'): 1.31,
    ('TimmAttention cbam', 'bfloat16'): 2.21,
    ('TimmAttention cbam', 'float16'): 2.26,
    ('AddFusion', 'float16'): 1.29,
    ('BiFPNFusion', 'float16'): 1.25,
    ('FastNormalizedFusion', 'float16'): 1.32,
}
MOST_KEPT: dict[tuple[str, str], float] = {
    ('AgentAttention', 'bfloat16'): 1.24,
    ('AgentAttention', 'float16'): 1.24,
    ('MLCA', 'bfloat16'): 1.5,
    ('MLCA', 'float16'): 1.5,
    ('TimmAttention cbam', 'bfloat16'): 2.0,
    ('TimmAttention cbam', 'float16'): 2.0,
}


@functools.cache
def ratios(name: str, dtype: str) -> tuple[float, float]:
    """Give what ours moves and keeps, in terms of its peer, rounded to two digits."""
    [row] = [row for row in ROWS if row.name == name]
    conditions = Conditions(dtype=dtype, shape=SMALLER.get(name, SHAPE), mode='train')
    try:
        case = row.build(conditions)
    except InputError as error:
        pytest.skip(str(error))
    if case.remarks:
        pytest.skip(case.remarks[0])
    # The first peer is the one that counts.
    case.candidates = [case.candidates[0], case.candidates[-1]]
    # What depthwise convolutions by phases move depends on the CPU; others compute the plain form.
    with torch.backends.mkldnn.flags(enabled=False):
        peer, ours = count(case, conditions)
    moved = ratio_of(ours['traffic'].moved, peer['traffic'].moved)
    return round(moved, 2), round(ratio_of(ours['kept'], peer['kept']), 2)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name', [row.name for row in ROWS])
def test_bytes(name, dtype):
    moved, kept = ratios(name, dtype)
    assert moved <= MOST_MOVED.get((name, dtype), MOVED)
    assert kept <= MOST_KEPT.get((name, dtype), KEPT)


@pytest.mark.parametrize(
    ('listed', 'bar', 'which'),
    [(MOST_MOVED, MOVED, 0), (MOST_KEPT, KEPT, 1)],
    ids=['moved', 'kept'],
)
def test_what_meets_its_bar_leaves_the_list(listed, bar, which):
    met = [(key, ratios(*key)[which]) for key in listed if ratios(*key)[which] <= bar]
    assert met == []


def main() -> None:
    """Print what is above the bars now."""
    for title, bar, which in (('MOST_MOVED', MOVED, 0), ('MOST_KEPT', KEPT, 1)):
        print(f'{title} = {{')
        for row in ROWS:
            for dtype in DTYPES:
                figure = ratios(row.name, dtype)[which]
                if figure > bar:
                    print(f'    {(row.name, dtype)}: {figure},')
        print('}')


if __name__ == '__main__':
    main()
