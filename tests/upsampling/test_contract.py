"""What every upsampling module promises, asked of every one that is exported."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmattn import upsampling as room
from mmattn.testing import check_upsampling, upsampling
from tests.helpers import needs_torch, randomize

# With the options that change what is computed.
CFGS = {name: (name, {}) for name in room.__all__}
CFGS['dyscope'] = 'DySample', dict(dyscope=True)
CFGS['pl'] = 'DySample', dict(style='pl', groups=2)
CFGS['pl_dyscope'] = 'DySample', dict(style='pl', dyscope=True)
CFGS['identity'] = 'DySample', dict(start='identity')
CFGS['groups'] = 'CARAFE', dict(up_group=4, up_kernel=3, encoder_dilation=2)
CFGS['align_corners'] = 'Bilinear', dict(align_corners=True)
every = pytest.mark.parametrize(
    'name',
    [n if n in room.__all__ else pytest.param(n, marks=pytest.mark.slow) for n in CFGS],
)


def asked_of(name):
    kind, options = CFGS[name]
    return upsampling.Asked(getattr(room, kind), 16, options)


@every
def test_keeps_its_promises(name):
    kind, options = CFGS[name]
    check_upsampling(getattr(room, kind), **options)


@pytest.mark.slow
@needs_torch('2.5', 'torch.onnx.export of dynamo')
@every
def test_onnx_at_another_size(name, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    module = randomize(asked_of(name).build()).eval()
    program = torch.onnx.export(
        module,
        tuple(asked_of(name).maps(2, 12, 9)),
        opset_version=18,
        dynamo=True,
        dynamic_shapes={'x': {2: 'h', 3: 'w'}},
        verbose=False,
    )
    program.save(tmp_path / 'a.onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'a.onnx')
    [x] = asked_of(name).maps(2, 7, 20)
    [out] = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(out), module(x), rtol=1e-4, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(list(CFGS)),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    channels_last=st.booleans(),
    scale_factor=st.sampled_from([1, 2, 4]),
)
def test_enlarges_any_map(name, shape, dtype, channels_last, scale_factor):
    upsampling.enlarges_the_map(asked_of(name), shape, dtype, channels_last, scale_factor)
