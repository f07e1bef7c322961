"""The generated model zoo says what the configs are."""

import re
from pathlib import Path

import pytest
import yaml
from modelindex.load_model_index import load

from docs.generate import model_zoo
from mmattn.probe.count import published_results
from tests.configs.leaves import LISTED, named, read

ROOT = Path(__file__).resolve().parents[2]

VAN = [
    path
    for path in LISTED
    if path.parent.name != 'pose'
    and "paper='Visual Attention Network'" in path.read_text()
    and 'flops=' in path.read_text()
]
SAMPLE = (
    named('seg', 'fpn_van_b2_ade20k'),
    named('det', 'mask_rcnn_van_b2_fpn_3x_coco'),
    named('det', 'ssdlite320_mobilenetv2-coordatt_coco'),
    named('seg', 'upernet_van_b2_ade20k'),
    named('cls', 'van_b0_in1k'),
)


def metafile(path):
    entries = yaml.safe_load((path.parent / 'metafile.yml').read_text())['Models']
    [entry] = [entry for entry in entries if entry['Name'] == path.stem]
    return entry


@pytest.mark.parametrize('path', LISTED, ids=lambda p: p.stem)
def test_lists_every_config(path):
    assert f'[{path.stem}](../configs/{path.parent.name}/{path.name})' in (
        ROOT / 'docs' / 'model_zoo.md'
    ).read_text(encoding='utf-8')
    assert (ROOT / metafile(path)['Config']).samefile(path)


@pytest.mark.parametrize('path', LISTED, ids=lambda p: p.stem)
def test_is_in_a_collection_that_mim_finds_by_one_word(path):
    name = metafile(path)['In Collection']
    collections = yaml.safe_load((path.parent / 'metafile.yml').read_text())['Collections']
    [paper] = [entry['Paper'] for entry in collections if entry['Name'] == name]
    assert name.isalnum() and paper['Title'] and paper['URL'].startswith('https://')
    assert name.lower() in re.split('[_-]', path.stem)


@pytest.mark.parametrize(
    ('model', 'name'),
    [
        (dict(type='SE', part=[dict(type='MobileNeXt')]), 'SE'),
        (dict(backbone=dict(type='mmattn.VAN')), 'VAN'),
        (dict(backbone=dict(type='CoordAttMobileNetV2', attention=None)), 'MobileNetV2'),
        (
            dict(backbone=dict(type='CoordAttMobileNetV2', attention=dict(type='CoordAtt'))),
            'CoordAtt',
        ),
        (dict(neck=dict(type='AFFFPN', fusion=dict(type='iAFF'))), 'iAFF'),
    ],
)
def test_collection_of_a_model(model, name):
    assert model_zoo.collection_name(model_zoo.find_collection(model)) == name


def test_mim_can_read_the_metafiles():
    index = load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    assert {model.name for model in index.models} == {path.stem for path in LISTED}


@pytest.mark.parametrize('path', SAMPLE, ids=lambda p: p.stem)
def test_counts_of_some_are_up_to_date(path):
    assert model_zoo.describe(model_zoo.measure(path)) == metafile(path)


@pytest.mark.parametrize('path', VAN, ids=lambda p: p.stem)
def test_multiply_adds_of_van_are_the_published(path):
    published = model_zoo.first(published_results(read(path)), 'flops')
    assert metafile(path)['Metadata']['FLOPs'] / 1e9 == pytest.approx(published, rel=0.03)
