import copy
import io
import logging
import pickle
import re
from collections import OrderedDict

import pytest
import torch
import torch.distributed as dist
from mmengine.logging import MMLogger
from mmengine.model import BaseModule, revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.nn.modules import module as module_of_torch
from torch.utils._pytree import tree_flatten

from mmattn.attention import ECA, CoordAtt
from mmattn.attention.base import Attention
from mmattn.compat import TORCH
from mmattn.errors import InputError
from mmattn.insertion import exchange
from mmattn.insertion.inserted_attention import InsertedAttention, inserted_in, is_inserted
from mmattn.probe.structures import describe
from tests.helpers import needs_torch, randomize
from tests.insertion.toys import COORD_ATT, Block, Output, Tokens, Tower, image, insert

CONV = dict(after=r'layer\d\.\d\.conv1', attention=COORD_ATT)


def own_tensors(output) -> list[torch.Tensor]:
    if isinstance(output, Output):
        output = [output.last, output.maps[0]]
    return [leaf for leaf in tree_flatten(output)[0] if isinstance(leaf, torch.Tensor)]


def assert_same(output, expected) -> None:
    assert type(output) is type(expected)
    for ours, theirs in zip(own_tensors(output), own_tensors(expected), strict=True):
        assert torch.equal(ours, theirs) and ours.stride() == theirs.stride()


def wake_up(model: nn.Module) -> nn.Module:
    """Let every inserted module do something."""
    for inserted in inserted_in(model):
        randomize(inserted)
    return model


FORMS = ['tuple', 'list', 'tensor', 'dict', 'named', 'data', 'nhwc']


@pytest.mark.parametrize('form', FORMS)
def test_identity_start_leaves_outputs_of_every_form_bit_for_bit(form):
    host = randomize(Tower(form))
    x = image()
    host.eval()
    expected = host(x)
    model = insert(copy.deepcopy(host), CONV, dict(after='', attention=COORD_ATT))
    model.eval()
    assert_same(model(x), expected)


@pytest.mark.parametrize('form', FORMS)
def test_every_map_of_an_output_gets_a_module_that_acts_on_it(form):
    host = randomize(Tower(form))
    x = image()
    host.eval()
    expected = own_tensors(host(x))
    model = insert(copy.deepcopy(host), dict(after='', attention=COORD_ATT), start='paper')
    model.eval()
    [inserted] = inserted_in(model)
    attentions = list(inserted.children())
    assert len(attentions) == len(expected)
    for attention, plain, out in zip(attentions, expected, own_tensors(model(x)), strict=True):
        if form == 'nhwc':
            plain, out = plain.permute(0, 3, 1, 2), out.permute(0, 3, 1, 2)
        torch.testing.assert_close(out, attention(plain))
        assert not torch.equal(out, plain)


def test_only_keys_below_the_module_they_follow_are_new():
    host = Tower()
    model = insert(copy.deepcopy(host), CONV, dict(before='layer2', attention=dict(type='ECA')))
    ours, theirs = model.state_dict(), host.state_dict()
    assert [key for key in ours if not is_inserted(key)] == list(theirs)
    new = {key.split('inserted_attention')[0] for key in ours if is_inserted(key)}
    assert new == {'layer1.0.conv1.', 'layer1.1.conv1.', 'layer2.1.conv1.', 'layer2.'}
    assert 'layer2.inserted_attention_before.eca.conv.weight' in ours
    assert 'layer1.0.conv1.inserted_attention.coord_att.conv_h.weight' in ours


