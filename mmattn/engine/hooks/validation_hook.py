"""Validations leave the training alone, and none is lost when a run is killed."""

from functools import partial
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmattn.engine.resume.checkpoint_files import is_in, out_dir_of
from mmattn.engine.resume.random_state import get_random_state, set_random_state
from mmattn.engine.start import after_start
from mmattn.files.whole_file import write_whole


class ValidationHook(Hook):
    """Keep the random numbers of the training from a validation, and make up for a missed one.

    A checkpoint is written before the validation of the same iteration. What becomes of that is
    noted in ``last_validation`` in the work dir: a run that was killed in a validation repeats it
    when it resumes, and one that was killed later does not.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        #: The random state of the training while a validation runs, else None.
        self.random_state: dict[str, Any] | None = None

    def before_train(self, runner: Runner) -> None:
        """Run the validation that the checkpoint resumed from is waiting for."""
        record = _record(runner)
        if not runner.iter:
            if is_main_process():
                after_start(partial(record.unlink, missing_ok=True))
            return
        noted = record.read_bytes() if record.is_file() else b''
        # Whatever else may stand there, the validation is repeated.
        done = int(noted) if noted.isdigit() else 0
        # Not every machine need see the folder of the first one.
        done = all_gather_object(done)[0]
        is_to_validate = getattr(runner.train_loop, 'is_to_validate', lambda: False)
        # After the last iteration only the run that got there has one to make up for.
        is_owed = runner.iter < runner.max_iters or (
            runner.iter == runner.max_iters
            and is_in(runner._load_from, Path(runner.work_dir), out_dir_of(runner.cfg))
        )
        if done < runner.iter and is_owed and is_to_validate():
            runner.val_loop.run()

    def before_val(self, runner: Runner) -> None:
        """Keep the random numbers."""
        self.random_state = get_random_state()

    def after_val(self, runner: Runner) -> None:
        """Put them back, and note that this validation is over."""
        assert self.random_state is not None, 'before_val comes first'
        set_random_state(self.random_state)
        self.random_state = None
        if is_main_process() and not isinstance(runner._train_loop, dict | None):
            write_whole(_record(runner), lambda path: path.write_text(str(runner.iter)))


def _record(runner: Runner) -> Path:
    return Path(runner.work_dir, 'last_validation')
