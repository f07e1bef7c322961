"""How the reference reads docstrings: their links and tables are not Markdown yet."""

import re
from typing import Any

from griffe import Extension, Object


class MarkdownDocstrings(Extension):
    """Rewrite the docstring of every class and function as Markdown."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Rewrite one docstring, which the parser has not read yet."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """Rewrite links, references to code, tables, and the heading over examples.

    Example:
        >>> as_markdown('See `a page <https://x.org>`_ of :class:`mmattn.VAN`.')
        'See [a page](https://x.org) of `mmattn.VAN`.'
    """
    text = re.sub(r'`([^<`]+?)\s*<(http[^>]+)>`_', r'[\1](\2)', text)
    text = re.sub(r':\w+:`~?([^`]+)`', r'`\1`', text)
    text = re.sub(r'^Example:$', 'Examples:', text, flags=re.MULTILINE)
    return re.sub(r'^=+( =+)+\n(.*\n)+=+( =+)+$', r'```text\n\g<0>\n```', text, flags=re.MULTILINE)
