"""What attention modules promise."""

from typing import Any

import torch
from mmcv.cnn import build_plugin_layer
from torch import nn

from mmattn.attention.base import Attention
from mmattn.insertion.insert_attention import InsertAttention
from mmattn.testing.blended import PROMISES as ALIKE
from mmattn.testing.blended import Asked
from mmattn.testing.gates import PROMISES as OF_GATES
from mmattn.testing.promises import expect, keep


def check_attention(
    cls: type[Attention], in_channels: int = 32, *, export_from: int = 2, **options: Any
) -> None:
    """Ask of an attention module what all of mmattn promise.

    The promises are those of docs/modules.md, and what they rest on; ONNX is not among them. It
    takes seconds and no GPU.

    Args:
        cls: The class.
        in_channels: Channels of the maps that it is asked with.
        export_from: Smallest height and width that it takes when it is exported by
            :func:`torch.export.export`, where sizes are free.
        options: Further options that it is built with.

    Raises:
        AssertionError: If it breaks a promise: which one, what was expected and what came, in one
            line.

    Example:
        >>> from mmattn import ECA
        >>> check_attention(ECA, kernel_size=5)
    """
    expect(
        isinstance(cls, type) and issubclass(cls, Attention),
        'a subclass of mmattn.attention.base.Attention',
        cls,
    )
    asked = Asked(cls, in_channels, options, export_from)
    keep(cls.__name__, asked, PROMISES)


def is_a_plugin(asked: Asked) -> None:
    """A plug-in of mmcv is what it can be, under the name in _abbr_."""
    cfg = dict(type=asked.kind, **asked.options)
    before = dict(cfg)
    name, module = build_plugin_layer(cfg, postfix='_1', in_channels=asked.in_channels)
    abbr = getattr(asked.kind, '_abbr_', None)
    expect(name == f'{abbr}_1', f'the name {abbr}_1', name)
    expect(name.isidentifier(), 'an _abbr_ of letters, digits and underscores', repr(abbr))
    expect(cfg == before, 'its config as it was', cfg)
    expect(type(module) is asked.kind, f'a {asked.kind.__name__}', type(module).__name__)


def stands_at_a_site(asked: Asked) -> None:
    """InsertAttention puts it into a host, and the host is at first what it was."""
    host = nn.Sequential(nn.Conv2d(3, asked.in_channels, 3), nn.ReLU())
    x = torch.rand(2, 3, 9, 8)
    expected = host(x)
    site = dict(after='0', attention=dict(type=asked.kind, **asked.options))
    model = InsertAttention(host, [site], input_shape=(3, 9, 8))
    inserted = [name for name, m in model.named_modules() if type(m) is asked.kind]
    place = f'0.inserted_attention.{getattr(asked.kind, "_abbr_", None)}'
    expect(inserted == [place], f'it as {place}', inserted)
    expect(torch.equal(model(x), expected), 'the maps of the host', 'others')


PROMISES = (*ALIKE, *OF_GATES, is_a_plugin, stands_at_a_site)
