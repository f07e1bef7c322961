"""What the command line asks of the environment."""

import os
import sys

import torch


def set_environment(device: str | None, local_rank: int) -> None:
    """Set the variables that PyTorch and mmengine look at, which may start this process again.

    Some are read once, when PyTorch is imported and when it first looks for a GPU. A command is
    part of mmattn, which has done both by now, so the process begins anew with the variables set:
    its number, its output and its place below a launcher stay what they are.

    Args:
        device: ``'cpu'`` hides the GPUs; ``'cuda'`` or None leaves them.
        local_rank: Number of this process on its host, unless the launcher has set it.
    """
    # Threads that wait by spinning make a run on the CPU many times slower when its cores are
    # shared.
    is_late = 'OMP_WAIT_POLICY' not in os.environ
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    os.environ.setdefault('LOCAL_RANK', str(local_rank))
    if device == 'cpu':
        is_late = is_late or torch.cuda.is_available()
        os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
    if is_late:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
