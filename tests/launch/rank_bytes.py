"""What a rank really has and sends in a training step; two of them run this as a script."""

import json
import sys
from collections import Counter
from unittest import mock

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

BATCH, FEATURES = 4, 5


class Unit(nn.Module):
    def __init__(self, width):
        super().__init__()
        # Seven rows do not divide by two, and one is not there for everybody.
        self.wide = nn.Linear(width, 7)
        self.back = nn.Linear(7, width, bias=False)
        self.factor = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x + self.factor * self.back(self.wide(x).relu())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(FEATURES, 8).requires_grad_(False)
        self.units = nn.Sequential(Unit(8), Unit(8), Unit(8))
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.norm(self.units(self.first(x))))


def main(rank: int, ranks: int, store: str) -> None:
    dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=ranks)
    print(json.dumps(dict(DDP=_ddp(), sharded=_sharded(ranks))))
    dist.destroy_process_group()


def _ddp() -> dict[str, int]:
    buckets = Counter()
    model = DistributedDataParallel(Net(), broadcast_buffers=False)

    def count(state, bucket):
        buckets['bytes'] += bucket.buffer().nbytes
        return dist.all_reduce(bucket.buffer(), async_op=True).get_future().then(_first)

    model.register_comm_hook(None, count)
    optimizer = _step(model)
    return dict(_held(model.module, optimizer), copies=buckets['bytes'])


def _first(future):
    value = future.value()
    return value[0] if isinstance(value, list) else value


def _sharded(ranks: int) -> dict[str, int]:
    # Needs a newer PyTorch than the rest.
    from mmattn.engine import shards

    model = Net()
    shards.shard(model, list(model.units), 'cpu', ranks)
    sent = Counter()

    def counting(collective, key):
        def run(*args, **kwargs):
            # A shard goes to every other rank, and so does each part of what is summed up.
            given = kwargs[key] if key in kwargs else args[key == 'input_tensor']
            sent['bytes'] += (ranks - 1) * given.nbytes
            return collective(*args, **kwargs)

        return run

    gather = counting(dist.all_gather_into_tensor, 'input_tensor')
    reduce = counting(dist.reduce_scatter_tensor, 'output')
    with (
        mock.patch.object(dist, 'all_gather_into_tensor', gather),
        mock.patch.object(dist, 'reduce_scatter_tensor', reduce),
    ):
        optimizer = _step(model)
    return dict(_held(model, optimizer), traffic=sent['bytes'])


def _step(model: nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.rand(BATCH, FEATURES)).sum().backward()
    optimizer.step()
    return optimizer


def _held(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    states = [value for values in optimizer.state.values() for value in values.values()]
    return dict(
        parameters=sum(map(_bytes, model.parameters())),
        buffers=sum(map(_bytes, model.buffers())),
        gradients=sum(_bytes(p.grad) for p in model.parameters() if p.grad is not None),
        optimizer=sum(map(_bytes, states)),
    )


def _bytes(tensor: torch.Tensor) -> int:
    own = tensor.to_local() if hasattr(tensor, 'to_local') else tensor
    return own.nbytes


if __name__ == '__main__':
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
