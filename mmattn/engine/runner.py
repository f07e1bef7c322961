"""The runner of the tools: whole checkpoints only, and weights that fit or an error."""

import os
import re
from pathlib import Path

from mmengine.dist import master_only
from mmengine.logging import MMLogger
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import CheckpointLoader
from mmengine.runner import Runner as MMEngineRunner
from torch import nn

from mmattn.checkpoints import find_state_dict, load_accounted
from mmattn.engine import distributed


class Runner(MMEngineRunner):
    """:class:`mmengine.runner.Runner` that neither leaves half a checkpoint nor takes a wrong one.

    A checkpoint is written under another name and renamed when it is complete. Weights of another
    architecture are an error, not a warning; only in fine-tuning, which is ``load_from`` without
    ``resume``, heads may differ. Several processes train on the CPU as they do on GPUs.
    """

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build the logger, and begin the log with the ranks of a distributed run."""
        logger = super().build_logger(*args, **kwargs)
        if distributed.group() is not None:
            logger.info(distributed.describe())
        return logger

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes, on GPUs or on the CPU."""
        if self.distributed and not is_model_wrapper(model):
            model = distributed.revert_sync_bn(model, self.cfg, self.logger)
            model_wrapper_cfg = distributed.data_parallel_options(model_wrapper_cfg, self.cfg)
        return super().wrap_model(model_wrapper_cfg, model)

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
            strict: Whether the heads have to fit, too. They always have to in a resumed run.
            revise_keys: Patterns and replacements for the keys.

        Returns:
            The checkpoint.

        Raises:
            InputError: If the checkpoint cannot be read or is of another architecture.
        """
        checkpoint = CheckpointLoader.load_checkpoint(filename, map_location, self.logger)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        state_dict = find_state_dict(checkpoint)
        for pattern, replacement in revise_keys:
            state_dict = {re.sub(pattern, replacement, k): v for k, v in state_dict.items()}
        model = self.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        may_differ = (lambda key: False) if strict or self._resume else _is_in_head
        load_accounted(model, state_dict, source=str(filename), may_differ=may_differ)
        self._has_loaded = True
        return checkpoint

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args, **kwargs) -> None:
        """Save a checkpoint; on a local disk it gets its name when it is complete."""
        if '://' in str(out_dir):
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        partial = Path(out_dir, f'{filename}.partial')
        try:
            super().save_checkpoint(out_dir, partial.name, *args, **kwargs)
            with partial.open('rb') as file:
                os.fsync(file.fileno())
            partial.replace(Path(out_dir, filename))
        finally:
            partial.unlink(missing_ok=True)


def _is_in_head(key: str) -> bool:
    return any(part.endswith('head') for part in key.split('.'))