def test_weights_of_the_host_load_and_change_nothing_else():
    model, host = insert(Tower(), CONV), randomize(Tower())
    result = model.load_state_dict(host.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert all(is_inserted(key) for key in result.missing_keys)
    x = image()
    model.eval(), host.eval()
    assert_same(model(x), host(x))


COPIES = {
    'deepcopy': copy.deepcopy,
    'pickle': lambda model: pickle.loads(pickle.dumps(model)),
    'torch.save': lambda model: torch.load(saved(model), weights_only=False),
}


def saved(model: nn.Module) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return file


@pytest.mark.parametrize('copied', COPIES.values(), ids=COPIES)
def test_copies_compute_the_same_and_share_nothing(copied):
    model = wake_up(insert(Tower(), CONV, dict(after='layer2', attention=COORD_ATT)))
    model.eval()
    x = image()
    expected = model(x)
    twin = copied(model)
    assert type(twin) is type(model) and type(twin.layer2) is type(model.layer2)
    assert_same(twin(x), expected)
    wake_up(model), randomize(model, seed=1)
    assert_same(twin(x), expected)
    twin.train()
    assert all(inserted.training for inserted in inserted_in(twin))


def test_copy_of_tokens_reads_the_grid_of_its_own_embedding():
    model = insert(Tokens('before'), dict(after='block', attention=dict(type='ECA')))
    twin = copy.deepcopy(model)
    [inserted] = inserted_in(twin)
    [(m, _)] = inserted.maps
    assert m.grid_source[0] is twin.embed


@pytest.mark.parametrize('tells', ['beside', 'before'])
@pytest.mark.parametrize('size', [(32, 40), (64, 16), (8, 8)], ids=str)
def test_tokens_become_a_map_of_any_image(tells, size):
    host = randomize(Tokens(tells))
    model = insert(copy.deepcopy(host), dict(after='block', attention=COORD_ATT))
    x = image(*size)
    expected = host(x)
    assert_same(model(x), expected)

    [inserted] = inserted_in(wake_up(model))
    out = model.eval()(x)
    h, w = size[0] // 8, size[1] // 8
    grid = expected[:, 1:].transpose(1, 2).unflatten(2, (h, w))
    attended = inserted.coord_att(grid)
    torch.testing.assert_close(out[:, 1:].transpose(1, 2).unflatten(2, (h, w)), attended)
    assert torch.equal(out[:, :1], expected[:, :1])
    assert not torch.equal(out, expected)


def test_square_tokens_need_nobody_who_tells_their_grid():
    host = randomize(Tokens('nowhere'))
    model = insert(
        copy.deepcopy(host), dict(after='block', attention=COORD_ATT), input_shape=(3, 32, 32)
    )
    x = image(64, 64)
    assert_same(model(x), host(x))
    with pytest.raises(ValueError, match='tokens'):
        model(image(32, 40))


# ---- Around the host: compile, export, half precision, recomputation ----


@pytest.fixture
def model() -> nn.Module:
    return wake_up(
        insert(
            Tower('tensor'),
            CONV,
            dict(before='layer2', attention=dict(type='ECA')),
            dict(after='layer1', attention=dict(type='SE', reduction=2)),
        )
    )


@pytest.mark.parametrize('training', [True, False])
def test_compiles_without_a_graph_break(model, training):
    model.train(training)
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True, backend='eager')
    x = image()
    torch.testing.assert_close(compiled(x), model(x))


@pytest.mark.slow
@needs_torch('2.5', 'torch.compile of outputs of every form')
@pytest.mark.parametrize('form', FORMS)
def test_compiles_with_outputs_of_every_form(form):
    model = wake_up(insert(Tower(form), dict(after='', attention=COORD_ATT)))
    model.eval()
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True, backend='eager')
    x = image()
    for ours, theirs in zip(own_tensors(compiled(x)), own_tensors(model(x)), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
@needs_torch('2.5', 'torch.compile of tokens')
@pytest.mark.parametrize('tells', ['beside', 'before', 'nowhere'])
def test_compiles_and_exports_tokens(tells):
    site = dict(after='block', attention=COORD_ATT)
    model = wake_up(insert(Tokens(tells), site, input_shape=(3, 32, 32)))
    model.eval()
    x = image(32, 32)
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True, backend='eager', dynamic=True)
    for other in (x, image(64, 64)):
        torch.testing.assert_close(compiled(other), model(other))
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), model(x))


def test_exports(model):
    model.eval()
    x = image()
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), model(x))


