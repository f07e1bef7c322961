"""What a training on several GPUs needs, said before it is queued."""

import math
import shlex
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, OPTIMIZERS
from torch import Tensor, nn

from mmattn.datasets.checks import check_data
from mmattn.errors import InputError
from mmattn.probe.memory import count_training_memory
from mmattn.probe.passes import needs_values

# As many as a node of slurm_train.sh has where nothing else is said.
GPUS_OF_A_NODE = 8


class RankMemory(NamedTuple):
    """Bytes that a rank has of the model, whatever the batch.

    Args:
        parameters: Those of the model, or its shard of them.
        buffers: Running statistics and the like.
        gradients: Of the parameters that train.
        copies: What sums up gradients or gathers parameters: the buckets of DDP, or the units that
            are gathered at a time.
        optimizer: State of the optimizer.
    """

    parameters: int
    buffers: int
    gradients: int
    copies: int
    optimizer: int


class Maps(NamedTuple):
    """Bytes of the maps of a training step: some for the step, some for each image.

    Args:
        step: What does not depend on the batch.
        image: What each image adds.
    """

    step: int
    image: int


@dataclass(frozen=True)
class Plan:
    """What a rank needs in one of the two ways of training.

    Args:
        memory: What it has of the model.
        traffic: Bytes that it sends in a step.
    """

    memory: RankMemory
    traffic: int

    def largest_batch(self, memory: float, maps: Maps) -> int:
        """Give the number of images for a rank that fit in so many bytes; 0 if none does."""
        free = memory - sum(self.memory) - maps.step
        return max(0, int(free // maps.image)) if maps.image else 0


@dataclass(frozen=True)
class Training:
    """What a training on several GPUs needs.

    Args:
        config: The config, as the user calls it.
        gpus: Number of GPUs, which is that of ranks.
        batch_size: Images of a rank.
        plans: Ways to train by their names, the one of the config first.
        maps: The maps of a training step, None where they cannot be counted.
        memory: Bytes of a GPU, if known.
        bandwidth: Bytes that a GPU sends in a second, if known.
        step_time: Seconds of a step of one GPU by itself, if known.
        steps: Steps of the whole training, None where nobody can tell.
        remarks: Why something is not known.
    """

    config: str
    gpus: int
    batch_size: int
    plans: dict[str, Plan]
    maps: Maps | None
    memory: float | None
    bandwidth: float | None
    step_time: float | None
    steps: int | None
    remarks: list[str] = field(default_factory=list)

    def largest_batch(self, name: str) -> int | None:
        """Give the largest batch of a rank that fits, None where nobody can tell."""
        if self.memory is None or self.maps is None:
            return None
        return self.plans[name].largest_batch(self.memory, self.maps)

    def seconds(self, name: str) -> tuple[float, float] | None:
        """Estimate the time of the whole training, None where nobody can tell.

        Returns:
            Seconds if all that is sent is sent while the GPU computes, and if nothing is.
        """
        if self.steps is None or self.step_time is None:
            return None
        sending = self.plans[name].traffic / self.bandwidth if self.bandwidth else 0.0
        return self.steps * max(self.step_time, sending), self.steps * (self.step_time + sending)

    @property
    def line(self) -> str:
        """The line that queues it, with a limit of time if the time is known."""
        seconds = self.seconds(next(iter(self.plans)))
        return slurm_line(self.config, self.gpus, seconds and seconds[1])


def plan_training(
    model: nn.Module,
    cfg: Config,
    config: str,
    shape: tuple[int, int, int],
    batch_size: int,
    gpus: int,
    *,
    memory: float | None = None,
    bandwidth: float | None = None,
    step_time: float | None = None,
) -> Training:
    """Say what a training needs under DDP and in shards.

    Args:
        model: The model of the config on the meta device.
        cfg: The config.
        config: How the user calls it.
        shape: Shape (C, H, W) of an image.
        batch_size: Images of a rank.
        gpus: Number of GPUs.
        memory: Bytes of a GPU.
        bandwidth: Bytes that a GPU sends in a second.
        step_time: Seconds of a step of one GPU by itself.

    Raises:
        InputError: As :func:`optimizer_state`.
    """
    state = optimizer_state(model, cfg)
    units = list((cfg.get('sharding') or {}).get('units', []))
    plans = {
        'DDP': plan_ddp(model, state, gpus),
        'sharded': plan_sharded(model, state, gpus, units),
    }
    if cfg.get('runner_type') == 'ShardedRunner':
        plans = dict(reversed(plans.items()))
    remarks = []
    if not units:
        remarks.append('sharded in one unit: the config names no sharding.units to gather apart')
    if (cfg.optim_wrapper.get('type') or '').startswith('Amp'):
        remarks.append('maps are counted in float32: the half precision of the config needs less')
    maps, steps = None, None
    if needs_values(model):
        remarks.append('the maps of a Mask2Former are not counted, they depend on their values')
    else:
        try:
            maps = count_maps(model, shape)
        except Exception as error:
            # A model may compute in training what has no shape without values.
            remarks.append(f'the maps are not counted ({_reason(error)})')
    try:
        steps = steps_of(cfg, batch_size, gpus)
    except InputError as error:
        remarks.append(f'how many steps it trains is not known: {error}')
    return Training(
        config, gpus, batch_size, plans, maps, memory, bandwidth, step_time, steps, remarks
    )


def plan_ddp(model: nn.Module, state: list[tuple[nn.Parameter, Tensor]], ranks: int) -> Plan:
    """Plan a training in which each rank has the whole model.

    Gradients are summed up by a ring: all but one of the ranks' parts go round twice.

    Args:
        model: The model, on any device.
        state: What :func:`optimizer_state` gives.
        ranks: Number of ranks.
    """
    gradients = _bytes([p for p in model.parameters() if p.requires_grad])
    memory = RankMemory(
        parameters=_bytes(list(model.parameters())),
        buffers=_bytes(list(model.buffers())),
        gradients=gradients,
        copies=gradients if ranks > 1 else 0,
        optimizer=_bytes([tensor for _, tensor in state]),
    )
    return Plan(memory, 2 * (ranks - 1) * gradients // ranks)


def plan_sharded(
    model: nn.Module, state: list[tuple[nn.Parameter, Tensor]], ranks: int, units: list[str]
) -> Plan:
    """Plan a training with :class:`mmattn.engine.sharding.ShardedRunner`.

    A parameter is cut along its first axis; the first rank, which is counted, has no smaller part
    than any other. Each unit is gathered for the forward and once more for the backward pass, two
    of them at a time at most; what is in no unit is gathered once and stays. Gradients are summed
    up in shards.

    Args:
        model: The model, on any device.
        state: What :func:`optimizer_state` gives.
        ranks: Number of ranks.
        units: Names of classes whose parameters are gathered together.
    """
    parts = [list(m.parameters()) for m in model.modules() if type(m).__name__ in units]
    inside = {p for part in parts for p in part}
    rest = [p for p in model.parameters() if p not in inside]
    trained = [p for p in model.parameters() if p.requires_grad]
    largest = max((sum(_shard(p, ranks) for p in part) for part in parts), default=0)
    rest_shards = sum(_shard(p, ranks) for p in rest)
    unit_shards = sum(_shard(p, ranks) for p in inside)
    memory = RankMemory(
        parameters=rest_shards + unit_shards,
        buffers=_bytes(list(model.buffers())),
        gradients=sum(_shard(p, ranks) for p in trained),
        copies=ranks * (rest_shards + 2 * largest) if ranks > 1 else 0,
        optimizer=sum(
            _shard(tensor, ranks) if tensor.shape == parameter.shape else _bytes([tensor])
            for parameter, tensor in state
        ),
    )
    gathered = rest_shards + 2 * unit_shards
    return Plan(memory, (ranks - 1) * (gathered + memory.gradients))


def _reason(error: Exception) -> str:
    return f'{type(error).__name__}: {error}'.splitlines()[0]


def _bytes(tensors: list[Any]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _shard(tensor: Tensor, ranks: int) -> int:
    """Give the bytes of the first of equal parts along the first axis."""
    if tensor.ndim == 0:
        return _bytes([tensor])
    rows = -(-tensor.shape[0] // ranks)
    return rows * tensor.shape[1:].numel() * tensor.element_size()


def optimizer_state(model: nn.Module, cfg: Config) -> list[tuple[nn.Parameter, Tensor]]:
    """Give what the optimizer of a config keeps after its first step, without memory for it.

    Args:
        model: The model on the meta device, which has no gradients afterwards.
        cfg: Config with an ``optim_wrapper``.

    Returns:
        Each tensor with the parameter that it belongs to.

    Raises:
        InputError: If the config has no optimizer, or one that cannot be built.
    """
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer')
    if not optimizer:
        raise InputError(
            f'config {cfg.filename} has no optim_wrapper with an optimizer; --gpus needs one'
        )
    kind = optimizer.get('type')
    if isinstance(kind, str) and OPTIMIZERS.get(kind) is None:
        raise InputError(f'the optimizer of {cfg.filename} cannot be built: there is no {kind}')
    try:
        # Rates and decays of single parameters change nothing of what is kept.
        built = OPTIMIZERS.build({**optimizer, 'params': list(model.parameters())})
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f'the optimizer of {cfg.filename} cannot be built ({_reason(error)})'
        ) from error
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.empty_like(parameter)
    built.step()
    model.zero_grad()
    return [
        (parameter, value)
        for parameter, values in built.state.items()
        for value in values.values()
        if isinstance(value, Tensor)
    ]


def count_maps(model: nn.Module, shape: tuple[int, int, int]) -> Maps:
    """Count the maps that there are at the peak of a training step, by two of them.

    Args:
        model: The model on the meta device.
        shape: Shape (C, H, W) of an image.
    """
    own = _bytes([*model.parameters(), *model.buffers()])
    few, many = (count_training_memory(model, (n, *shape)).peak - own for n in (4, 8))
    image = (many - few) // 4
    return Maps(max(0, few - 4 * image), image)


def steps_of(cfg: Config, batch_size: int, ranks: int) -> int:
    """Count the steps of the whole training.

    Args:
        cfg: Config with a ``train_cfg``; one that counts epochs needs its data.
        batch_size: Images of a rank.
        ranks: Number of ranks.

    Raises:
        InputError: If the config does not say how long it trains, or its data cannot be read.
    """
    train_cfg = cfg.get('train_cfg') or {}
    if isinstance(train_cfg.get('max_iters'), int):
        return train_cfg['max_iters']
    if not isinstance(train_cfg.get('max_epochs'), int):
        raise InputError(f'config {cfg.filename} has no train_cfg with max_iters or max_epochs')
    dataset = cfg.train_dataloader.dataset
    check_data(dataset, 'train_dataloader.dataset')
    images = len(DATASETS.build(dataset))
    return train_cfg['max_epochs'] * math.ceil(images / (batch_size * ranks))


def slurm_line(config: str, ranks: int, seconds: float | None) -> str:
    """Write the line that queues a training.

    Args:
        config: The config, as the user calls it.
        ranks: Number of GPUs.
        seconds: Estimated time of the training, which is asked for with a fifth more, in whole
            hours; None if nothing is known of it.
    """
    per_node = max(n for n in range(1, GPUS_OF_A_NODE + 1) if ranks % n == 0)
    variables = f'GPUS={ranks} GPUS_PER_NODE={per_node}'
    if seconds is not None:
        variables += f' TIME={math.ceil(1.2 * seconds / 3600)}:00:00'
    return f'{variables} tools/slurm_train.sh PARTITION JOB_NAME {shlex.quote(config)}'
