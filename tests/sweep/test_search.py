import pytest

from mmattn.errors import InputError
from mmattn.sweep.plan import make_plan
from mmattn.sweep.search import _distributions, trial_runs

optuna = pytest.importorskip('optuna')

SPACE = {
    'optim_wrapper.optimizer.lr': dict(low=1e-5, high=1e-2, log=True),
    'model.depth': dict(low=1, high=4),
    'attention': dict(choices=['none', 'SE']),
    'after': dict(choices=['a', 'b']),
}


def plan(**changes):
    return make_plan(dict(base='b.py', space=SPACE, trials=2, seeds=[4, 5], **changes))


def test_what_is_drawn_becomes_runs():
    drawn = {'optim_wrapper.optimizer.lr': 0.00123456, 'attention': 'SE', 'after': 'b'}
    first, second = trial_runs(plan(lengths=[9]), 3, drawn)
    assert first.sites == (dict(after='b', attention=dict(type='SE')),)
    assert first.options == ({'optim_wrapper.optimizer.lr': 0.00123456},)
    assert (first.seed, second.seed, first.length) == (4, 5, 9)
    assert first.variant == 'trial 3: lr=0.00123 attention=SE after=b'
    assert first.name == 'trial-3-lr=0.00123-attention=SE-after=b-seed4'
    assert trial_runs(plan(), 0, dict(attention='none', after='a'))[0].sites == ()


def test_the_space_is_that_of_optuna():
    found = _distributions(optuna, plan())
    kinds = optuna.distributions
    assert found['optim_wrapper.optimizer.lr'] == kinds.FloatDistribution(1e-5, 1e-2, log=True)
    assert found['model.depth'] == kinds.IntDistribution(1, 4)
    assert found['after'] == kinds.CategoricalDistribution(['a', 'b'])
    wrong = make_plan(dict(base='b', space=dict(x=dict(low=2.0, high=1.0)), trials=1))
    with pytest.raises(InputError, match=r"space\['x'\] cannot be searched"):
        _distributions(optuna, wrong)


@pytest.mark.parametrize(
    ('content', 'line'),
    [
        (dict(space=SPACE), 'needs space=.* and trials'),
        (dict(trials=3), 'needs space=.* and trials'),
        (dict(space=dict(x=3), trials=1), 'is expected as dict'),
        (dict(space=dict(x=dict(low=1)), trials=1), 'is expected as dict'),
        (dict(space=dict(after=dict(choices=['a'])), trials=1), 'both attention and after'),
        (dict(space=SPACE, trials=1, lengths=[1, 2]), 'one length at most'),
    ],
)
def test_spaces_that_are_none(content, line):
    with pytest.raises(InputError, match=line):
        make_plan(dict(base='b', **content))