def test_exports_to_onnx(model, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    model.eval()
    x = image()
    # Newer ones would take the other way.
    choice = {} if TORCH < (2, 5) else dict(dynamo=False)
    torch.onnx.export(model, (x,), str(tmp_path / 'model.onnx'), input_names=['x'], **choice)
    session = onnxruntime.InferenceSession(tmp_path / 'model.onnx')
    [out] = session.run(None, {'x': x.numpy()})
    torch.testing.assert_close(torch.from_numpy(out), model(x), atol=1e-4, rtol=1e-4)


def test_runs_under_autocast(model):
    x = image()
    with torch.autocast('cpu', torch.bfloat16):
        out = model(x)
    assert out.isfinite().all()
    out.float().sum().backward()
    assert all(parameter.grad is not None for parameter in used(model))


def used(model: nn.Module) -> list[nn.Parameter]:
    return [p for name, p in model.named_parameters() if '.idle.' not in name]


@pytest.mark.parametrize('use_reentrant', [True, False])
def test_recomputation_gives_the_same_gradients(model, use_reentrant):
    model.eval()
    twin = copy.deepcopy(model)
    x = image().requires_grad_()
    model(x).sum().backward()
    torch.utils.checkpoint.checkpoint(twin, x, use_reentrant=use_reentrant).sum().backward()
    for ours, theirs in zip(used(model), used(twin), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_channels_last_stays():
    host = randomize(Tower('tensor')).to(memory_format=torch.channels_last)
    model = insert(copy.deepcopy(host), CONV, dict(after='', attention=COORD_ATT))
    x = image().contiguous(memory_format=torch.channels_last)
    assert_same(model(x), host(x))


def test_a_host_without_sites_is_the_host():
    host = Tower()
    assert insert(host) is host and type(host) is Tower


def test_trains_under_ddp_with_no_parameter_unused(tmp_path):
    model = insert(Tower('tensor', frozen_stages=1, norm_eval=True), CONV)
    for module in model.modules():
        module.__dict__['_modules'].pop('idle', None)
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/group', rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(model)
        for _ in range(3):
            parallel.train()
            parallel(image()).square().mean().backward()
    finally:
        dist.destroy_process_group()
    assert all(p.grad is not None for n, p in model.named_parameters() if is_inserted(n))


# ---- The guard ----


def step(model: nn.Module) -> dict[str, torch.Tensor]:
    """Train for one step; give what it changed."""
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sum(out.square().mean() for out in own_tensors(model(image()))).backward()
    optimizer.step()
    return {
        key: value
        for key, value in model.state_dict().items()
        if not torch.equal(value, before[key])
    }


def freeze_by_options(model: nn.Module) -> None:
    model.train()


def freeze_parts(model: nn.Module) -> None:
    model.train()
    for part in (model.layer1, model.layer2):
        part.eval()
        part.requires_grad_(False)


def freeze_norms(model: nn.Module) -> None:
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)


FREEZERS = [freeze_by_options, freeze_parts, freeze_norms]


@pytest.mark.parametrize('freeze', FREEZERS)
def test_what_is_inserted_trains_where_the_host_is_frozen(freeze):
    model = wake_up(insert(Tower(frozen_stages=2, norm_eval=True), CONV))
    freeze(model)
    changed = step(model)
    assert all(is_inserted(key) for key in changed)
    statistics = [key for key in model.state_dict() if is_inserted(key) and 'running' in key]
    weights = [name for name, _ in model.named_parameters() if name.endswith('conv_h.weight')]
    assert len(weights) == 3 and {*statistics, *weights} <= set(changed)
    parameters = {name: p for name, p in model.named_parameters() if is_inserted(name)}
    assert all(parameter.grad is not None for parameter in parameters.values())


@pytest.mark.parametrize('freeze', FREEZERS)
def test_freeze_with_host_freezes_it(freeze):
    model = insert(Tower(frozen_stages=2, norm_eval=True), CONV, freeze_with_host=True)
    freeze(model)
    x = image()
    before = copy.deepcopy(model.state_dict())
    assert not any(out.requires_grad for out in own_tensors(model(x)))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_freeze_host_trains_what_is_inserted_and_nothing_else():
    model = wake_up(insert(Tower(), CONV, freeze_host=True))
    around = nn.Sequential(model)
    around.train()
    assert not any(m.training for name, m in model.named_modules() if not is_inserted(name))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if is_inserted(name)}
    changed = step(copy.deepcopy(model))
    assert changed and all(is_inserted(key) for key in changed)
    around.eval()
    assert not any(m.training for m in model.modules())


def test_freeze_host_where_nothing_would_train():
    with pytest.raises(InputError, match='leaves nothing to train with freeze_with_host=True'):
        insert(Tower(), CONV, freeze_host=True, freeze_with_host=True)
    with pytest.raises(InputError, match='leaves nothing to train without sites'):
        insert(Tower(), freeze_host=True)


def test_freeze_with_host_trains_it_where_the_host_trains():
    host = Tower(frozen_stages=1)
    model = wake_up(insert(host, CONV, freeze_with_host=True))
    model.eval()
    assert not any(m.training for inserted in inserted_in(model) for m in inserted.modules())
    model.train()
    frozen = model.layer1[0].conv1.inserted_attention
    awake = model.layer2[1].conv1.inserted_attention
    assert not any(module.training for module in frozen.modules())
    assert all(module.training for module in awake.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    changed = [key for key in step(model) if is_inserted(key)]
    assert changed and all(key.startswith('layer2.') for key in changed)
    # A part that is set to training by itself is not put to sleep, either.
    frozen.train()
    model(image())
    assert all(module.training for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def test_evaluation_of_the_whole_host_is_evaluation_of_what_is_inserted():
    model = wake_up(insert(Tower(frozen_stages=1, norm_eval=True), CONV))
    wrapper = nn.Sequential(model)
    wrapper.eval()
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        wrapper(image())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    # An optimizer that is built now passes over what requires no gradients.
    assert all(p.requires_grad for inserted in inserted_in(model) for p in inserted.parameters())
    wrapper.train()
    assert all(m.training for inserted in inserted_in(model) for m in inserted.modules())


# ---- Initialization ----


@pytest.mark.parametrize('start', ['identity', 'paper'])
def test_init_weights_leaves_what_is_inserted_as_it_was_built(start):
    foreign = dict(type='ContextBlock', ratio=0.5)  # its last convolution starts at zero
    model = insert(Tower(), dict(after='layer.', attention=foreign), CONV, start=start)
    built = {k: v.clone() for k, v in model.state_dict().items() if is_inserted(k)}
    host = model.layer1[0].conv1.weight.clone()
    model.init_weights()
    assert not torch.equal(model.layer1[0].conv1.weight, host)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in built.items())
    wake_up(model)
    trained = copy.deepcopy(model.state_dict())
    model.init_weights()  # the second time it only warns
    assert all(torch.equal(model.state_dict()[key], trained[key]) for key in trained)


def test_identity_holds_after_init_weights():
    host = Tower()
    model = insert(copy.deepcopy(host), CONV, dict(after='', attention=COORD_ATT))
    model.init_weights()
    host.load_state_dict({k: v for k, v in model.state_dict().items() if not is_inserted(k)})
    x = image()
    model.eval(), host.eval()
    assert_same(model(x), host(x))


def test_init_cfg_of_an_attention_counts():
    attention = dict(COORD_ATT, init_cfg=dict(type='Constant', layer='Conv2d', val=3.0, bias=1.0))
    model = insert(Tower(), dict(after='layer1', attention=attention))
    model.init_weights()
    assert (model.layer1.inserted_attention.coord_att.conv1.weight == 3).all()


def test_a_file_of_the_host_alone_leaves_what_is_inserted_as_it_was_built(tmp_path):
    torch.save(Tower().state_dict(), tmp_path / 'host.pth')
    constant = dict(type='Constant', layer='Conv2d', val=3.0)
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'host.pth'))
    model = insert(Tower(init_cfg=[constant, pretrained]), CONV)
    built = {k: v.clone() for k, v in model.state_dict().items() if is_inserted(k)}
    model.init_weights()
    assert all(torch.equal(model.state_dict()[key], value) for key, value in built.items())


