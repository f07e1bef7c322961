"""When checkpoints are written and removed: an old one goes when the new one is safe."""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.fileio import BaseStorageBackend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmattn.engine.resume.checkpoint_files import note_last
from mmattn.errors import InputError
from mmattn.files.whole_file import remove_partial

# What mmengine's message hub keeps of files, and of the score that one of them has.
_CLAIMS = ('best_ckpt', 'best_score', 'keep_ckpt_ids', 'last_ckpt')


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """:class:`mmengine.hooks.CheckpointHook` that never has less than it had before.

    mmengine removes the oldest checkpoint, and the best one, before it writes the new one. Here
    they are removed afterwards, and ``last_checkpoint`` is replaced in one step in between.
    :class:`mmattn.engine.runner.Runner` puts this hook where a config says ``CheckpointHook``.

    Args:
        kwargs: Options of :class:`mmengine.hooks.CheckpointHook`.
    """

    file_backend: Any

    def before_train(self, runner: Runner) -> None:
        """Take over what a resumed run knows of its files, and remove what it left unfinished.

        A checkpoint names files: the best one, the ones that are kept. Only those are believed that
        lie in the folder of this run, and only if the run goes on from a checkpoint of its own;
        what goes on elsewhere starts with no best score.
        """
        info = runner.message_hub.runtime_info
        claims = {key: info.pop(key) for key in [*info] if key.startswith(_CLAIMS)}
        super().before_train(runner)
        kept = [self._believe(runner, claims) if is_main_process() else {}]
        # Not every machine need see the folder of the first one.
        broadcast_object_list(kept)
        info.update(kept[0])
        best = {key: info.get(f'best_ckpt_{key}') for key in self._indicators()}
        if len(best) > 1:
            self.best_ckpt_path_dict = best
        else:
            self.best_ckpt_path = info.get('best_ckpt')
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(info.get('keep_ckpt_ids', []), self.max_keep_ckpts)

    def _believe(self, runner: Runner, claims: dict[str, Any]) -> dict[str, Any]:
        """Give the claims of a checkpoint about its files that are true, and clean up by them."""
        remove_partial(Path(runner.work_dir))
        if self._is_local():
            Path(self.out_dir).mkdir(parents=True, exist_ok=True)
            remove_partial(Path(self.out_dir))
        if not runner._resume:
            return {}
        source = str(runner._load_from or '')
        # Through a link: whose file it is, not where it is called so.
        folder = _real(source).rpartition('/')[0]
        own = folder in (_real(self.out_dir), _real(runner.work_dir))
        believed: dict[str, Any] = {}
        doubted = False
        ids = claims.pop('keep_ckpt_ids', [])
        are_ids = isinstance(ids, list) and all(type(i) is int and i >= 0 for i in ids)
        if own and are_ids and self.max_keep_ckpts > 0:
            for old in ids[: -self.max_keep_ckpts]:
                self._remove_own(self.filename_tmpl.format(old))
            believed['keep_ckpt_ids'] = ids[-self.max_keep_ckpts :]
        for suffix in ('', *(f'_{key}' for key in self._indicators())):
            path, score = claims.get(f'best_ckpt{suffix}'), claims.get(f'best_score{suffix}')
            # The folder may have been moved since.
            name = Path(path).name if isinstance(path, str) else ''
            is_there = self._best_step(name) and self.file_backend.exists(self._path(name))
            if own and is_there and isinstance(score, Real) and not isnan(score):
                believed[f'best_ckpt{suffix}'] = self._path(name)
                believed[f'best_score{suffix}'] = score
            elif self._indicators() and (path is not None or score is not None):
                runner.logger.warning(
                    f'{source} says that {path!r} is the best with {score!r}: that is no file of '
                    f'{self.out_dir} with a score; the next validation begins anew'
                )
                doubted = True
        # Better weights too many than none.
        if own and not doubted:
            self._remove_stale_best(runner, Path(source).name, believed)
        return believed

    def _is_local(self) -> bool:
        return '://' not in str(self.out_dir)

    def _indicators(self) -> list[str]:
        return self.key_indicators if self.save_best is not None else []

    def _path(self, name: str) -> str:
        return self.file_backend.join_path(self.out_dir, name)

    def _remove_own(self, name: str) -> None:
        _remove(self.file_backend, self._path(name))

    def _best_step(self, name: str) -> re.Match | None:
        """Match the step of a name that this hook gives to best weights."""
        keys = [re.escape(k.replace('/', '_')) if k != 'auto' else '.+' for k in self._indicators()]
        step = re.escape(self.filename_tmpl).replace(re.escape('{}'), r'(\d+)')
        return re.fullmatch(f'best_(?:{"|".join(keys)})_{step}', name) if keys else None

    def _remove_stale_best(self, runner: Runner, source: str, believed: dict[str, Any]) -> None:
        """Remove the best weights of a validation that was killed before it was noted down.

        Whoever goes on from an earlier checkpoint than the last one keeps what came after it.
        """
        record = Path(runner.work_dir, 'last_checkpoint')
        is_last = record.is_file() and Path(record.read_text().strip()).name == source
        if not is_last or not self._is_local():
            return
        done = runner.epoch if self.by_epoch else runner.iter
        for path in Path(self.out_dir).glob('best_*'):
            found = self._best_step(path.name)
            is_file = path.is_file() and not path.is_symlink()
            if found and is_file and int(found[1]) <= done and str(path) not in believed.values():
                path.unlink()

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

    def _init_rule(self, rules: list, key_indicators: list[str]) -> None:
        try:
            super()._init_rule(rules, key_indicators)
        except ValueError as error:
            raise InputError(
                f'the name of the metric {" or ".join(key_indicators)} does not tell what is '
                "better; give rule='greater' or rule='less' beside save_best"
            ) from error

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        for key in self._indicators():
            if key != 'auto' and key not in metrics:
                raise InputError(
                    f'save_best={key!r} is no metric of this validation, which gives '
                    f'{", ".join(metrics) or "none"}'
                )
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
        self.removed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self.removed.append(path)

    rmtree = remove


def _remove(backend: BaseStorageBackend, path: str) -> None:
    if '://' not in path and Path(path).is_symlink():
        Path(path).unlink()
    elif backend.isfile(path):
        backend.remove(path)
    elif backend.isdir(path):  # Sharded checkpoints are folders.
        backend.rmtree(path)


def _real(folder: str) -> str:
    return str(folder) if '://' in str(folder) else str(Path(folder).resolve())
