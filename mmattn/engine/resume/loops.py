"""Training loops that go on in the middle, with the batch that would have come next."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from mmengine.config import ConfigDict
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import MMLogger
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader, Sampler

from mmattn.engine.resume.random_state import set_random_state
from mmattn.errors import InputError


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

    def __getattr__(self, name: str) -> Any:
        # ``sampler`` and ``batch_size`` are asked for by hooks.
        if name == 'batch_sampler':
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    def __iter__(self) -> Iterator[list[int]]:
        # A generator, since a loader with workers asks for two passes and takes from the second.
        begun, self._begun = self._begun, None
        yield from iter(self.batch_sampler) if begun is None else begun

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def skip(self, batches: int) -> int:
        """Make the next pass begin after some batches.

        Args:
            batches: Batches to leave out.

        Returns:
            How many batches were left out: fewer if a pass has fewer.
        """
        self._begun = iter(self.batch_sampler)
        return sum(1 for _ in islice(self._begun, batches))


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


def _no_batch() -> InputError:
    return InputError(
        'config: train_dataloader has no batch: the data set is empty, or smaller than a batch '
        'where drop_last leaves out what is left'
    )


class _Resumable:
    """What the two loops share: where the data is, as a checkpoint tells it.

    ``batch`` counts the batches that this process has trained on: those of this epoch where
    training goes by epochs, else all.
    """

    batch = 0
    _random_state: dict[str, Any] | None = None

    # Of the loops.
    dataloader: Any
    runner: Runner
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
            batch_size=getattr(order, 'batch_size', None),
            sampler_seed=getattr(order.sampler, 'seed', None),
            worker_seed=self.runner.seed,
        )

    def resume(self, ranks: list[dict[str, Any]] | None, seed: int | None) -> None:
        """Go to where the data of a checkpoint is.

        With other processes or another batch size than before, that is the same sample: at most
        what would have been the rest of a batch is seen twice.

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
        else:
            size = getattr(order, 'batch_size', None) or 1
            before, now = len(ranks) * (ranks[0].get('batch_size') or size), world_size * size
            self.batch = self._batch_of(ranks[0]) * before // now
            state = ranks[get_rank()] if len(ranks) == world_size else ranks[0]
            if len(ranks) == world_size:
                self._random_state = state.get('random')
            else:
                logger.warning(
                    f'The checkpoint is of {len(ranks)} processes and there are {world_size}: it '
                    'goes on from the same place in the data, but with other batches and new '
                    'random numbers'
                )
            if before * world_size != now * len(ranks):
                logger.warning(
                    f'The checkpoint is of batches of {before // len(ranks)} and here they have '
                    f'{size}: it goes on from the same place in the data'
                )
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

    def _batch_of(self, state: dict[str, Any]) -> int:
        return state['batch']

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
            raise _no_batch()

    def _guess_batch(self) -> int:
        past = self._iter - self._epoch * len(self.dataloader)
        if 0 <= past <= len(self.dataloader):
            return past
        MMLogger.get_current_instance().warning(
            f'Iteration {self._iter} is not in epoch {self._epoch + 1} of {len(self.dataloader)} '
            'batches: the epoch begins anew'
        )
        return 0

    def _progress(self) -> tuple[int, int]:
        # Within an epoch there is none to validate.
        return (0 if self.batch else self._epoch), self._max_epochs

    def run_epoch(self) -> None:
        """Train on what is left of an epoch."""
        first = self.batch
        if not first:
            self._restore_random_state()
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        if first:
            self._order.skip(first)
        batches = iter(self.dataloader)
        # To begin a pass takes a random number, which in the run before was taken long ago.
        self._restore_random_state()
        for idx, data_batch in enumerate(batches, first):
            self.batch = idx + 1
            self.run_iter(idx, data_batch)
        self.batch = 0
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


@LOOPS.register_module()
class ResumableIterLoop(_Resumable, IterBasedTrainLoop):
    """:class:`mmengine.runner.IterBasedTrainLoop` that resumes without loading what is behind it.

    Args:
        args: Arguments of :class:`mmengine.runner.IterBasedTrainLoop`.
        kwargs: Its options. ``fast_forward_on_resume``, which would change the order, is none.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._order = order_of(self.dataloader)
        # An endless sampler would look for the first one for ever.
        if not len(self.dataloader.dataset):
            raise _no_batch()
        # Upstream mmengine has started its workers here.
        self.dataloader_iterator = None

    def _guess_batch(self) -> int:
        return self._iter

    def _batch_of(self, state: dict[str, Any]) -> int:
        # Earlier versions counted within epochs only.
        return state['batch'] or self._guess_batch()

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
        epoch, left = 0, self.batch
        while (skipped := self._order.skip(left)) < left:
            if not skipped:
                raise _no_batch()
            left -= skipped
            epoch += 1
            self._set_epoch(epoch)
        while True:
            batches = iter(self.dataloader)
            # See ResumableEpochLoop: this holds for the first pass only.
            self._restore_random_state()
            given = False
            for data_batch in batches:
                given = True
                yield data_batch
            if not given and not left:
                raise _no_batch()
            left = 0
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
