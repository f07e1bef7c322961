import pytest

from mmattn.errors import InputError
from mmattn.sweep.plan import Row, make_plan, read_plan


def test_a_grid_with_the_baseline_in_front():
    plan = make_plan(
        dict(
            base='base.py',
            modules=['SE', dict(type='CoordAtt', reduction=16)],
            positions=dict(early=['a', 'b'], late='c'),
            starts=['identity', 'paper'],
            seeds=[3, 5],
        )
    )
    names = [run.name for run in plan.runs()]
    assert len(names) == len(set(names)) == (1 + 2 * 2 * 2) * 2
    # All rows of a seed come before the next seed.
    assert names[0] == 'none-seed3' and names[9] == 'none-seed5'
    assert names[1:3] == ['SE-early-identity-seed3', 'SE-early-paper-seed3']
    row = plan.rows['CoordAtt early paper']
    attention = dict(type='CoordAtt', reduction=16)
    assert row.sites == (dict(after='a', attention=attention), dict(after='b', attention=attention))
    assert row.start == 'paper'
    assert plan.rows['none'] == Row()


def test_names_say_no_more_than_what_differs():
    plan = make_plan(dict(base='b.py', modules=['SE'], positions='neck', lengths=[10]))
    assert [run.name for run in plan.runs()] == ['none-seed0', 'SE-seed0']


def test_axes_and_options_are_laid_on_top_of_each_other():
    plan = make_plan(
        dict(
            base='b.py',
            rows=dict(fast=dict(options={'a.lr': 3})),
            axes=dict(rate={'1e-3': {'a.lr': 2}}),
            options={'a.lr': 1},
            lengths=[4, 8],
        )
    )
    runs = {run.name: run for run in plan.runs()}
    assert runs['fast-length=8-rate=1e-3-seed0'].options == ({'a.lr': 1}, {'a.lr': 2}, {'a.lr': 3})
    assert runs['none-length=4-rate=1e-3-seed0'].length == 4
    assert runs['none-length=4-rate=1e-3-seed0'].axes == {'length': '4', 'rate': '1e-3'}


@pytest.mark.parametrize('suffix', ['py', 'yaml', 'json'])
def test_a_plan_is_a_file(tmp_path, suffix):
    texts = dict(
        py="base = 'sub/b.py'\nseeds = [0, 1]\nrows = dict(x=dict(options=dict(a=1)))\n",
        yaml='base: sub/b.py\nseeds: [0, 1]\nrows: {x: {options: {a: 1}}}\n',
        json='{"base": "sub/b.py", "seeds": [0, 1], "rows": {"x": {"options": {"a": 1}}}}',
    )
    path = tmp_path / f'plan.{suffix}'
    path.write_text(texts[suffix])
    plan = read_plan(str(path))
    assert plan.base == str(tmp_path / 'sub' / 'b.py')
    assert plan.seeds == (0, 1)
    assert plan.rows == {'none': Row(), 'x': Row(options={'a': 1})}


@pytest.mark.parametrize(
    ('content', 'line'),
    [
        (dict(), 'has no base'),
        (dict(base='b', sedes=[1]), 'has the key sedes; known are'),
        (dict(base='b', modules=['SE']), 'has modules, but no positions; a grid needs both'),
        (dict(base='b', positions='a'), 'has positions, but no modules'),
        (dict(base='b', seeds=[]), 'has no seeds'),
        (dict(base='b', seeds=[1, 1]), 'seeds has a number twice'),
        (dict(base='b', seeds=[-1]), 'at least 0, got -1'),
        (dict(base='b', lengths=[0]), 'at least 1, got 0'),
        (dict(base='b', rows=dict(x=1)), 'row x is expected as a dict, got 1'),
        (dict(base='b', rows=dict(x=dict(after='a'))), 'says where, but not what'),
        (dict(base='b', rows=dict(x=dict(attention=dict(type='SE')))), 'but no place'),
        (dict(base='b', rows=dict(x=dict(start='zero'))), "'identity' or 'paper', got 'zero'"),
        (dict(base='b', rows={'a b': {}, 'a-b': {}}), 'would share the files a-b-seed0'),
        (dict(base='b', baseline='y'), "baseline 'y' is no row; there are none"),
        (dict(base='b', axes=dict(x=[1])), 'axes are expected as dict'),
        (dict(base='b', shape=[4]), 'height and width in pixels, got [4]'),
        (dict(base='b', modules=['SE', 'SE'], positions='a'), 'SE is there twice'),
    ],
)
def test_what_is_no_plan_is_told_in_one_line(content, line):
    with pytest.raises(InputError) as error:
        make_plan(content, 'plan x.py')
    assert line in str(error.value) and str(error.value).startswith('plan x.py')
    assert '\n' not in str(error.value)


def test_files_that_are_no_plan(tmp_path):
    with pytest.raises(InputError, match='is not a file'):
        read_plan(str(tmp_path / 'gone.py'))
    path = tmp_path / 'plan.py'
    path.write_text('base = 1 / 0\n')
    with pytest.raises(InputError, match='cannot be read: ZeroDivisionError'):
        read_plan(str(path))
