"""Training loops that go on in the middle, with the batch that would have come next."""

import copy
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from mmengine.config import ConfigDict
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import MMLogger
from mmengine.registry import LOOPS
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader, Sampler

from mmattn.engine.hooks.data_check import no_batch
from mmattn.engine.resume.random_state import set_random_state
from mmattn.errors import InputError

# Some batches of one size that were trained on, one after the other.
Leg = tuple[int, int | None]


class BatchOrder(Sampler):
    """The batch sampler of a loader, whose next pass can begin further on.

    Only indices are drawn to get there, by the batch sampler itself: it may be of any kind, and no
    data is loaded, however many workers there are.

    Args:
        batch_sampler: Batch sampler that gives the order.
    """

    def __init__(self, batch_sampler: Any) -> None:
        self.batch_sampler = batch_sampler
        self._begun: Iterator[list[int]] | None = None
        self._drawn: _Drawn | None = None

    def __getattr__(self, name: str) -> Any:
        # ``sampler`` and ``batch_size`` are asked for by hooks.
        if name == 'batch_sampler':
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    def __iter__(self) -> Iterator[list[int]]:
        # A generator, since a loader with workers asks for two passes and takes from the second.
        begun, self._begun, self._drawn = self._begun, None, None
        yield from iter(self.batch_sampler) if begun is None else begun

    def __len__(self) -> int:
        return len(self.batch_sampler)

    @property
    def size(self) -> int | None:
        """The samples of a batch, None where the batch sampler does not tell."""
        return getattr(self.batch_sampler, 'batch_size', None)

    def is_sizable(self) -> bool:
        """Tell whether the same samples can be drawn in batches of another size."""
        return {'sampler', 'batch_size'} <= set(vars(self.batch_sampler))

    def skip(self, batches: int, size: int | None = None) -> int:
        """Make the next pass begin after some batches, or after some more of them.

        Args:
            batches: Batches to leave out.
            size: Samples in each of them, where the sizes change within a run; then it is given
                each time. What a batch sampler draws and holds back at a change comes afterwards.

        Returns:
            How many batches were left out: fewer if the pass has fewer, and is over with that.
        """
        if size is None:
            self._begun = iter(self.batch_sampler) if self._begun is None else self._begun
            skipped = sum(1 for _ in islice(self._begun, batches))
        else:
            self._drawn = self._drawn or _Drawn(self.batch_sampler.sampler)
            used: Counter[int] = Counter()
            skipped = 0
            for batch in islice(self._rest(self._drawn, size), batches):
                used.update(batch)
                skipped += 1
            self._drawn.take_back_all_but(used)
            self._begun = self._rest(self._drawn, self.size)
        if skipped < batches:
            self._begun = self._drawn = None
        return skipped

    def _rest(self, drawn: '_Drawn', size: int | None) -> Iterator[list[int]]:
        """Give what is left of a pass in batches of a size."""
        data = getattr(drawn.sampler, 'dataset', None)
        # A copy, since one of the aspect ratio has lists of what it holds back.
        shared = {id(drawn.sampler): drawn, id(data): data}
        batch_sampler = copy.deepcopy(self.batch_sampler, shared)
        batch_sampler.batch_size = size
        return iter(batch_sampler)


