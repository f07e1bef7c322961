"""What insertion promises of any host."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._pytree import tree_flatten, tree_map

from mmattn.insertion import InsertAttention
from mmattn.insertion.inserted_attention import is_inserted
from mmattn.probe.dry_run import DryRun, dry_run
from tests.insertion.hosts import build

COORD_ATT = dict(type='CoordAtt', reduction=8)

# Image from which all backbones that take any size still make maps.
SMALL_IMAGE = (64, 96)


def check(config: dict, whole: str | None, input_shape=None) -> None:
    """Insert coordinate attention into a host, and check what is promised.

    The output starts as that of the host, bit for bit, no key of the host changes, and training
    moves what was inserted, whatever the host freezes of itself.

    Args:
        config: Config of the host.
        whole: Where attention acts on the host as a whole, ``'after'`` or ``'before'``, or nowhere.
        input_shape: What the attributes of the host do not tell.
    """
    host = build(copy.deepcopy(config))
    run = dry_run(host, input_shape)
    args = inputs(run)
    places = {whole: ''} if whole else {}
    sites = [{place: name, 'attention': COORD_ATT} for place, name in places.items()]
    if (inner := convolution(host, run)) is not None:
        sites.append(dict(after=inner.replace('.', r'\.'), attention=COORD_ATT))

    model = InsertAttention(host, sites, input_shape=input_shape)
    model.init_weights()
    pretrain(model, args)
    plain = build(copy.deepcopy(config))
    pretrain(plain, args)  # buffers of some have the size of the last image
    own = {key: value for key, value in model.state_dict().items() if not is_inserted(key)}
    assert len(own) < len(model.state_dict())
    result = plain.load_state_dict(own, strict=False)
    # Some register tables that they compute anew in each forward.
    computed = {name for name, _ in plain.named_buffers()}
    assert not result.unexpected_keys and set(result.missing_keys) <= computed
    assert_same(outputs(model, args), outputs(plain, args))

    inserted = {key for key in model.state_dict() if is_inserted(key)}
    moved = moved_by_a_step(model, args)
    assert {key for key in inserted if key.endswith(('blend', 'running_mean'))} <= moved
    # What is blended in by zero gets a gradient when the blend has moved; a batch norm takes away
    # whatever the bias before it adds.
    moved |= moved_by_a_step(model, args)
    assert {key for key in inserted - moved if not key.endswith('conv1.bias')} == set()
    plain.train()
    assert frozen_in(model) == frozen_in(plain)


def inputs(run: DryRun) -> tuple:
    """Make a batch of two of what the host was given, smaller where it takes any size."""
    any_size = run.image is not None and run.image[0] != run.image[1]

    def made(leaf):
        if not isinstance(leaf, Tensor):
            return leaf
        number, channels, *size = leaf.shape
        if any_size:
            size = SMALL_IMAGE
        elif run.image is None and number == 1:
            size = [math.ceil(side / 2) for side in size]
        return torch.rand(max(2, number), channels, *size)

    return tree_map(made, run.records[''].args)


def convolution(host: nn.Module, run: DryRun) -> str | None:
    """Name a convolution amid the host, one that it freezes, if it freezes any."""
    names = [
        name
        for name, module in host.named_modules()
        if isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1 and name in run.records
    ]
    frozen = [name for name in names if not host.get_submodule(name).weight.requires_grad]
    names = frozen or names
    return names[len(names) // 2] if names else None


def tensors_in(value) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, Tensor)]


def outputs(model: nn.Module, args: tuple) -> list[Tensor]:
    model.eval()
    # The Hamburger of SegNeXt's head draws bases in each forward.
    torch.manual_seed(0)
    with torch.no_grad():
        return tensors_in(model(*args))


def assert_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert len(ours) == len(theirs) > 0
    for our, their in zip(ours, theirs, strict=True):
        assert our.isfinite().all()
        assert torch.equal(our, their)


def frozen_in(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def pretrain(model: nn.Module, args: tuple) -> None:
    """Give norms the statistics of their inputs, and a scale to those that start with zero."""
    for name, module in model.named_modules():
        if isinstance(module, _NormBase) and not is_inserted(name):
            module.train()
            module.momentum = 1.0
            nn.init.ones_(module.weight)
    with torch.no_grad():
        model(*args)


def moved_by_a_step(model: nn.Module, args: tuple) -> set[str]:
    """Train for a step, of the same size wherever there is a gradient; tell what it changed."""
    before = {k: v.clone() for k, v in model.state_dict().items() if is_inserted(k)}
    model.train()
    inserted = [parameter for name, parameter in model.named_parameters() if is_inserted(name)]
    optimizer = torch.optim.Adam(inserted, lr=1e-3, eps=1e-30)
    # No norm at the end of a host makes this loss flat.
    sum((out * torch.randn_like(out)).sum() for out in tensors_in(model(*args))).backward()
    optimizer.step()
    after = model.state_dict()
    assert all(after[key].isfinite().all() for key in before)
    return {key for key in before if not torch.equal(before[key], after[key])}
