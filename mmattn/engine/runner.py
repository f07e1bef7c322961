"""The runner of the tools: whole checkpoints, exact resuming, and weights that fit or an error."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, is_main_process, master_only
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import BaseLoop, CheckpointLoader, EpochBasedTrainLoop
from mmengine.runner import Runner as MMEngineRunner
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from mmattn.engine import terminal
from mmattn.engine.hooks.blend_factors import BlendFactorHook
from mmattn.engine.hooks.checkpoint_hook import SafeCheckpointHook
from mmattn.engine.hooks.data_check import DataCheck, empty_data_explained, without_processes
from mmattn.engine.hooks.keep_attention_training import (
    FrozenPluginWarning,
    KeepAttentionTraining,
)
from mmattn.engine.hooks.skipped_images import count_skips
from mmattn.engine.hooks.validation_hook import ValidationHook
from mmattn.engine.resume.checkpoint_files import find_last, out_dir_of
from mmattn.engine.resume.loops import resumable
from mmattn.engine.resume.optimizer_state import count_states
from mmattn.engine.resume.random_state import get_random_state
from mmattn.engine.resume.resumption import ResumptionCheck, start_id
from mmattn.engine.resume.settings import settings_of
from mmattn.engine.start import after_start, start
from mmattn.errors import InputError
from mmattn.files.whole_file import write_whole
from mmattn.launch import distributed
from mmattn.layers.plugins import let_train, plugins_of
from mmattn.weights.fit import fit_weights
from mmattn.weights.pretrained import leave_out
from mmattn.weights.reading import find_state_dict, weights_in
from mmattn.weights.sources import refuse_code_in_checkpoints
from mmattn.weights.watch import report_loads


class Runner(MMEngineRunner):
    """:class:`mmengine.runner.Runner` that neither leaves half a checkpoint nor takes a wrong one.

    A checkpoint is written under another name and renamed when it is complete. Weights of another
    architecture are an error, not a warning; only in fine-tuning, which is ``load_from`` without
    ``resume``, heads may differ. Several processes train on the CPU as they do on GPUs.

    A resumed run goes on as if it had not been interrupted: with the next batch of the same order
    and the same random numbers. For that the loops and the checkpoint hook that a config names are
    replaced by those of :mod:`mmattn.engine.resume.loops` and
    :mod:`mmattn.engine.hooks.checkpoint_hook`.

    Checkpoints are read as data from the first runner of a process on, unless the process has
    called :func:`mmattn.weights.sources.trust_checkpoints` before.

    Args:
        args: Arguments of :class:`mmengine.runner.Runner`.
        kwargs: Its options.
    """

    _load_from: str | None

    def __init__(self, *args, **kwargs) -> None:
        refuse_code_in_checkpoints()
        super().__init__(*args, **kwargs)

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build the logger, and begin the log with the ranks of a distributed run."""
        logger = super().build_logger(*args, **kwargs)
        terminal.watch(logger)
        if ours := start():
            ours.note_log_dir(Path(self.log_dir))
        if distributed.group() is not None:
            logger.info(distributed.describe())
        return logger

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model; plug-ins that are to train require gradients from here on."""
        built = super().build_model(model)
        if self._has_custom(KeepAttentionTraining):
            # DDP and the optimizer would pass over what is frozen when they see it first.
            let_train(plugins_of(built))
        return built

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes, on GPUs or on the CPU."""
        if self.distributed and not is_model_wrapper(model):
            model = distributed.revert_sync_bn(model, self.cfg, self.logger)
            model_wrapper_cfg = distributed.data_parallel_options(model_wrapper_cfg, self.cfg)
        return super().wrap_model(model_wrapper_cfg, model)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the training loop, of a kind that can go on anywhere."""
        with empty_data_explained(self._train_dataloader, 'train_dataloader'):
            return super().build_train_loop(resumable(loop) if isinstance(loop, dict) else loop)

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop of validations."""
        with empty_data_explained(self._val_dataloader, 'val_dataloader'):
            return super().build_val_loop(loop)

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop of a test."""
        with empty_data_explained(self._test_dataloader, 'test_dataloader'):
            return super().build_test_loop(loop)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a data loader; ``num_workers=0`` needs no other option to change with it."""
        return MMEngineRunner.build_dataloader(without_processes(dataloader), seed, diff_rank_seed)

    def build_optim_wrapper(self, optim_wrapper: dict | OptimWrapper) -> Any:
        """Build optimizer and wrapper.

        Raises:
            InputError: If a constructor that gives each layer its own learning rate does not know
                those of the backbone.
        """
        try:
            return super().build_optim_wrapper(optim_wrapper)
        except NotImplementedError as error:
            constructor = isinstance(optim_wrapper, dict) and optim_wrapper.get('constructor')
            if not constructor:
                raise
            model = self.model
            while is_model_wrapper(model):
                model = model.module
            raise InputError(
                f'optim_wrapper.constructor={constructor!r} does not know the layers of '
                f'{type(getattr(model, "backbone", model)).__name__}; leave it and the '
                'paramwise_cfg that is for it out'
            ) from error

    def register_default_hooks(self, hooks: dict[str, Hook | dict] | None = None) -> None:
        """Register mmengine's default hooks, and what exact resuming needs."""
        self._validation_hook = ValidationHook()
        self._resumption_check = ResumptionCheck()
        if hooks and hooks.get('loss_guard', True) is None:
            # mmengine lets only its own hooks be switched off like this.
            hooks = {name: hook for name, hook in hooks.items() if name != 'loss_guard'}
        super().register_default_hooks(hooks)
        self.register_hook(self._validation_hook)
        self.register_hook(self._resumption_check)
        self.register_hook(FrozenPluginWarning())
        self.register_hook(DataCheck())
        if not self._has_custom(BlendFactorHook):
            self.register_hook(BlendFactorHook())

    def register_hook(self, hook: Hook | dict, priority: str | int | None = None) -> None:
        """Register a hook; in the place of ``CheckpointHook`` the safe one."""
        if isinstance(hook, dict) and hook.get('type') in ('CheckpointHook', CheckpointHook):
            hook = dict(hook, type=SafeCheckpointHook)
        super().register_hook(hook, priority)

    def _has_custom(self, hook: type[Hook]) -> bool:
        """Tell whether ``custom_hooks`` of the config name a hook."""
        entries = self.cfg.get('custom_hooks') or []
        kinds = (e['type'] if isinstance(e, dict) else type(e) for e in entries)
        names = (kind if isinstance(kind, str) else kind.__name__ for kind in kinds)
        return hook.__name__ in (name.rpartition('.')[2] for name in names)

    def train(self) -> nn.Module:
        """Train, and say at the end how many images could not be read.

        Returns:
            The model.
        """
        model = super().train()
        skips = count_skips(self.train_dataloader.dataset)
        if skips:
            self.logger.warning(f'{skips} times an image that cannot be read was left out')
        return model

    def training_state(self) -> list[dict[str, Any]]:
        """Gather what makes a resumed training go on exactly; all processes have to call this.

        Returns:
            For each process the place in its data and its random numbers.
        """
        wrapper = self.optim_wrapper
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        state = dict(
            getattr(self.train_loop, 'data_state', dict)(),
            random=self._validation_hook.random_state or get_random_state(),
            optimizer_states=sum(count_states(wrapper.optimizer) for wrapper in wrappers),
            start=start_id(),
        )
        return all_gather_object(state)

    def load_or_resume(self) -> None:
        """Load or resume; a damaged last checkpoint is replaced by the one before it."""
        searches = self._resume and self._load_from is None and not self._has_loaded
        if searches and Path(self.work_dir, 'last_checkpoint').is_file():
            self._load_from = find_last(Path(self.work_dir), out_dir_of(self.cfg))
        super().load_or_resume()
        is_training = isinstance(self._train_loop, BaseLoop)
        if self._resume and is_training and self.iter >= self.max_iters:
            by_epoch = isinstance(self.train_loop, EpochBasedTrainLoop)
            end = f'{self.max_epochs} epochs' if by_epoch else f'{self.max_iters} iterations'
            self.logger.warning(
                f'{self._load_from} is of iteration {self.iter}, and the config trains for {end}: '
                'nothing is left to train; to go on, raise '
                f'train_cfg.{"max_epochs" if by_epoch else "max_iters"}'
            )

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: str | Callable = 'default',
    ) -> None:
        """Resume, the place in the data and the random numbers included.

        Args:
            filename: Checkpoint file or address.
            resume_optimizer: Whether the optimizer goes on.
            resume_param_scheduler: Whether the schedules go on.
            map_location: See :meth:`mmengine.runner.Runner.resume`.

        Raises:
            InputError: If the checkpoint does not have all that a training goes on with, or it does
                not fit, unless the config has ``resume_partial=True``.
        """
        check = self._resumption_check
        check.source = str(filename)
        check.optimizer, check.schedules = resume_optimizer, resume_param_scheduler
        try:
            super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)
        finally:
            check.source = None
        if hasattr(self.train_loop, 'resume'):
            meta = self._loaded_meta
            self.train_loop.resume(meta.get('training_state'), meta.get('seed'))
        check.finish(self)

    def _init_model_weights(self) -> None:
        """Initialize the weights; what is pretrained is reported."""
        if self._load_from:
            # All of it comes from there.
            leave_out(self.model)
        with report_loads(self.model):
            super()._init_model_weights()

    def load_checkpoint(
        self,
        filename: str,
        map_location: str = 'cpu',
        strict: bool = False,
        revise_keys: list[tuple[str, str]] = [(r'^module\.', '')],
    ) -> dict:
        """Load the weights of the model.

        Args:
            filename: Checkpoint file or address.
            map_location: Device of the tensors read.
            strict: Whether heads and attention have to fit, too. They always have to in a resumed
                run.
            revise_keys: Patterns and replacements for the keys.

        Returns:
            The checkpoint.

        Raises:
            InputError: If the checkpoint cannot be read or is of another architecture.
        """
        checkpoint = CheckpointLoader.load_checkpoint(filename, map_location, self.logger)
        # Hooks look for the weights there, wherever the checkpoint has them.
        checkpoint = {**checkpoint, 'state_dict': find_state_dict(checkpoint)}
        if isinstance(self.model, BaseTTAModel):
            # An average has the names without the wrapper, and is what the weights are already.
            checkpoint.pop('ema_state_dict', None)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        weights = weights_in(checkpoint, str(filename), revise_keys)
        model = self.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        fit = fit_weights(weights, model)
        fit.refuse_or_report(exact=strict or self._resume, only_heads_left=True)
        fit.load()
        if 'ema_state_dict' not in checkpoint:
            self._begin_averages()
        self._has_loaded = True
        meta = checkpoint.get('meta')
        self._loaded_meta = meta if isinstance(meta, dict) else {}
        # mmengine would run a config that it finds there, although itself it writes none.
        self._loaded_meta.pop('config', None)
        return checkpoint

    def _begin_averages(self) -> None:
        """Let the averages of weights begin with those of the model.

        The hook itself takes what has the same name, and of published weights nothing has.
        """
        for hook in self.hooks:
            if isinstance(hook, EMAHook):
                theirs, ours = hook.ema_model.module, hook.src_model
                for average, value in zip(_state_of(theirs), _state_of(ours), strict=True):
                    average.data.copy_(value.data)

    def save_checkpoint(
        self, out_dir: str, filename: str, *args, meta: dict | None = None, **kwargs
    ) -> None:
        """Save a checkpoint; on a local disk it gets its name when it is complete.

        Raises:
            InputError: If it cannot be written. What was there before is still there.
        """
        if not is_main_process():
            return
        meta = dict(meta or {}, settings=settings_of(self.cfg))
        save = partial(super().save_checkpoint, out_dir, meta=meta)
        if '://' in str(out_dir):
            save(filename, *args, **kwargs)
            return
        path = Path(out_dir, filename)
        write_whole(path, lambda partial: save(partial.name, *args, **kwargs), self._tensors)

    def _tensors(self) -> list:
        # Not the state dict: that of a sharded model needs all ranks.
        state = _state_of(self.model)
        wrappers = getattr(self.optim_wrapper, 'optim_wrappers', {'': self.optim_wrapper})
        # A runner that does not train has none, or only its config.
        optimizers = (getattr(wrapper, 'optimizer', None) for wrapper in wrappers.values())
        return [*state, *(dict(o.state) for o in optimizers if isinstance(o, Optimizer))]

    @master_only
    def dump_config(self) -> None:
        """Write the config into the work dir; a link that lies there is replaced, not followed."""
        # That of a run before stays until this one has begun.
        after_start(self._dump_config)

    def _dump_config(self) -> None:
        name = Path(self.cfg.filename or f'{self.timestamp}.py').name
        path = Path(self.work_dir, name)
        # A config may lie in its own work dir.
        if self.cfg.filename is None or not _is_same(path, Path(self.cfg.filename)):
            write_whole(path, lambda partial: partial.write_text(self.cfg.dump(), 'utf-8'))


def _state_of(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def _is_same(path: Path, other: Path) -> bool:
    return not path.is_symlink() and path.exists() and other.exists() and path.samefile(other)
