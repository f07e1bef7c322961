"""The ranks of a distributed run, and where they leave notes for each other."""

from dataclasses import dataclass, field

import torch.distributed as dist

from mmattn.launch.heartbeat import Heartbeat


@dataclass
class Group:
    """The ranks of a run.

    Args:
        rank: Number of this process.
        world_size: How many there are.
        store: Where the ranks leave notes for each other.
        server: The store itself, if it is in this process and ends with it.
        heartbeat: What shows the others that this rank lives, and misses those that do not.
        ranks: What each rank says of itself, when all have joined.
    """

    rank: int
    world_size: int
    store: dist.Store
    server: dist.Store | None
    heartbeat: Heartbeat
    ranks: list[dict] = field(default_factory=list)


_group: Group | None = None


def group() -> Group | None:
    """Give the group of this process, or None before it has joined one and without a launcher."""
    return _group


def join(joined: Group) -> None:
    """Let this process belong to a group from here on."""
    global _group
    _group = joined
