"""Questions that may never be answered."""

import threading
from collections.abc import Callable
from concurrent.futures import Future


def ask(call: Callable) -> Future:
    """Call in a thread, which is left behind if the call never returns.

    A store whose process is stopped takes every question and answers none, whatever limit PyTorch
    was given. ``ask(call).result(SECONDS)`` has a limit.

    Args:
        call: What to call, without arguments.

    Returns:
        What it gives or raises, once it has.
    """
    answer: Future = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer
