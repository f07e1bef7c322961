"""Public weights by name: where they are, in which layout, and what their authors report.

``mmattn://NAME`` stands for them wherever a checkpoint is read. None is part of this project.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import unquote, urlparse

from mmattn.errors import InputError

SCHEME = 'mmattn://'
_HUB = 'hub://'
# Where OpenMMLab has the backbones of RTMDet.
_RTMDET = 'mmdetection/v3.0/rtmdet/cspnext_rsb_pretrain'


@dataclass(frozen=True)
class Source:
    """A file of weights at one address.

    Args:
        address: ``https://...``, or ``hub://OWNER/REPOSITORY/FILE`` on the Hugging Face hub.
        layout: Name of its layout; see :mod:`mmattn.weights.layouts`. Nothing if its tensors have
            the names of the model that it is for.
        named: What the file is called, where the address does not end in it.
    """

    address: str
    layout: str = ''
    named: str = ''

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.named or unquote(Path(urlparse(self.address).path).name)

    @property
    def check_sum(self) -> str:
        """How its SHA-256 begins; OpenMMLab and torchvision write that into the name."""
        digits = re.search(r'-([0-9a-f]{8,64})\.', self.file)
        return digits[1] if digits else ''

    @property
    def is_on_hub(self) -> bool:
        """Whether it is on the Hugging Face hub."""
        return self.address.startswith(_HUB)

    @property
    def place(self) -> tuple[str, str]:
        """Repository and file on the hub."""
        owner, repository, file = self.address.removeprefix(_HUB).split('/', 2)
        return f'{owner}/{repository}', file


@dataclass(frozen=True)
class Reported:
    """What somebody else measured with weights.

    Args:
        metric: What was measured: the name of the metric in a test here.
        value: The value.
        where: Where it stands.
    """

    metric: str
    value: float
    where: str


@dataclass(frozen=True)
class Entry:
    """Weights that are public.

    Args:
        sources: Where they are, the first one first.
        licence: Licence of the code that they were published with.
        reported: What is reported of them, if anything is.
        megabytes: About how large the file is, if that is known.
        config: Config of a test that gives the reported value, if there is one.
        opened: Whether this project has ever had the file, so that it is known to load.
    """

    sources: tuple[Source, ...]
    licence: str
    reported: Reported | None = None
    megabytes: int | None = None
    config: str = ''
    opened: bool = False


def _van(arch: str, size: str, top1: float, check_sum: str) -> Entry:
    """Give a VAN of ImageNet-1K, which its authors and mmpretrain have published."""
    original = f'van_{size}_{round(top1 * 10)}.pth.tar'
    name = f'van-{size}_8xb128_in1k_20220501-{check_sum}.pth'
    converted = f'mmclassification/v0/van/{name}'
    hub = f'hub://Visual-Attention-Network/VAN-{size.title()}-original/{original}'
    return Entry(
        sources=(
            Source(hub, 'released VAN'),
            Source(f'https://download.openmmlab.com/{converted}', 'mmpretrain VAN'),
            Source(f'https://mmassets.onedl.ai/{converted}', 'mmpretrain VAN'),
            _authors_van(f'van_{arch}.pth'),
        ),
        licence='Apache-2.0',
        reported=Reported('accuracy/top1', top1, 'README of VAN-Classification'),
        config=f'mmattn::cls/van_{arch}_in1k.py',
    )


def _authors_van(file: str) -> Source:
    """Give a file of the folder that the authors of VAN share for dense prediction."""
    folder = 'https://cloud.tsinghua.edu.cn/d/0100f0cea37d41ba8d08/files/'
    return Source(f'{folder}?p=%2F{file}&dl=1', 'released VAN', named=file)


def _large_van(file: str) -> Entry:
    return Entry(sources=(_authors_van(file),), licence='Apache-2.0')


def _ade20k(arch: str, head: str, miou: float, check_sum: str, weights: str = 'in1k') -> Entry:
    """Give a segmentor of the authors of VAN, which mmseg has converted and tested."""
    file = f'van-{arch}-{weights}pre_{head}_3rdparty_512x512-ade20k_20230522-{check_sum}.pth'
    host = 'https://download.openmmlab.com/mmsegmentation/v0.5/van_3rdparty/'
    return Entry(
        sources=(Source(f'{host}{file}', 'released VAN'),),
        licence='Apache-2.0',
        reported=Reported('mIoU', miou, 'README of projects/van in mmsegmentation'),
        config=f'mmattn::seg/{head}_van_{arch}_ade20k.py',
    )


def _torchvision(file: str, layout: str, top1: float, megabytes: int) -> Entry:
    """Give weights that torchvision lists."""
    return Entry(
        sources=(Source(f'https://download.pytorch.org/models/{file}', layout),),
        licence='BSD-3-Clause',
        reported=Reported('accuracy/top1', top1, 'torchvision, IMAGENET1K_V1'),
        megabytes=megabytes,
    )


def _openmmlab(path: str, licence: str, layout: str = '') -> Entry:
    """Give a file of OpenMMLab, whose host has a mirror."""
    hosts = ('download.openmmlab.com', 'mmassets.onedl.ai')
    return Entry(tuple(Source(f'https://{host}/{path}', layout) for host in hosts), licence)


def _mscan(size: str, check_sum: str) -> Entry:
    """Give an MSCAN of the authors of SegNeXt, which mmseg has converted."""
    file = f'mscan_{size}_20230227-{check_sum}.pth'
    return _openmmlab(f'mmsegmentation/v0.5/pretrain/segnext/{file}', 'Apache-2.0', 'mmseg MSCAN')


def _lsknet(size: str, check_sum: str) -> Entry:
    """Give an LSKNet of its authors, whose licence forbids commercial use."""
    file = f'mmrotate/v1.0/lsknet/backbones/lsk_{size}_backbone-{check_sum}.pth'
    source = Source(f'https://download.openmmlab.com/{file}', 'released LSKNet')
    return Entry((source,), 'CC-BY-NC-4.0')


CATALOGUE = {
    'van_b0_in1k': _van('b0', 'tiny', 75.4, '385941af'),
    'van_b1_in1k': _van('b1', 'small', 81.1, '17bc91aa'),
    'van_b2_in1k': _van('b2', 'base', 82.8, '6a4cc31b'),
    'van_b3_in1k': _van('b3', 'large', 83.9, 'f212ba21'),
    'van_b4_in1k': _large_van('van_b4.pth'),
    'van_b4_in22k': _large_van('van_b4_22k.pth'),
    'van_b5_in22k': _large_van('van_b5_22k.pth'),
    'van_b6_in22k': _large_van('van_b6_22k.pth'),
    # Of UperNet with VAN-B3 and B4 of ImageNet-1K, two files have one check sum in their names.
    'upernet_van_b2_ade20k': _ade20k('b2', 'upernet', 49.35, '19c58aee'),
    'upernet_van_b4_in22k_ade20k': _ade20k('b4', 'upernet', 52.61, '4a4d744a', 'in22k'),
    'upernet_van_b5_in22k_ade20k': _ade20k('b5', 'upernet', 53.11, '5bb6f2b4', 'in22k'),
    'upernet_van_b6_in22k_ade20k': _ade20k('b6', 'upernet', 54.25, 'e226b363', 'in22k'),
    'fpn_van_b0_ade20k': _ade20k('b0', 'fpn', 38.65, '75a76298'),
    'fpn_van_b1_ade20k': _ade20k('b1', 'fpn', 43.22, '104499ff'),
    'fpn_van_b2_ade20k': _ade20k('b2', 'fpn', 46.84, '7074e6f8'),
    'fpn_van_b3_ade20k': _ade20k('b3', 'fpn', 48.32, '2c3b7f5e'),
    'mscan_t': _mscan('t', '119e8c9f'),
    'mscan_s': _mscan('s', 'f33ccdf2'),
    'mscan_b': _mscan('b', '3ab7d230'),
    'mscan_l': _mscan('l', 'cef260d4'),
    'lsknet_t': _lsknet('t', '2ef8a593'),
    'lsknet_s': _lsknet('s', 'e9d2e551'),
    'mbv2_ca_in1k': Entry(
        sources=(
            Source(
                'https://github.com/Andrew-Qibin/CoordAttention/raw/main/mbv2_ca.pth',
                'released mbv2_ca',
            ),
        ),
        licence='MIT',
        reported=Reported('accuracy/top1', 74.3, "authors' README"),
        config='mmattn::cls/mobilenetv2-coordatt_in1k.py',
    ),
    'mobilenetv2_tv': _torchvision(
        'mobilenet_v2-b0353104.pth', 'torchvision MobileNetV2', 71.878, 14
    ),
    'resnet18_tv': _torchvision('resnet18-f37072fd.pth', 'torchvision ResNet', 69.758, 47),
    'resnet50_tv': _torchvision('resnet50-0676ba61.pth', 'torchvision ResNet', 76.13, 103),
    'resnet50_v1c': _openmmlab('pretrain/third_party/resnet50_v1c-2cccc1ad.pth', 'Apache-2.0'),
    'hrnetv2_w18': _openmmlab('pretrain/third_party/hrnetv2_w18-00eb2006.pth', 'MIT'),
    'regnetx_800mf': _openmmlab('pretrain/third_party/regnetx_800mf-1f4be4c7.pth', 'MIT'),
    'swin_t': Entry(
        sources=(
            Source(
                'https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
                'swin_tiny_patch4_window7_224.pth'
            ),
        ),
        licence='MIT',
    ),
    # The same values by the names of mmseg's class.
    'swin_t_mmseg': _openmmlab(
        'mmsegmentation/v0.5/pretrain/swin/swin_tiny_patch4_window7_224_20220317-1cdeb081.pth',
        'MIT',
    ),
    'convnext_t': _openmmlab(
        'mmclassification/v0/convnext/downstream/'
        'convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth',
        'MIT',
    ),
    'cspnext_tiny': _openmmlab(f'{_RTMDET}/cspnext-tiny_imagenet_600e.pth', 'Apache-2.0'),
    'cspnext_s': _openmmlab(f'{_RTMDET}/cspnext-s_imagenet_600e.pth', 'Apache-2.0'),
    'pvtv2_b0': Entry(
        sources=(Source('https://github.com/whai362/PVT/releases/download/v2/pvt_v2_b0.pth'),),
        licence='Apache-2.0',
    ),
}


def entry_of(address: str) -> Entry:
    """Give the entry that ``mmattn://NAME``, or the name alone, stands for.

    Raises:
        InputError: If there are no weights of this name.
    """
    name = address.removeprefix(SCHEME)
    if name not in CATALOGUE:
        near = ', '.join(get_close_matches(name, CATALOGUE)) or ', '.join(CATALOGUE)
        raise InputError(f'{SCHEME}{name} is not known; there are: {near}')
    return CATALOGUE[name]