def test_trained_weights_survive_init_weights_that_reads_them(tmp_path):
    trained = wake_up(insert(Tower(), CONV))
    torch.save(trained.state_dict(), tmp_path / 'trained.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'trained.pth'))
    model = insert(Tower(init_cfg=init_cfg), CONV)
    model.init_weights()
    for key, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


class Inner(BaseModule):
    def __init__(self):
        super().__init__(dict(type='Constant', layer='Conv2d', val=3.0))
        self.conv = nn.Conv2d(8, 8, 1)


class Outer(Attention):
    _abbr_ = 'outer'

    def __init__(self, in_channels, *, start='paper', init_cfg=None):
        super().__init__(in_channels, start, init_cfg)
        self.inner = Inner()

    def attend(self, x):
        return self.inner.conv(x)


class Walker(Tower):
    """Initializes whatever it finds inside."""

    def init_weights(self):
        for module in self.modules():
            if module is not self and isinstance(module, BaseModule):
                module.init_weights()
        super().init_weights()


def test_modules_inside_an_attention_are_initialized_again():
    model = insert(Walker(), dict(after='layer1', attention=dict(type=Outer)), start='paper')
    model.init_weights()
    assert (model.layer1.inserted_attention.outer.inner.conv.weight == 3).all()


@pytest.mark.parametrize('pretrained', [False, True])
def test_the_log_says_how_what_is_inserted_was_initialized(pretrained, tmp_path):
    site = dict(after='layer1', attention=COORD_ATT)
    init_cfg = dict(type='Kaiming', layer='Conv2d')
    if pretrained:
        torch.save(insert(Tower(), site).state_dict(), tmp_path / 'a.pth')
        init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    model = insert(Tower(init_cfg=init_cfg), site)
    logger = MMLogger.get_current_instance()
    handler = logging.FileHandler(tmp_path / 'log')
    logger.addHandler(handler)
    try:
        model.init_weights()
    finally:
        logger.removeHandler(handler)
        handler.close()
    said = re.findall(r'^(\S+) - torch\.Size\(.*?\): \n(.*)$', (tmp_path / 'log').read_text(), re.M)
    assert [name for name, _ in said] == [name for name, _ in model.named_parameters()]
    ours = {name for name, text in said if 'as it was built by InsertAttention' in text}
    # Of what the host did not change in between it says just that.
    weights = [name for name, _ in said if is_inserted(name) and name.endswith('conv1.weight')]
    assert all(is_inserted(name) for name in ours)
    assert ours >= set(weights) if not pretrained else not ours


# ---- Places ----


def test_norm_keeps_its_attention_when_it_is_converted():
    model = wake_up(insert(Tower('tensor'), dict(after='.*bn1', attention=COORD_ATT)))
    model.eval()
    x = image()
    expected = model(x)
    # PyTorch 2.1 gives layers that train, whatever they are made of.
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model)).eval()
    assert isinstance(synced.layer1[0].bn1, nn.SyncBatchNorm)
    reverted = revert_sync_batchnorm(synced)
    assert not isinstance(reverted.layer1[0].bn1, nn.SyncBatchNorm)
    assert_same(reverted(x), expected)
    twin = copy.deepcopy(reverted)
    assert_same(twin(x), expected)


def test_norm_of_an_unpickled_host_keeps_its_attention_when_it_is_converted(monkeypatch):
    model = wake_up(insert(Tower('tensor'), dict(after='.*bn1', attention=COORD_ATT)))
    model.eval()
    x = image()
    expected = model(x)
    pickled = pickle.dumps(model)
    # As in another process, in which nothing was inserted yet.
    monkeypatch.setattr(module_of_torch, '_global_module_registration_hooks', OrderedDict())
    exchange._watch_registrations.cache_clear()
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(pickle.loads(pickled)).eval()
    assert_same(revert_sync_batchnorm(synced)(x), expected)


