"""Exchange the class of one module, so that it does more than the others of its class.

Hooks would not do: heads of mmseg are run by ``head.forward(x)``, which calls none.
"""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any, SupportsIndex

from mmengine.model.weight_init import update_init_info
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

from mmattn.insertion.inserted_attention import (
    AFTER,
    BEFORE,
    InsertedAttention,
    inserted_in,
    is_inserted,
)
from mmattn.probe.structures import Path, get
from mmattn.weights.layouts import rename_published
from mmattn.weights.watch import report_loads

# What is put in front of a class of modules calls its methods.
if TYPE_CHECKING:
    from mmengine.model import BaseModule as _Original
else:
    _Original = object


class Exchanged(_Original):
    """Base of what is put in front of the class of a module.

    The class keeps its name, and its instances can be copied and pickled.
    """

    original: type[nn.Module]
    extensions: tuple[type['Exchanged'], ...]

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple:
        """Tell pickle how to find a class that stands in no module."""
        reduced: Any = super().__reduce_ex__(protocol)
        _, _, *state = reduced
        return _new, (self.original, self.extensions), *state


def exchange_class(module: nn.Module, extension: type[Exchanged]) -> None:
    """Put ``extension`` in front of the class of ``module``; doing it twice changes nothing."""
    if not isinstance(module, extension):
        extensions = (extension, *getattr(module, 'extensions', ()))
        original: Any = getattr(module, 'original', type(module))
        module.__class__ = _derive(original, extensions)


@cache
def _derive(original: Any, extensions: tuple[type[Exchanged], ...]) -> type:
    body = dict(
        original=original,
        extensions=extensions,
        __doc__=original.__doc__,
        __module__=original.__module__,
        __qualname__=original.__qualname__,
    )
    return type(original)(original.__name__, (*extensions, original), body)


def _new(original: Any, extensions: tuple[type[Exchanged], ...]) -> nn.Module:
    _watch_registrations()
    cls: Any = _derive(original, extensions)
    return cls.__new__(cls)


class AttendsAfter(Exchanged):
    """Passes its outputs through an attention module."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module, then the attention."""
        out = super().forward(*args, **kwargs)
        return self.inserted_attention(out, args, kwargs)


class AttendsBefore(Exchanged):
    """Passes its first input through an attention module."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the attention, then the module."""
        attention = self.inserted_attention_before
        if args:
            first = attention(args[0], args, kwargs)
            return super().forward(first, *args[1:], **kwargs)
        name = next(iter(kwargs))
        return super().forward(**{**kwargs, name: attention(kwargs[name], args, kwargs)})


class HidesAttention(Exchanged):
    """Container that runs what it iterates over: the attention is none of it."""

    def _own(self) -> dict[str, nn.Module]:
        return {name: m for name, m in self._modules.items() if not is_inserted(name)}

    def __iter__(self) -> Iterator:
        """Iterate as the class does, over values or keys."""
        return iter(self._own() if isinstance(self, nn.ModuleDict) else self._own().values())

    def __len__(self) -> int:
        """Count the modules of the host."""
        return len(self._own())

    def __getitem__(self, key: Any) -> nn.Module:
        """Index as the class does."""
        if isinstance(self, nn.ModuleDict):
            return self._modules[key]
        own = list(self._own().values())
        if isinstance(key, slice):
            part = own[key]
            return nn.Sequential(*part) if isinstance(self, nn.Sequential) else nn.ModuleList(part)
        return own[key]

    def keys(self) -> Any:
        """List the keys of a ModuleDict."""
        return self._own().keys()

    def values(self) -> Any:
        """List the values of a ModuleDict."""
        return self._own().values()

    def items(self) -> Any:
        """List keys and values of a ModuleDict."""
        return self._own().items()


class RecordsGrid(Exchanged):
    """Keeps the height and width that it returned last beside its tokens."""

    grid_path: Path

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module."""
        out = super().forward(*args, **kwargs)
        self.last_grid = get(out, self.grid_path)
        return out


class Replaced(nn.Module):
    """What stands where a module of the host was taken out."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``."""
        return x


class Host(Exchanged):
    """Model or part of one that attention was inserted into; it keeps what was inserted training.

    Whatever freezes a part of the host, ``norm_eval``, ``frozen_stages``, ``eval()``, does not
    reach the inserted modules: their mode is that of the host as a whole.
    """

    host_is_frozen = False

    def freeze_host(self) -> None:
        """Keep the weights and statistics of the host, from the next :meth:`train` on as well."""
        self.host_is_frozen = True
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> nn.Module:
        """Switch between training and evaluation, in which a frozen host stays."""
        super().train(mode and not self.host_is_frozen)
        for inserted in inserted_in(self):
            inserted.follow(mode)
        return self

    def init_weights(self) -> None:
        """Initialize the host, then what was inserted, unless the host read it from a file.

        A host initializes all that is inside it, each convolution alike; an inserted module is put
        back to how it was built before it initializes itself.

        Raises:
            InputError: If the pretrained weights of the host are those of another network.
        """
        if getattr(self, 'is_init', False):
            super().init_weights()  # warns
            return
        self._built = [(inserted, inserted.remember()) for inserted in inserted_in(self)]
        with report_loads(self):
            if hasattr(super(), 'init_weights'):
                super().init_weights()
            self._restart_inserted()
            # A host may have gone on drawing after the log.
            for inserted, state in self.__dict__.pop('_restarted'):
                inserted.put_back(state)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        rename_published(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _dump_init_info(self) -> None:
        self._restart_inserted()  # before the log tells how each parameter was initialized
        super()._dump_init_info()

    def _restart_inserted(self) -> None:
        if '_built' not in self.__dict__:  # It was before the log.
            return
        self._restarted = []
        for inserted, state in self.__dict__.pop('_built'):
            if not inserted.has_loaded:
                inserted.restart(state)
                self._restarted.append((inserted, deepcopy(inserted.state_dict())))
                if hasattr(self, '_params_init_info'):
                    update_init_info(inserted, 'Initialized as it was built by InsertAttention')


def attach(module: nn.Module, name: str, inserted: InsertedAttention) -> None:
    """Put ``inserted`` into ``module`` and let it act there.

    Args:
        module: Module of the host.
        name: :data:`AFTER` or :data:`BEFORE`.
        inserted: What to put there.
    """
    _watch_registrations()
    module.add_module(name, inserted)


@cache
def _watch_registrations() -> None:
    """Let an inserted module act wherever it is put.

    What turns SyncBN into BN and back builds another norm and hands the children over to it with
    ``add_module``, which tells nobody but the hooks of torch. To exchange the class of the new norm
    later, in :meth:`Host.train`, would be too late for whoever runs the model right away, a copy
    that was converted for inference, say: it would compute without attention and not say so.
    """
    register_module_module_registration_hook(_act)


def _act(module: nn.Module, name: str, child: nn.Module) -> None:
    if isinstance(child, InsertedAttention) and is_inserted(name):
        if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            exchange_class(module, HidesAttention)
        exchange_class(module, {AFTER: AttendsAfter, BEFORE: AttendsBefore}[name])
