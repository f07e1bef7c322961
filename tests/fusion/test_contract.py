"""What every fusion module promises, asked of every one that is exported."""

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmattn import fusion
from mmattn.fusion.aff import Strategy
from mmattn.fusion.base import Fusion
from mmattn.testing import blended, check_fusion
from tests.helpers import needs_torch, randomize

# With the options that change what is computed.
CFGS = {name: (name, {}) for name in fusion.__all__ if issubclass(getattr(fusion, name), Fusion)}
CFGS |= {name: ('AFF', dict(strategy=name)) for name in get_args(Strategy)[1:]}
CFGS['local_half_aff'] = 'AFF', dict(strategy='half_aff', scales=('local', 'local'))
CFGS['global_half_aff'] = 'AFF', dict(strategy='half_aff', scales=('global', 'global'))
every = pytest.mark.parametrize(
    'name',
    [n if n in fusion.__all__ else pytest.param(n, marks=pytest.mark.slow) for n in CFGS],
)


def asked_of(name):
    kind, options = CFGS[name]
    return blended.Asked(getattr(fusion, kind), 16, options)


@every
def test_keeps_its_promises(name):
    kind, options = CFGS[name]
    check_fusion(getattr(fusion, kind), **options)


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted({*fusion.__all__} - {*CFGS}))
def test_fusions_of_levels_keep_their_promises(name):
    check_fusion(getattr(fusion, name))


@pytest.mark.parametrize('name', ['AddFusion', 'ConcatFusion'])
def test_what_weighs_nothing_has_no_gates(name):
    asked = asked_of(name)
    assert asked.build().gates(*asked.maps(2, 5, 4)) == {}


@pytest.mark.slow
@needs_torch('2.5', 'torch.onnx.export of dynamo')
@every
def test_onnx_at_another_size(name, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    module = randomize(asked_of(name).build()).eval()
    sizes = {2: 'h', 3: 'w'}
    program = torch.onnx.export(
        module,
        tuple(asked_of(name).maps(2, 12, 9)),
        opset_version=18,
        dynamo=True,
        dynamic_shapes={'x': sizes, 'y': sizes},
        verbose=False,
    )
    program.save(tmp_path / 'a.onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'a.onnx')
    x, y = asked_of(name).maps(2, 7, 20)
    names = [given.name for given in session.get_inputs()]
    [out] = session.run(None, dict(zip(names, (x.numpy(), y.numpy()), strict=True)))
    torch.testing.assert_close(torch.from_numpy(out), module(x, y), rtol=1e-4, atol=1e-4)


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(list(CFGS)),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 17), st.integers(1, 17)),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    channels_last=st.booleans(),
    start=st.sampled_from(blended.STARTS),
)
def test_keeps_any_map(name, shape, dtype, channels_last, start):
    blended.keeps_the_map(asked_of(name), shape, dtype, channels_last, start)
