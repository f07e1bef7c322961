"""What a class or function of a config takes as options, as far as that can be told."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeGuard

# Packages whose classes build what lies in their options, as it is, by the registries.
PACKAGES = ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'mmattn')


class Options(NamedTuple):
    """What a class or function takes by name.

    Args:
        names: The options, those of the bases that it hands on to included.
        needed: Those of its own that have no default.
        building: Those that a class of OpenMMLab or of this project gets as the config has them.
        is_open: Whether it takes others, too, or may.
        rest: Option whose config gets the others, if one does.
    """

    names: frozenset[str]
    needed: tuple[str, ...]
    building: frozenset[str]
    is_open: bool
    rest: str | None = None


@cache
def options_of(callee: Callable) -> Options:
    """Tell what a class or function takes."""
    callee = stood_for(callee)
    if not inspect.isclass(callee):
        return _options_of_function(callee)
    inits = [(cls, vars(cls)['__init__']) for cls in callee.__mro__ if '__init__' in vars(cls)]
    options: set[str] = set()
    building: set[str] = set()
    taken: set[str] = set()
    is_open = type(callee).__call__ is not type.__call__ or _makes_itself(callee)
    needed = () if is_open else tuple(_needed(inits[0][1]))
    is_known = True
    for cls, init in inits:
        new = set(_names(init)) - taken - options
        options |= new
        building |= new if is_known and is_of_openmmlab(cls) else set()
        if not _takes_any(init):
            break
        given = _given_with_the_rest(init, cls)
        is_open = is_open or given is None
        is_known = is_known and (given is not None or is_of_openmmlab(cls))
        taken |= given or set()
    return Options(frozenset(options), needed, frozenset(building), is_open)


def stood_for(callee: Any) -> Any:
    """Give the class that a function builds which stands for it until its package is needed."""
    return callee.stands_for() if hasattr(callee, 'stands_for') else callee


def names(callee: Any, option: str) -> bool:
    """Tell whether the file of a class, or of one of its bases, has this option as a string."""
    parts = inspect.getmro(callee) if inspect.isclass(callee) else (callee,)
    sources = [_source(part.__module__) for part in parts if hasattr(part, '__module__')]
    return any(f"'{option}'" in source or f'"{option}"' in source for source in sources)


@cache
def _source(module: str) -> str:
    try:
        return inspect.getsource(sys.modules[module])
    except (KeyError, OSError, TypeError):
        return ''


def _options_of_function(callee: Callable) -> Options:
    names = frozenset(_names(callee, bound=True))
    rest = getattr(callee, 'rest_goes_to', None)
    building = names if is_of_openmmlab(callee) else frozenset()
    is_open = _takes_any(callee) and rest is None
    return Options(names, tuple(_needed(callee, bound=True)), building, is_open, rest)


def is_of_openmmlab(obj: Any) -> bool:
    """Tell whether a class or function is of OpenMMLab or of this project."""
    return str(getattr(obj, '__module__', '')).split('.')[0] in PACKAGES


def _makes_itself(cls: type) -> bool:
    """Tell whether a ``__new__`` may have a say in what the class takes."""
    return any(inspect.isfunction(vars(c).get('__new__', None)) for c in cls.__mro__)


def _parameters(function: Callable, bound: bool = False) -> list[inspect.Parameter] | None:
    """List the parameters without ``self``, or None where nothing is known of them."""
    if function is object.__init__:
        return []
    # A decorator may rename what it passes on; that of our constructors does not.
    wrapper = getattr(function, '__globals__', {}).get('__name__', '')
    if hasattr(function, '__wrapped__') and not wrapper.startswith('mmattn.'):
        return None
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of C
        return None
    return parameters if bound else parameters[1:]


def _names(function: Callable, bound: bool = False) -> list[str]:
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in _parameters(function, bound) or () if p.kind in by_name]


def _needed(function: Callable, bound: bool = False) -> list[str]:
    by_name = _names(function, bound)
    found = _parameters(function, bound) or ()
    return [p.name for p in found if p.name in by_name and p.default is p.empty]


def _takes_any(function: Callable) -> bool:
    found = _parameters(function, bound=True)
    return found is None or any(p.kind is p.VAR_KEYWORD for p in found)


def _given_with_the_rest(init: Callable, cls: type) -> set[str] | None:
    """Tell what a constructor gives the next one in the MRO beside all its further options.

    Returns:
        The names, or None unless it does nothing else with these options.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(init))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    if not isinstance(tree, ast.FunctionDef) or tree.args.kwarg is None:
        return None
    rest = tree.args.kwarg.arg
    tree.body = [s for s in tree.body if not _is_default(s, rest)]
    uses = sum(isinstance(node, ast.Name) and node.id == rest for node in ast.walk(tree))
    leaves = any(isinstance(node, ast.Return) for node in ast.walk(tree))
    calls = [s.value for s in tree.body if isinstance(s, ast.Expr) and _is_super_init(s.value, cls)]
    if uses != 1 or leaves or len(calls) != 1:
        return None
    keywords: dict[Any, ast.expr] = {k.arg: k.value for k in calls[0].keywords}
    handed = keywords.pop(None, None)
    return set(keywords) if isinstance(handed, ast.Name) and handed.id == rest else None


def _is_default(node: ast.AST, rest: str) -> bool:
    """Tell whether it is of the form ``kwargs = {'option': default, **kwargs}``."""
    match node:
        case ast.Assign([ast.Name(target)], ast.Dict([*keys, None], [*_, ast.Name(source)])):
            return target == source == rest and None not in keys
    return False


def _is_super_init(node: ast.AST, cls: type) -> TypeGuard[ast.Call]:
    match node:
        case ast.Call(ast.Attribute(ast.Call(ast.Name('super'), args), '__init__')):
            # With the name of another class it would leave those between out.
            return not args or ast.unparse(args[0]) in (cls.__name__, '__class__')
    return False
