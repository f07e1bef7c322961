"""A lean training on two ranks, beside a plain one; two processes run this as a script."""

import copy
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from mmattn import VAN
from mmattn.engine import shards

ARCH = dict(embed_dims=(8, 16), depths=(2, 1), mlp_ratios=(8, 4))


def main(rank: int, store: str) -> None:
    dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)
    torch.manual_seed(0)
    plain = VAN(ARCH, out_indices=(0, 1)).double()
    lean = VAN(ARCH, out_indices=(0, 1), lean=True).double()
    lean.load_state_dict(plain.state_dict())
    torch.manual_seed(rank)
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    expected = gradients(DistributedDataParallel(copy.deepcopy(plain)), x)
    same(gradients(DistributedDataParallel(copy.deepcopy(lean)), x), expected)
    model = copy.deepcopy(lean)
    shards.shard(model, [*model.block1, *model.block2], 'cpu', 2)
    same(gradients(model, x), expected)
    dist.destroy_process_group()


def gradients(model, x):
    for _ in range(2):
        model.zero_grad()
        sum((m * m).mean() for m in model(x)).backward()
    return {
        name.removeprefix('module.'): getattr(p.grad, 'full_tensor', lambda p=p: p.grad)()
        for name, p in model.named_parameters()
    }


def same(grads, expected):
    for name, grad in expected.items():
        # A batch norm takes the bias of this one away.
        if not name.endswith('proj.bias'):
            torch.testing.assert_close(grads[name], grad, rtol=1e-8, atol=1e-12, msg=name)


if __name__ == '__main__':
    main(int(sys.argv[1]), sys.argv[2])
