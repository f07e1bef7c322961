"""Training loops that go on in the middle, with the batch that would have come next."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

from mmengine.config import ConfigDict
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import MMLogger
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import nn
from torch.utils.data import DataLoader, Sampler

from mmattn.engine.random_state import set_random_state
from mmattn.errors import InputError


class BatchOrder(Sampler):
    """The batch sampler of a loader, whose next pass can begin further on.

    Only indices are drawn to get there, by the batch sampler itself: it may be of any kind, and no
    data is loaded, however many workers there are.

    Args:
        batch_sampler: Batch sampler that gives the order.
    """

    def __init__(self, batch_sampler: Sampler) -> None:
        self.batch_sampler = batch_sampler
        self._begun = None

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
    if not isinstance(dataloader.batch_sampler, BatchOrder):
        # The attribute is closed because an iterator would not see the change; there is none yet.
        vars(dataloader)['batch_sampler'] = BatchOrder(dataloader.batch_sampler)
    return dataloader.batch_sampler


class _Resumable:
    """What the two loops share: where the data is, as a checkpoint tells it.

    ``batch`` counts the batches of this epoch that have been trained on.
    """

    batch = 0
    _random_state = None

    def data_state(self) -> dict[str, Any]:
        """Tell where the data is."""
        return dict(
            batch=self.batch,
            sampler_seed=getattr(order_of(self.dataloader).sampler, 'seed', None),
            worker_seed=self.runner.seed,
        )

    def resume(self, ranks: list[dict[str, Any]] | None, seed: int | None) -> None:
        """Go to where the data of a checkpoint is.

        Args:
            ranks: State of each process, by rank; None if the checkpoint was written by a program
                that keeps none.
            seed: Seed of that run.
        """
        sampler = order_of(self.dataloader).sampler
        if ranks is None:
            self.batch = self._guess_batch()
            ranks = [dict(sampler_seed=seed, worker_seed=seed)]
        else:
            # With another number of processes this is as far as the old ones came.
            self.batch = ranks[0]['batch'] * len(ranks) // get_world_size()
        if len(ranks) != get_world_size() and len(ranks) > 1:
            MMLogger.get_current_instance().warning(
                f'The checkpoint is of {len(ranks)} processes and there are {get_world_size()}: '
                'the order of the samples and the random numbers will be others.'
            )
        state = ranks[get_rank()] if len(ranks) == get_world_size() else ranks[0]
        if state['sampler_seed'] is not None and hasattr(sampler, 'seed'):
            sampler.seed = state['sampler_seed']
        init_fn = self.dataloader.worker_init_fn
        if isinstance(init_fn, partial) and 'seed' in init_fn.keywords and state['worker_seed']:
            init_fn.keywords['seed'] = state['worker_seed']
        if len(ranks) == get_world_size():
            self._random_state = state.get('random')

    def is_to_validate(self) -> bool:
        """Tell whether a validation comes before the next step."""
        self._decide_current_val_interval()
        done, last = self._progress()
        return (
            self.runner.val_loop is not None
            and done >= self.val_begin
            and (done % self.val_interval == 0 or done == last)
        )

    def _guess_batch(self) -> int:
        return 0

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

    def _guess_batch(self) -> int:
        past = self._iter - self._epoch * len(self.dataloader)
        return past if 0 < past <= len(self.dataloader) else 0

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
        # Upstream mmengine has started its workers here.
        self.dataloader_iterator = None

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
            self.run_iter(next(batches))
            if self.is_to_validate():
                self.runner.val_loop.run()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _batches(self) -> Iterator[Any]:
        """Give batches without end, from the present iteration on."""
        epoch, left = 0, self._iter
        while (skipped := self._order.skip(left)) < left:
            if not skipped:
                raise InputError('config: train_dataloader has no batch; is the data set empty?')
            left -= skipped
            epoch += 1
            self._set_epoch(epoch)
        while True:
            batches = iter(self.dataloader)
            # See ResumableEpochLoop: this holds for the first pass only.
            self._restore_random_state()
            yield from batches
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
    loop = ConfigDict(loop)
    kind = loop.get('type')
    if kind is None and 'by_epoch' in loop:
        kind = EpochBasedTrainLoop if loop.pop('by_epoch') else IterBasedTrainLoop
    if kind in ('EpochBasedTrainLoop', EpochBasedTrainLoop):
        loop.type = ResumableEpochLoop
    elif kind in ('IterBasedTrainLoop', IterBasedTrainLoop):
        loop.type = ResumableIterLoop
    return loop
