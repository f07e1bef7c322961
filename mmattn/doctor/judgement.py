"""The last question about a package: whether it can be imported."""

from mmattn.doctor.environment import Environment
from mmattn.doctor.requirements import find_emptied
from mmattn.doctor.row import Row


def judge_import(env: Environment, row: Row, package: str, remedy: str) -> Row:
    """Give the row of a package with what came of importing it.

    Args:
        env: The environment.
        row: What is known of the package so far.
        package: The package, which is installed.
        remedy: Command that puts it right if it cannot be imported.
    """
    if fault := find_emptied(env, package):
        return row.broken(*fault)
    outcome = env.imports.get(package)
    if outcome is None:
        return row.not_known('its import was not tried: what it needs cannot be imported')
    if outcome.error:
        return row.broken(f'it cannot be imported: {outcome.error}', remedy)
    return row
