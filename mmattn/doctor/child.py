"""The child process that imports what may end it, and reports after each import.

It is run as a script, by :mod:`mmattn.doctor.imports`.
"""

import json
import os
import signal
import sys
from typing import Any


def main() -> None:
    """Run what the first argument asks for, and write one line before and after each."""
    asked = json.loads(sys.argv[1])
    sys.path[:], sys.argv[1:] = asked['path'], []
    # What a package prints goes elsewhere, whether by Python or not.
    report = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)
    failed = set(asked['failed'])
    for package, needs, code in asked['probes']:
        if failed.intersection(needs):
            failed.add(package)
            continue
        print(json.dumps({'begun': package}), file=report)
        outcome = _run(code, asked['time_limit'])
        if 'error' in outcome:
            failed.add(package)
        print(json.dumps({'done': package, **outcome}, default=str), file=report)
    # What packages do at the end of a process is not asked.
    os._exit(0)


def _run(code: str, time_limit: float) -> dict[str, Any]:
    # Kills, even from within a loop that is not Python's.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, time_limit)
    scope: dict[str, Any] = {}
    try:
        exec(code, scope)
        return {'value': scope.get('value')}
    except BaseException as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return {'error': ': '.join([type(error).__name__, *lines[:1]])[:300]}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == '__main__':
    main()
