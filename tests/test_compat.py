"""Each difference between versions of PyTorch, done as for this one and as for the oldest one."""

import datetime
import importlib.util

import pytest
import torch
import torch.distributed as dist
from torch import nn

from mmattn import compat

THIS = compat.TORCH


@pytest.fixture(autouse=True, params=[(2, 1), THIS], ids=['oldest', 'this'])
def version(request, monkeypatch):
    monkeypatch.setattr(compat, 'TORCH', request.param)


def test_version():
    assert torch.__version__.startswith('.'.join(map(str, THIS)))


def test_is_compiling():
    compiled = torch.compile(lambda x: x + int(compat.is_compiling()), backend='eager')
    assert compiled(torch.zeros(1)) == 1
    assert not compat.is_compiling()
    torch._dynamo.reset()


@pytest.mark.parametrize(
    'dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64], ids=str
)
def test_at_least_float32(dtype):
    assert compat.at_least_float32(dtype) == torch.promote_types(dtype, torch.float32)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_scores_overflow(dtype):
    """Where they do not, those of a matrix of all pairs are finite too."""
    if compat.scores_overflow(dtype):
        assert compat.TORCH < (2, 5)
        assert dtype != torch.float32
        return
    q, k = torch.full((1, 1, 3, 4), 6e4).to(dtype), torch.full((1, 1, 5, 4), 6e4).to(dtype)
    value = torch.ones(1, 1, 5, 2).to(dtype)
    assert torch.equal(nn.functional.scaled_dot_product_attention(q, k, value), value[:, :, :3])


def test_autocast_dtype_of_the_cpu():
    assert compat.autocast_dtype('cpu') is None
    with torch.autocast('cpu', torch.bfloat16):
        assert compat.autocast_dtype('cpu') == torch.bfloat16
        assert compat.autocast_dtype('cuda') is None
        with torch.autocast('cpu', enabled=False):
            assert compat.autocast_dtype('cpu') is None


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_autocast_dtype_of_a_gpu(dtype):
    """As :func:`torch.autocast` sets it, which does so only where there is one."""
    before = torch.get_autocast_gpu_dtype()
    torch.set_autocast_enabled(True)
    torch.set_autocast_gpu_dtype(dtype)
    try:
        assert compat.autocast_dtype('cuda') == dtype
        assert compat.autocast_dtype('cpu') is None
    finally:
        torch.set_autocast_enabled(False)
        torch.set_autocast_gpu_dtype(before)


@torch.no_grad()
@pytest.mark.parametrize('is_padded', [False, True], ids=['whole', 'padded'])
def test_every_submodule_runs(is_padded):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    x, padding = torch.rand(3, 5, 8), None
    if is_padded:
        padding = torch.arange(5).expand(3, 5) > torch.tensor([[4], [2], [4]])
    skipping = model(x, src_key_padding_mask=padding)
    ran = []
    for layer in model.layers:
        layer.linear1.forward = lambda x, forward=layer.linear1.forward: ran.append(1) or forward(x)
    model(x, src_key_padding_mask=padding)
    assert ran == []
    with compat.every_submodule_runs(model):
        out = model(x, src_key_padding_mask=padding)
    assert ran == [1, 1]
    kept = slice(None) if padding is None else ~padding
    torch.testing.assert_close(out[kept], skipping[kept])


def test_register_load_pre_hook():
    model = nn.Sequential(nn.Linear(2, 3))
    seen = []

    def look(module, state_dict, prefix, *others):
        seen.append((module, [*state_dict], prefix))
        state_dict.pop(f'{prefix}bias')

    handle = compat.register_load_pre_hook(model[0], look)
    state_dict = {name: torch.ones_like(value) for name, value in model.state_dict().items()}
    missing = model.load_state_dict(state_dict, strict=False).missing_keys
    assert seen == [(model[0], ['0.weight', '0.bias'], '0.')]
    assert missing == ['0.bias'] and model[0].weight.eq(1).all()
    handle.remove()
    model.load_state_dict(state_dict)
    assert len(seen) == 1


def test_has_fully_shard():
    if THIS == compat.TORCH:
        there = importlib.util.find_spec('torch.distributed.fsdp._fully_shard') is not None
        assert compat.has_fully_shard() == there
    else:
        assert not compat.has_fully_shard()


def test_is_first():
    store = dist.TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)
    assert [compat.is_first(store, 'failed', name) for name in 'abc'] == [True, False, False]
    assert compat.is_first(store, 'another', 'b')
    assert compat.are_stored(store, ['failed'])


@pytest.mark.parametrize('is_part', [False, True], ids=['server', 'part of a client'])
def test_are_stored(is_part):
    server = store = dist.TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)
    if is_part:
        client = dist.TCPStore('127.0.0.1', server.port, is_master=False, wait_for_workers=False)
        store = dist.PrefixStore('part', client)
    store.set('empty', '')
    store.set('full', 'a')
    for _ in range(2):
        assert compat.are_stored(store, ['empty', 'full'])
        assert not compat.are_stored(store, ['empty', 'none'])
    assert store.get('full') == b'a' and store.get('empty') == b''


def test_default_timeout():
    assert compat.default_timeout('gloo') == datetime.timedelta(minutes=30)
    if dist.is_nccl_available():
        minutes = 10 if compat.TORCH >= (2, 2) else 30
        assert compat.default_timeout('cpu:gloo,cuda:nccl') == datetime.timedelta(minutes=minutes)


def test_loss_of_another_process():
    try:
        # Nobody listens there.
        dist.TCPStore('127.0.0.1', 1, timeout=datetime.timedelta(seconds=1))
    except compat.DIST_ERRORS as error:
        assert compat.is_of_a_collective(error)
    else:
        pytest.fail('somebody listens at port 1')
    assert compat.is_of_a_collective(RuntimeError('[../gloo/transport/tcp/pair.cc] Broken pipe'))
    assert not compat.is_of_a_collective(RuntimeError('shapes cannot be multiplied'))
    assert not compat.is_of_a_collective(ValueError('Connection'))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_gpu_uuid():
    uuids = [compat.gpu_uuid(index) for index in range(torch.cuda.device_count())]
    assert len({*uuids}) == len(uuids) and all(len(uuid) >= 36 for uuid in uuids)
