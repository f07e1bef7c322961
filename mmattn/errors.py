"""The one error that a user can put right."""


class InputError(ValueError):
    """Bad input: the message says in one line what was expected, what came and what to do."""