class Counting(nn.ModuleDict):
    """Container that runs and counts what is in it, as densely connected blocks do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _, module in self.items():
            x = module(x)
        for key in self:
            x = x + len(self) * len(self[key])
        return x


def test_containers_run_and_count_only_what_the_host_put_there():
    inner = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1))
    host = nn.Sequential(Counting(dict(a=inner, b=nn.Sequential(nn.ReLU()))))
    x = image()
    expected = host(x)
    sites = [dict(after=name, attention=COORD_ATT) for name in ('', '0', '0.a')]
    model = insert(copy.deepcopy(host), *sites)
    assert_same(model(x), expected)
    assert len(model[0]['a']) == 3 and list(model[0]) == ['a', 'b']
    assert model[0]['a'][-1] is model.get_submodule('0.a.2')
    assert len(model[0]['a'][:2]) == 2 and len(list(model[0].values())) == 2
    assert len(list(inserted_in(wake_up(model)))) == 3
    assert not torch.equal(model(x), expected)


def test_attention_acts_where_forward_is_called_directly():
    model = wake_up(insert(Tower('tensor'), dict(after='', attention=COORD_ATT)))
    model.eval()
    x = image()
    assert torch.equal(model.forward(x), model(x))
    assert not torch.equal(super(type(model), model).forward(x), 0 * model(x))


def test_instead_of_takes_a_module_out():
    host = randomize(Tower('tensor'))
    model = insert(copy.deepcopy(host), dict(instead_of='layer2.1.bn1', attention=COORD_ATT))
    keys = [key for key in model.state_dict() if 'layer2.1.bn1' in key]
    assert keys and all(is_inserted(key) for key in keys)
    host.layer2[1].bn1 = nn.Identity()
    x = image()
    model.eval(), host.eval()
    assert_same(model(x), host(x))
    assert not torch.equal(wake_up(model)(x), host(x))


def test_before_acts_on_the_first_argument_by_position_or_name():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = Convolution()

        def forward(self, x):
            return self.conv(x=x)

    class Convolution(nn.Conv2d):
        def __init__(self):
            super().__init__(3, 5, 1)

        def forward(self, x):
            return super().forward(x)

    host = Named()
    model = insert(copy.deepcopy(host), dict(before='conv', attention=COORD_ATT))
    x = image()
    assert_same(model(x), host(x))
    wake_up(model).eval()
    expected = host(model.conv.inserted_attention_before.coord_att(x))
    torch.testing.assert_close(model(x), expected)


def test_before_leaves_the_other_keywords_alone():
    class Scaled(nn.Conv2d):
        def forward(self, x, scale):
            return super().forward(x) * scale

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = Scaled(3, 5, 1)

        def forward(self, x):
            return self.conv(x=x, scale=torch.full((len(x), 5, 1, 1), 2.0))

    host = Named()
    model = insert(copy.deepcopy(host), dict(before='conv', attention=COORD_ATT))
    wake_up(model).eval()
    x = image()
    expected = host(model.conv.inserted_attention_before.coord_att(x))
    torch.testing.assert_close(model(x), expected)


def forward_by_slice(self, x):
    for layer in self[::2]:
        x = layer(x)
    return x


class Chain(nn.Sequential):
    forward = forward_by_slice


class Row(nn.ModuleList):
    forward = forward_by_slice


@pytest.mark.parametrize('kind', [Chain, Row])
def test_a_slice_of_a_container_holds_what_the_host_put_there(kind):
    layers = [nn.Conv2d(3, 3, 1) for _ in range(4)]
    container = Chain(*layers) if kind is Chain else Row(layers)
    x = image()
    expected = container(x)
    model = insert(nn.Sequential(container), dict(after='0', attention=COORD_ATT))
    assert_same(model(x), expected)
    part = model[0][1:]
    assert isinstance(part, kind.__base__) and list(part) == layers[1:]


def test_levels_choose_among_the_maps():
    model = insert(Tower(), dict(after='', attention=COORD_ATT, levels=[-1]))
    [inserted] = inserted_in(model)
    assert [m.path for m, _ in inserted.maps] == [(1,)]
    model = insert(Tower('dict'), dict(after='', attention=COORD_ATT, levels=['low']))
    [inserted] = inserted_in(model)
    assert inserted.coord_att.in_channels == 8


def test_shared_is_one_module_for_all_positions():
    site = dict(after=r'layer1\.\d\.conv1', attention=COORD_ATT, shared=True)
    model = insert(Tower(), site)
    first, second = inserted_in(model)
    assert first.coord_att is second.coord_att
    assert next(inserted_in(insert(Tower(), dict(site, shared=False)))) is not None
    a, b = inserted_in(insert(Tower(), dict(site, shared=False)))
    assert a.coord_att is not b.coord_att


def test_start_of_a_site_comes_before_that_of_all():
    model = insert(
        Tower(),
        dict(after='layer1', attention=COORD_ATT, start='paper'),
        dict(after='layer2', attention=COORD_ATT),
    )
    first, second = inserted_in(model)
    assert first.coord_att.blend is None and second.coord_att.blend is not None


def test_attention_of_mmcv_and_timm():
    pytest.importorskip('timm')
    host = randomize(Tower('tensor'))
    host.eval()
    sites = (
        dict(after='layer1', attention=dict(type='ContextBlock', ratio=0.5)),
        dict(after='layer1.0', attention=dict(type='NonLocal2d')),
        dict(before='layer2', attention=dict(type='TimmAttention', name='eca')),
    )
    model = insert(copy.deepcopy(host), *sites)
    model.eval()
    x = image()
    assert_same(model(x), host(x))
    assert model.layer1.inserted_attention.context_block.attention.ratio == 0.5
    assert not torch.equal(wake_up(model)(x), host(x))


def test_second_insertion_goes_on_from_the_first():
    model = insert(insert(Tower('tensor'), CONV), dict(after='layer1', attention=COORD_ATT))
    assert len(list(inserted_in(model))) == 4
    model.train()
    assert {key for key in step(wake_up(model)) if is_inserted(key)}


def test_what_a_parent_adds_to_the_config_goes_to_the_host():
    MODELS.register_module(module=Tower, force=True)
    cfg = dict(type='InsertAttention', host=dict(type='Tower'), sites=[CONV], input_shape=(3, 8, 8))
    cfg.update(train_cfg=dict(a=1))
    try:
        assert MODELS.build(cfg).train_cfg == dict(a=1)
    finally:
        MODELS.module_dict.pop('Tower')


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmpretrain', None])
def test_resolves_from_every_scope(scope):
    if scope:
        pytest.importorskip(f'{scope}.models')
        init_default_scope(scope)
    host = dict(type=f'{scope}.ResNet' if scope else Block, **(dict(depth=18) if scope else BLOCK))
    site = dict(after='conv1', attention=COORD_ATT)
    model = MODELS.build(dict(type='InsertAttention', host=host, sites=[site]))
    assert isinstance(model.conv1.inserted_attention, InsertedAttention)


BLOCK = dict(in_channels=3, out_channels=4)


def test_tells_what_was_inserted_where_and_what_it_costs(monkeypatch):
    said = []
    monkeypatch.setattr(
        'mmattn.insertion.insert_attention.print_log', lambda m, **_: said.append(m)
    )
    model = insert(Tower(), CONV, dict(after='', attention=dict(type='ECA')))
    [text] = said
    attentions = [m for m in model.modules() if isinstance(m, CoordAtt | ECA)]
    total = sum(p.numel() for attention in attentions for p in attention.parameters())
    assert (
        ' total ' in text
        and f'{total:,}' in text
        and '(host)[1]' in text
        and 'layer2.1.conv1' in text
    )
    # The squeezing convolution on 32 + 40 profiles, and two that bring the channels back.
    assert f'{8 * 8 * 72 + 8 * 8 * 72:,}' in text
    assert '1 x 16 x 16 x 20' in text and '32 x 40 pixels' in text


def test_counts_the_parameters_of_a_shared_module_once(monkeypatch):
    said = []
    monkeypatch.setattr(
        'mmattn.insertion.insert_attention.print_log', lambda m, **_: said.append(m)
    )
    site = dict(after=r'layer1\.\d\.conv1', attention=COORD_ATT, shared=True)
    attention = next(inserted_in(insert(Tower(), site))).coord_att
    counts = re.findall(r'CoordAtt\s*│\s*([\d,]+)', said[0])
    assert counts == [f'{sum(p.numel() for p in attention.parameters()):,}', '0']


def test_counts_all_calls_of_a_module_that_runs_several_times(monkeypatch):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.conv(self.conv(x)[..., ::2])

    said = []
    monkeypatch.setattr(
        'mmattn.insertion.insert_attention.print_log', lambda m, **_: said.append(m)
    )
    insert(Shared(), dict(after='conv', attention=COORD_ATT))
    assert '1 x 3 x 32 x 40, 2 times' in said[0]
    assert f'{8 * 3 * 2 * (32 + 40) + 8 * 3 * 2 * (32 + 20):,}' in said[0]


# ---- What a user can get wrong ----

ERRORS = {
    'nothing matches': (dict(after='layer1.0.cnv1'), "nearest names are 'layer1.0.conv1'"),
    'prefix forgotten': (dict(after=r'\d\.conv1'), "did you mean 'layer1.0.conv1'"),
    'never runs': (dict(after='.*idle'), "matches 'layer1.0.idle' and 2 more, which the forward"),
    'no map': (dict(after='', form='vector'), 'is no map .* \\(1, 16\\); the nearest'),
    'no such level': (dict(after='', levels=[2]), r'no map at level 2; it has them at \[0, 1\]'),
    'level of one map': (dict(after='layer1', levels=[0]), 'at level 0; leave levels out'),
    'no place': (dict(), 'one of after, before, instead_of'),
    'two places': (dict(after='a', before='b'), 'one of after, before, instead_of'),
    'mistyped key': (dict(after='a', level=[0]), "has the key 'level'; did you mean levels"),
    'bad expression': (dict(after='layer('), 'is no regular expression'),
    'channels given': (dict(after='', attention=dict(type='SE', in_channels=3)), 'without in_chan'),
    'bad start': (dict(after='', start='zero'), "expected start 'identity' or 'paper', got 'zero'"),
    'bad levels': (dict(after='', levels=0), 'levels as a list'),
    'different channels': (dict(after='layer.', shared=True), 'same channels everywhere'),
    'impossible option': (
        dict(after='layer1', attention=dict(type='SE', reduction=99)),
        r"reduction of 1 to 8 .*, got 99.*'layer1'",
    ),
    'not replaceable': (
        dict(instead_of='layer2'),
        r"'layer2' cannot be replaced, it maps .{0,9}\(1, \d+, \d+, \d+\)",
    ),
    'the host instead': (dict(instead_of=''), 'the host. cannot be replaced'),
}


@pytest.mark.parametrize(('site', 'message'), ERRORS.values(), ids=ERRORS)
def test_refuses_in_one_line(site, message):
    site = dict(site)
    form = site.pop('form', 'tuple')
    with pytest.raises(InputError, match=message) as caught:
        insert(Tower(form), {'attention': COORD_ATT, **site})
    assert '\n' not in str(caught.value)


def test_refuses_two_sites_at_one_place():
    sites = (
        dict(after='layer1', attention=COORD_ATT),
        dict(after='layer[12]', attention=COORD_ATT),
    )
    with pytest.raises(
        InputError, match="matches 'layer1', which site after='layer1' matches, too"
    ):
        insert(Tower(), *sites)
    with pytest.raises(InputError, match='attention inserted earlier'):
        insert(insert(Tower(), sites[0]), sites[0])


def test_refuses_a_place_inside_what_another_site_takes_out():
    sites = (
        dict(instead_of='layer2.1.bn1', attention=COORD_ATT),
        dict(after='layer2.1.bn1.x', attention=COORD_ATT),
    )
    host = Tower()
    host.layer2[1].bn1.x = nn.Identity()
    host.layer2[1].bn1.register_forward_hook(lambda module, args, out: module.x(out))
    with pytest.raises(InputError, match="inside 'layer2.1.bn1', which site instead_of"):
        insert(host, *sites)


def test_a_refused_site_leaves_a_host_as_it_was():
    host = Tower()
    with pytest.raises(InputError):
        insert(host, CONV, dict(after='nowhere', attention=COORD_ATT))
    assert type(host) is Tower and not list(inserted_in(host))


def test_passes_over_vectors_and_tokens_beside_maps():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 1)

        def forward(self, x):
            x = self.conv(x)
            return x.mean((2, 3)), x, x.flatten(2)[..., :7]

    model = insert(Mixed(), dict(after='', attention=COORD_ATT))
    [inserted] = inserted_in(model)
    assert [m.path for m, _ in inserted.maps] == [(1,)]


def test_takes_the_type_of_the_host():
    model = insert(Tower().double(), CONV)
    assert {p.dtype for p in model.parameters()} == {torch.float64}


def test_refuses_tokens_without_a_grid_and_names_a_place_with_maps():
    site = dict(after='block', attention=COORD_ATT)
    with pytest.raises(InputError, match="unknown height and width; .*'embed.proj'"):
        insert(Tokens('nowhere'), site)


@pytest.mark.parametrize('host', [None, 3, dict(depth=50)], ids=str)
def test_refuses_what_is_no_host(host):
    with pytest.raises(InputError, match='host as a config or a module'):
        insert(host, CONV)


def test_refuses_what_is_no_attention():
    with pytest.raises(InputError, match='has none of the arguments in_channels'):
        insert(Tower(), dict(after='layer1', attention=dict(type='ReLU')))


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        (torch.rand(1, 8, 4, 5), '(1, 8, 4, 5)'),
        (7, '7'),
        ('img', "'img'"),
        (None, 'NoneType'),
    ],
)
def test_structures_are_told_by_their_shapes(value, text):
    assert describe(value) == text