class _Drawn(Sampler):
    """A pass of a sampler, which gives again what no batch was made of."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self._left = iter(sampler)
        self._again: deque[int] = deque()
        self._given: list[int] = []

    def __getattr__(self, name: str) -> Any:
        if name == 'sampler':
            raise AttributeError(name)
        return getattr(self.sampler, name)

    def __iter__(self) -> Iterator[int]:
        while self._again:
            self._given.append(self._again.popleft())
            yield self._given[-1]
        for index in self._left:
            self._given.append(index)
            yield index

    def __len__(self) -> int:
        return len(self.sampler)

    def take_back_all_but(self, used: Counter[int]) -> None:
        unused = []
        for index in self._given:
            used[index] -= 1
            if used[index] < 0:
                unused.append(index)
        self._again.extendleft(reversed(unused))
        self._given.clear()


def order_of(dataloader: DataLoader) -> BatchOrder:
    """Put a :class:`BatchOrder` into a loader that has not been used yet.

    Raises:
        InputError: If the loader has no batch sampler, since its order cannot be gone through
            without loading.
    """
    if dataloader.batch_sampler is None:
        raise InputError(
            'config: train_dataloader draws no batches of indices (batch_size=None or an iterable '
            'dataset), so no training with it can be resumed; give it a batch_size and a sampler'
        )
    order = dataloader.batch_sampler
    if not isinstance(order, BatchOrder):
        order = BatchOrder(order)
        # The attribute is closed because an iterator would not see the change; there is none yet.
        vars(dataloader)['batch_sampler'] = order
    return order


class _Resumable:
    """What the two loops share: where the data is, as a checkpoint tells it.

    ``batch`` counts the batches that this process has trained on: those of this epoch where
    training goes by epochs, else all. Those of another size, before a resume, are ``legs`` and
    not counted.
    """

    batch = 0
    legs: tuple[Leg, ...] = ()
    _random_state: dict[str, Any] | None = None

    # Of the loops.
    dataloader: Any
    runner: Runner
    _order: BatchOrder
    val_begin: int
    val_interval: int
    _decide_current_val_interval: Callable[[], None]
    _guess_batch: Callable[[], int]
    _progress: Callable[[], tuple[int, int]]

    def data_state(self) -> dict[str, Any]:
        """Tell where the data is."""
        order = order_of(self.dataloader)
        return dict(
            batch=self.batch,
            batch_size=order.size,
            legs=[list(leg) for leg in self.legs],
            sampler_seed=getattr(order.sampler, 'seed', None),
            worker_seed=self.runner.seed,
        )

    def resume(self, ranks: list[dict[str, Any]] | None, seed: int | None) -> None:
        """Go to where the data of a checkpoint is.

        With other processes or another batch size than before, that is the same sample.

        Args:
            ranks: State of each process, by rank; None if the checkpoint was written by a program
                that keeps none.
            seed: Seed of that run.
        """
        order, world_size = order_of(self.dataloader), get_world_size()
        logger = MMLogger.get_current_instance()
        if ranks is None:
            logger.warning(
                'The checkpoint keeps neither the place in the data nor random numbers: the place '
                'is that of its iteration, the random numbers are new ones'
            )
            self.batch = self._guess_batch()
            state: dict[str, Any] = dict(sampler_seed=seed, worker_seed=seed)
        elif len(ranks) == world_size:
            state = ranks[get_rank()]
            self._random_state = state.get('random')
            self._go_to(self._legs_of(state))
        else:
            state = ranks[0]
            samples = sum(n * (size or 1) for rank in ranks for n, size in self._legs_of(rank))
            logger.warning(
                f'The checkpoint is of {len(ranks)} processes and there are {world_size}: it goes '
                f'on after {samples} samples, but with other batches and new random numbers'
            )
            self._go_to([(self._share_of(samples, get_rank(), world_size), 1)])
        if state['sampler_seed'] is not None and hasattr(order.sampler, 'seed'):
            order.sampler.seed = state['sampler_seed']
        init_fn = self.dataloader.worker_init_fn
        is_seeded = isinstance(init_fn, partial) and 'seed' in init_fn.keywords
        if is_seeded and state['worker_seed'] is not None:
            init_fn.keywords['seed'] = state['worker_seed']

    def is_to_validate(self) -> bool:
        """Tell whether a validation comes before the next step."""
        self._decide_current_val_interval()
        done, last = self._progress()
        return (
            self.runner.val_loop is not None
            and done >= self.val_begin
            and (done % self.val_interval == 0 or done == last)
        )

    def _legs_of(self, state: dict[str, Any]) -> list[Leg]:
        """Give the batches of this size that a process has trained on, after those of others."""
        size = state.get('batch_size') or order_of(self.dataloader).size
        return [*map(tuple, state.get('legs', ())), (self._batch_of(state), size)]

    def _batch_of(self, state: dict[str, Any]) -> int:
        return state['batch']

    def _go_to(self, legs: list[Leg]) -> None:
        order = order_of(self.dataloader)
        *before, (batches, size) = [leg for leg in legs if leg[0]] or [(0, order.size)]
        if size == order.size and (order.is_sizable() or not before):
            self.batch, self.legs = batches, tuple(before)
        elif order.is_sizable():
            self.batch, self.legs = 0, (*before, (batches, size))
        else:
            samples = sum(n * (size or 1) for n, size in (*before, (batches, size)))
            self.batch = samples // (order.size or 1)
            MMLogger.get_current_instance().warning(
                f'{type(order.batch_sampler).__name__} cannot go on within a batch: up to '
                f'{(order.size or 1) - 1} samples are seen twice'
            )

    def _share_of(self, samples: int, rank: int, world_size: int) -> int:
        """Give what a process leaves out where all together leave out some samples."""
        # Each has as many batches as the others, or they would wait for one.
        return samples // world_size

    def _skip(self, batches: int, size: int | None) -> int:
        # As long as the size is the same, any batch sampler will do.
        return self._order.skip(batches, size if self.legs else None)

    def _restore_random_state(self) -> None:
        if self._random_state is not None:
            set_random_state(self._random_state)
        self._random_state = None


@LOOPS.register_module()
class ResumableEpochLoop(_Resumable, EpochBasedTrainLoop):
    """:class:`mmengine.runner.EpochBasedTrainLoop` that can go on in the middle of an epoch.

    Args:
        args: Arguments of :class:`mmengine.runner.EpochBasedTrainLoop`.
        kwargs: Its options.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._order = order_of(self.dataloader)
        if not len(self.dataloader):
            raise no_batch(self.dataloader, 'train_dataloader')

    def _guess_batch(self) -> int:
        past = self._iter - self._epoch * len(self.dataloader)
        if 0 <= past <= len(self.dataloader):
            return past
        MMLogger.get_current_instance().warning(
            f'Iteration {self._iter} is not in epoch {self._epoch + 1} of {len(self.dataloader)} '
            'batches: the epoch begins anew'
        )
        return 0

    def resume(self, ranks: list[dict[str, Any]] | None, seed: int | None) -> None:
        """Go to where the data of a checkpoint is; see :meth:`_Resumable.resume`."""
        super().resume(ranks, seed)
        # Epochs may have had another length before.
        left = self._max_epochs * len(self.dataloader) - self.steps
        self._max_iters = self._iter + left

    @property
    def steps(self) -> int:
        """Iterations that all epochs so far have in batches of this size."""
        return self._epoch * len(self.dataloader) + self._first() + self.batch

    def _first(self) -> int:
        """Give the place in the epoch of the first batch of this size."""
        if not self.legs:
            return 0
        size = self._order.size
        assert size, 'only batches of a known size have had another one'
        rest = max(0, len(self._order.sampler) - sum(n * (size or 1) for n, size in self.legs))
        return len(self.dataloader) - (rest // size if self._order.drop_last else -(-rest // size))

    def _progress(self) -> tuple[int, int]:
        # Within an epoch there is none to validate.
        return (0 if self.batch or self.legs else self._epoch), self._max_epochs

    def run_epoch(self) -> None:
        """Train on what is left of an epoch."""
        first, done = self._first(), self.batch
        if not done and not self.legs:
            self._restore_random_state()
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for batches, size in (*self.legs, (done, self._order.size)):
            self._skip(batches, size)
        batches = iter(self.dataloader)
        # To begin a pass takes a random number, which in the run before was taken long ago.
        self._restore_random_state()
        for self.batch, data_batch in enumerate(batches, done + 1):
            self.run_iter(first + self.batch - 1, data_batch)
        self.batch, self.legs = 0, ()
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


@LOOPS.register_module()
class ResumableIterLoop(_Resumable, IterBasedTrainLoop):
    """:class:`mmengine.runner.IterBasedTrainLoop` that resumes without loading what is behind it.

    Args:
        runner: The runner.
        dataloader: Loader of the training data, or its config.
        args: Further arguments of :class:`mmengine.runner.IterBasedTrainLoop`.
        kwargs: Its options. ``fast_forward_on_resume``, which would change the order, is none.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args, **kwargs) -> None:
        BaseLoop.__init__(self, runner, dataloader)
        loader = self.dataloader
        self._order = order_of(loader)
        # Stock mmengine begins a pass here. Workers would draw from it before it is known where to
        # go on, and to give it up ends a sampler without end: it gets a loader that nobody needs.
        super().__init__(runner, DataLoader(loader.dataset), *args, **kwargs)
        self.dataloader, self.dataloader_iterator = loader, None
        # An endless sampler would look for the first one for ever.
        if not len(loader.dataset):
            raise no_batch(loader, 'train_dataloader')

    def _guess_batch(self) -> int:
        return self._iter

    def _batch_of(self, state: dict[str, Any]) -> int:
        # Earlier versions counted within epochs only.
        return state['batch'] if 'legs' in state else state['batch'] or self._guess_batch()

    def _share_of(self, samples: int, rank: int, world_size: int) -> int:
        return max(0, -((rank - samples) // world_size))

    @property
    def steps(self) -> int:
        """Iterations so far."""
        return self._iter

    def _progress(self) -> tuple[int, int]:
        return self._iter, self._max_iters

    def run(self) -> nn.Module:
        """Train, and validate in between.

        Returns:
            The model.
        """
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        batches = self._batches()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            data_batch = next(batches)
            self.batch += 1
            self.run_iter(data_batch)
            if self.is_to_validate():
                self.runner.val_loop.run()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _batches(self) -> Iterator[Any]:
        """Give batches without end, from the present one on."""
        epoch, is_begun = 0, bool(self.batch or self.legs)
        for left, size in (*self.legs, (self.batch, self._order.size)):
            is_new = False
            while (skipped := self._skip(left, size)) < left:
                if is_new and not skipped:
                    raise no_batch(self.dataloader, 'train_dataloader')
                left -= skipped
                epoch += 1
                self._set_epoch(epoch)
                is_new = True
        while True:
            batches = iter(self.dataloader)
            # See ResumableEpochLoop: this holds for the first pass only.
            self._restore_random_state()
            given = False
            for data_batch in batches:
                given = True
                yield data_batch
            if not given and not is_begun:
                raise no_batch(self.dataloader, 'train_dataloader')
            is_begun = False
            epoch += 1
            self._set_epoch(epoch)

    def _set_epoch(self, epoch: int) -> None:
        sampler = self._order.sampler
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(epoch)


def resumable(loop: dict) -> dict:
    """Name the loop of this file in the place of mmengine's.

    Args:
        loop: Config of a training loop, with ``type`` or ``by_epoch``.

    Returns:
        The config; a loop of another type stays what it is.
    """
    cfg = ConfigDict(loop)
    kind = cfg.get('type')
    if kind is None and 'by_epoch' in cfg:
        kind = EpochBasedTrainLoop if cfg.pop('by_epoch') else IterBasedTrainLoop
    if kind in ('EpochBasedTrainLoop', EpochBasedTrainLoop):
        cfg.type = ResumableEpochLoop
    elif kind in ('IterBasedTrainLoop', IterBasedTrainLoop):
        cfg.type = ResumableIterLoop
    return cfg
