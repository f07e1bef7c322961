import re

import pytest

from mmattn.errors import InputError
from mmattn.weights.catalogue import CATALOGUE, entry_of
from mmattn.weights.layouts import LAYOUTS


def addresses(name):
    return [source.address for source in CATALOGUE[name].sources]


def test_van_is_on_the_hub_at_openmmlab_and_with_its_authors():
    assert addresses('van_b2_in1k') == [
        'hub://Visual-Attention-Network/VAN-Base-original/van_base_828.pth.tar',
        'https://download.openmmlab.com/mmclassification/v0/van/'
        'van-base_8xb128_in1k_20220501-6a4cc31b.pth',
        'https://mmassets.onedl.ai/mmclassification/v0/van/'
        'van-base_8xb128_in1k_20220501-6a4cc31b.pth',
        'https://cloud.tsinghua.edu.cn/d/0100f0cea37d41ba8d08/files/?p=%2Fvan_b2.pth&dl=1',
    ]
    files = [source.file for source in CATALOGUE['van_b2_in1k'].sources]
    assert files == ['van_base_828.pth.tar', *(2 * [files[1]]), 'van_b2.pth']
    sums = [source.check_sum for source in CATALOGUE['van_b2_in1k'].sources]
    assert sums == ['', '6a4cc31b', '6a4cc31b', '']


@pytest.mark.parametrize(
    ('name', 'original', 'check_sum', 'top1'),
    [
        ('van_b0_in1k', 'VAN-Tiny-original/van_tiny_754.pth.tar', '385941af', 75.4),
        ('van_b1_in1k', 'VAN-Small-original/van_small_811.pth.tar', '17bc91aa', 81.1),
        ('van_b2_in1k', 'VAN-Base-original/van_base_828.pth.tar', '6a4cc31b', 82.8),
        ('van_b3_in1k', 'VAN-Large-original/van_large_839.pth.tar', 'f212ba21', 83.9),
    ],
)
def test_each_van(name, original, check_sum, top1):
    entry = CATALOGUE[name]
    assert entry.sources[0].address == f'hub://Visual-Attention-Network/{original}'
    assert entry.sources[0].place[0] == f'Visual-Attention-Network/{original.split("/")[0]}'
    assert entry.sources[1].check_sum == check_sum
    assert entry.reported.value == top1


@pytest.mark.parametrize('name', CATALOGUE)
def test_an_entry_says_what_is_known(name):
    entry = entry_of(f'mmattn://{name}')
    assert entry.sources and entry.licence and not entry.opened
    for source in entry.sources:
        assert re.fullmatch(r'(hub|https)://\S+', source.address)
        assert re.fullmatch(r'[\w.-]+\.(pth|pth\.tar)', source.file)
        known = {layout.name for layout in LAYOUTS}
        # The layout of torchvision's MobileNetV2 is that of its authors.
        assert source.layout in {'', 'torchvision MobileNetV2', *known}


def test_a_name_that_is_not_known():
    with pytest.raises(InputError, match='mmattn://resnet50 is not known; there are: resnet50_tv'):
        entry_of('resnet50')
