"""The public weights that configs begin with."""

import re

import pytest
import torchvision

from mmattn import MSCAN, VAN, CoordAttMobileNetV2, LSKNet
from mmattn.cli.pretrained import weights_in_config
from mmattn.probe.build import meta_device
from mmattn.weights.catalogue import SCHEME, entry_of
from mmattn.weights.fit import fit_weights
from mmattn.weights.reading import weights_in
from tests.backbones.test_coord_att_mobilenet_v2 import released_from
from tests.configs.leaves import BUILT, CONFIGS, build_part, load, read
from tests.tools.test_weights import published as as_mmpretrain

STARTS = {path: list(weights_in_config(read(path))) for path in BUILT}
USED = {name: path for path, names in STARTS.items() for name in names}


@pytest.mark.parametrize(
    ('names', 'weights'),
    [
        (r'(?!cls).*/(?!demo).*_van_b0_.*', 'van_b0_in1k'),
        (r'(?!cls).*/.*_van_b1_.*', 'van_b1_in1k'),
        (r'(?!cls).*/.*_van_b2_.*', 'van_b2_in1k'),
        (r'(?!cls).*/.*_van_b3_.*', 'van_b3_in1k'),
        (r'seg/(upernet|fpn)_van_b4_.*', 'van_b4_in1k'),
        (r'cls/van_b4_pre22k.*', 'van_b4_in22k'),
        (r'(seg/upernet_van_b5|cls/van_b5_pre22k).*', 'van_b5_in22k'),
        (r'(seg/upernet_van_b6|det/mask2former_van_b6|cls/van_b6_pre22k).*', 'van_b6_in22k'),
        (r'det/ssdlite320_mobilenetv2_.*', 'mobilenetv2_tv'),
        (r'det/ssdlite320_mobilenetv2-coordatt_.*', 'mbv2_ca_in1k'),
        (r'seg/deeplabv3_mobilenetv2_d(8|16)_(voc12aug|cityscapes)', 'mobilenetv2_tv'),
        (r'seg/deeplabv3_mobilenetv2_d(8|16)-coordatt_(voc12aug|cityscapes)', 'mbv2_ca_in1k'),
        *((rf'(seg/segnext|det/mask_rcnn)_mscan_{size}_.*', f'mscan_{size}') for size in 'tsbl'),
        *((rf'det/.*_lsknet_{size}_.*', f'lsknet_{size}') for size in 'ts'),
        (r'det/rtmdet_tiny.*', 'cspnext_tiny'),
        (r'det/rtmdet_s.*', 'cspnext_s'),
        (r'det/(mask|faster)_rcnn_r50.*', 'resnet50_tv'),
        (r'seg/(upernet|deeplabv3|fpn).*_r50.*', 'resnet50_v1c'),
    ],
)
def test_a_config_begins_with_what_its_figure_began_with(names, weights):
    stems = {path: f'{path.parent.name}/{path.stem}' for path in BUILT}
    found = [path for path, stem in stems.items() if re.fullmatch(names, stem)]
    assert found
    assert {path.stem: STARTS[path] for path in found} == {
        path.stem: [f'{SCHEME}{weights}'] for path in found
    }


@pytest.mark.parametrize('address', USED)
def test_what_a_config_names_is_in_the_catalogue(address):
    assert entry_of(address).sources


def test_public_weights_are_named_in_one_way():
    for path in CONFIGS.rglob('*.py'):
        others = re.findall(r"checkpoint='(?!mmattn://)[^']*'|://[^']*\.pth", path.read_text())
        assert others == [], path


# What a file of each layout holds, for a backbone.
LAYOUTS = {
    'released VAN': lambda backbone: VAN(backbone.arch).state_dict(),
    'mmpretrain VAN': lambda backbone: as_mmpretrain(VAN(backbone.arch)),
    'mmseg MSCAN': lambda backbone: {
        key.replace('.mlp.dwconv.dwconv.', '.mlp.dwconv.'): value
        for key, value in MSCAN(backbone.arch).state_dict().items()
    },
    'released LSKNet': lambda backbone: LSKNet(backbone.arch).state_dict(),
    'released mbv2_ca': lambda _: released_from(CoordAttMobileNetV2().state_dict()),
    'torchvision MobileNetV2': lambda _: torchvision.models.mobilenet_v2().state_dict(),
    'torchvision ResNet': lambda backbone: getattr(
        torchvision.models, f'resnet{backbone.depth}'
    )().state_dict(),
}


@pytest.mark.parametrize(
    ('address', 'layout'),
    dict.fromkeys(
        (address, source.layout)
        for address in USED
        for source in entry_of(address).sources
        if source.layout
    ),
)
def test_a_layout_of_the_catalogue_fits_the_backbone_of_a_config(address, layout):
    cfg = load(USED[address])
    while 'host' in cfg.model:
        cfg.model = cfg.model.host
    backbone = build_part(cfg.model.backbone)
    if isinstance(backbone, VAN | MSCAN | LSKNet):
        backbone.arch = cfg.model.backbone.arch
    with meta_device():
        file = LAYOUTS[layout](backbone)
    weights = weights_in(dict(state_dict=file), 'file').under('backbone.')
    assert weights.layout.name == layout
    report = fit_weights(weights, backbone).report
    assert report.loaded and report.faults() == []
    assert set(report.new.values()) <= {'attention', 'output norm'}
