"""When checkpoints are written and removed: an old one goes when the new one is safe."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import BaseStorageBackend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmattn.engine.checkpoint_files import note_last, remove_partial


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """:class:`mmengine.hooks.CheckpointHook` that never has less than it had before.

    mmengine removes the oldest checkpoint, and the best one, before it writes the new one. Here
    they are removed afterwards, and ``last_checkpoint`` is replaced in one step in between.
    :class:`mmattn.engine.Runner` puts this hook where a config says ``CheckpointHook``.

    Args:
        kwargs: Options of :class:`mmengine.hooks.CheckpointHook`.
    """

    def before_train(self, runner: Runner) -> None:
        """Remove what a killed run was writing."""
        super().before_train(runner)
        if is_main_process() and '://' not in str(self.out_dir):
            remove_partial(Path(self.out_dir))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        old = []
        if self.max_keep_ckpts > 0:
            kept = [*(known for known in self.keep_ckpt_ids if known != step), step]
            # With the one that is about to go, so that a run resumed from here removes it if this
            # one does not come to it.
            runner.message_hub.update_info('keep_ckpt_ids', list(kept))
            old = kept[: -self.max_keep_ckpts]
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=dict(meta, training_state=runner.training_state()),
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            note_last(Path(runner.work_dir), self.last_ckpt)
            for known in old:
                path = self.filename_tmpl.format(known)
                _remove(self.file_backend, self.file_backend.join_path(self.out_dir, path))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        with self._removing_last():
            super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def _removing_last(self) -> Iterator[None]:
        backend = self.file_backend
        self.file_backend = _LateRemoval(backend)
        try:
            yield
            removed = set(self.file_backend.removed)
        finally:
            self.file_backend = backend
        # A validation that is repeated after a resume finds the best file under the same name.
        best = getattr(self, 'best_ckpt_path_dict', {}).values()
        for path in removed - {self.last_ckpt, getattr(self, 'best_ckpt_path', None), *best}:
            _remove(backend, path)


class _LateRemoval:
    """A file backend that only notes what is to be removed."""

    def __init__(self, backend: BaseStorageBackend) -> None:
        self._backend = backend
        self.removed = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self.removed.append(path)

    rmtree = remove


def _remove(backend: BaseStorageBackend, path: str) -> None:
    if backend.isfile(path):
        backend.remove(path)
    elif backend.isdir(path):  # Sharded checkpoints are folders.
        backend.rmtree(path)
