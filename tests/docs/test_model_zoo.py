"""The generated model zoo says what the configs are."""

import functools
import re
from pathlib import Path

import pytest
import yaml
from modelindex.load_model_index import load

from docs.generate import model_zoo
from mmattn.probe.count import published_results
from tests.configs.leaves import LISTED, named, read

ROOT = Path(__file__).resolve().parents[2]

PAPERS = (
    'Visual Attention Network',
    'Coordinate Attention for Efficient Mobile Network Design',
)
# What their tables have that no reading of them gives; `difference` in a config, or the head of
# SSDLite, says what is known.
ODD = {
    'mobilenetv2_w075_in1k': 'rounded down from the 2.64 M that the layers of this width hold',
    'mobilenext-coordatt_in1k': 'of attention_position=after_dw2, not where the authors draw it',
    'mobilenext-se_in1k': 'rounded down from 0.312 G',
    'mobilenext_w050-coordatt_in1k': 'of networks of this width that were not released',
    'mobilenext_w050-se_in1k': 'of networks of this width that were not released',
    'mobilenext_w075-coordatt_in1k': 'of networks of this width that were not released',
    'ssdlite320_mobilenetv2_voc0712': 'that of the 81 outputs for COCO',
    'ssdlite320_mobilenetv2-cbam_voc0712': 'that of the 81 outputs for COCO',
    'ssdlite320_mobilenetv2-coordatt_voc0712': 'that of the 81 outputs for COCO',
    'ssdlite320_mobilenetv2-se_voc0712': 'that of the 81 outputs for COCO',
    'upernet_van_b5_ade20k': 'less than the layers hold; the multiply-adds are as published',
}


def results_of_papers():
    for path in LISTED:
        results = [r for r in published_results(read(path)) if r.paper in PAPERS]
        values = {key: model_zoo.first(results, key) for key in ('parameters', 'flops')}
        if path.parent.name != 'pose' and any(values.values()):
            yield pytest.param(path, values, id=path.stem)


RESULTS = list(results_of_papers())
SAMPLE = (
    named('seg', 'fpn_van_b2_ade20k'),
    named('det', 'mask_rcnn_van_b2_fpn_3x_coco'),
    named('det', 'ssdlite320_mobilenetv2-coordatt_coco'),
    named('seg', 'upernet_van_b2_ade20k'),
    named('cls', 'van_b0_in1k'),
)


@functools.cache
def whole_metafile(folder):
    return yaml.safe_load((folder / 'metafile.yml').read_text())


def metafile(path):
    entries = whole_metafile(path.parent)['Models']
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
    collections = whole_metafile(path.parent)['Collections']
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


@pytest.mark.parametrize(('path', 'published'), RESULTS)
def test_tables_of_papers_come_out(path, published):
    counts = metafile(path)['Metadata']
    ours = dict(parameters=counts['Parameters'] / 1e6, flops=counts['FLOPs'] / 1e9)
    known = {key: value for key, value in published.items() if value}
    is_close = {key: ours[key] for key in known} == pytest.approx(known, rel=0.03)
    assert is_close == (path.stem not in ODD)


def test_most_rows_of_the_papers_are_held():
    assert {'van_b2_in1k', 'mobilenetv2-coordatt_in1k'} <= {result.id for result in RESULTS}
    assert len(RESULTS) > 5 * len(ODD)
