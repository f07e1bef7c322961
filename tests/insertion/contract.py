"""What insertion promises of any host."""

import copy
import inspect

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from mmattn.insertion import InsertAttention, is_inserted
from mmattn.insertion.dry_run import dry_run
from tests.insertion.hosts import build

COORD_ATT = dict(type='CoordAtt', reduction=8)

# Smallest image from which all backbones still make maps, for those that take any size.
SMALL_IMAGE = (64, 96)


def tensors_in(value) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, Tensor)]


def inputs(host: nn.Module, input_shape=None) -> tuple:
    """Make a batch of two of what the forward of ``host`` takes."""
    run = dry_run(host, input_shape)
    args = run.records[''].args
    leaves, structure = tree_flatten(args)
    any_size = run.image is not None and run.image[0] != run.image[1]
    made = []
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            size = SMALL_IMAGE if any_size else leaf.shape[2:]
            leaf = torch.rand(max(2, leaf.shape[0]), leaf.shape[1], *size)
        made.append(leaf)
    return tree_unflatten(made, structure)


def convolutions(host: nn.Module, input_shape=None) -> list[str]:
    """Names of the convolutions inside, after the first, that see more than one pixel at a time."""
    records = dry_run(host, input_shape).records
    names = [
        name
        for name, module in host.named_modules()
        if isinstance(module, nn.Conv2d)
        and max(module.kernel_size) > 1
        and name in records
        and records[name].output.dim() == 4
    ]
    return names[1:]


def is_frozen(host: nn.Module, name: str) -> bool:
    return not any(p.requires_grad for p in host.get_submodule(name).parameters())


def accepts(host: nn.Module, option: str) -> bool:
    inits = [c.__init__ for c in type(host).__mro__ if '__init__' in vars(c)]
    return any(option in inspect.signature(init).parameters for init in inits)


def check_start(config: dict, places: dict[str, str], input_shape=None) -> None:
    """The output starts as that of the host, bit for bit, and no key of the host changes."""
    host = build(copy.deepcopy(config))
    host.init_weights()
    host.eval()
    args = inputs(host, input_shape)
    expected = outputs(host, args)
    weights = copy.deepcopy(host.state_dict())
    model = insert(host, places, 'identity', input_shape)
    assert [key for key in model.state_dict() if not is_inserted(key)] == list(weights)
    assert_same(outputs(model, args), expected)

    # A model is built, then initialized; then it loads a checkpoint of the host.
    model = insert(build(copy.deepcopy(config)), places, 'identity', input_shape)
    model.init_weights()
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert missing and all(map(is_inserted, missing))
    model.eval()
    assert_same(outputs(model, args), expected)


def outputs(model: nn.Module, args: tuple) -> list[Tensor]:
    with torch.no_grad():
        return tensors_in(model(*args))


def assert_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert len(ours) == len(theirs) > 0
    for our, their in zip(ours, theirs, strict=True):
        assert our.isfinite().all()
        assert torch.equal(our, their)


def check_training(config: dict, places: dict[str, str], input_shape=None) -> None:
    """One step of training moves what is inserted, whatever the host freezes of itself."""
    host = build(copy.deepcopy(config))
    frozen = {key: value for key, value in FROZEN.items() if accepts(host, key)}
    if frozen:
        host = build(copy.deepcopy(config) | frozen)
    else:
        host.requires_grad_(False)
    host.init_weights()
    host.train()
    args = inputs(host, input_shape)
    asleep = {name for name, p in host.named_parameters() if not p.requires_grad}
    model = insert(host, places, 'paper', input_shape)
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=1.0)
    sum((out * torch.randn_like(out)).sum() for out in tensors_in(model(*args))).backward()
    optimizer.step()

    after = model.state_dict()
    still = [key for key in after if is_inserted(key) and torch.equal(after[key], before[key])]
    # A batch norm takes away whatever the bias before it adds.
    assert [key for key in still if not key.endswith('conv1.bias')] == []
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == asleep


FROZEN = dict(norm_eval=True, frozen_stages=1)


def insert(host: nn.Module, places: dict[str, str], start: str, input_shape) -> nn.Module:
    """Insert coordinate attention at ``places``: the site's word by the pattern."""
    sites = [
        {place: pattern.replace('.', r'\.'), 'attention': COORD_ATT}
        for pattern, place in places.items()
    ]
    return InsertAttention(host, sites, start=start, input_shape=input_shape)
