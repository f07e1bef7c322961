"""The inferencers of the stock packages, each run with one config."""

import copy

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from tests.configs.leaves import datasets, load, named

mmdet = pytest.importorskip('mmdet.apis')
mmpretrain = pytest.importorskip('mmpretrain.apis')
mmseg = pytest.importorskip('mmseg.apis')

VAN = dict(
    arch=dict(
        _delete_=True, embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), mlp_ratios=(2, 2, 2, 2)
    ),
    # Nothing looks for it: the inferencers have to take it out.
    init_cfg=dict(type='Pretrained', checkpoint='/nowhere/van.pth'),
)
SEGMENTOR = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=VAN,
    decode_head=dict(in_channels=[8, 8, 16, 16], channels=16),
    auxiliary_head=dict(in_channels=16, channels=8),
)
DETECTOR = dict(
    backbone=VAN,
    neck=dict(in_channels=[8, 8, 16, 16], out_channels=16),
    bbox_head=dict(in_channels=16, feat_channels=16, stacked_convs=1),
)
CLASSIFIER = dict(backbone=VAN, head=dict(in_channels=16))
SCOPES = {
    'seg': ('upernet_van_b0_ade20k', SEGMENTOR),
    'det': ('retinanet_van_b0_fpn_1x_coco', DETECTOR),
    'cls': ('van_b0_in1k', CLASSIFIER),
}
SITE = dict(after='backbone', attention=dict(type='SE'), levels=[-1])


@pytest.fixture(params=['plain', 'inserted'])
def small(request):
    """A small model of a scope, as it is and with attention inserted into the whole of it."""

    def make(scope: str) -> Config:
        name, options = SCOPES[scope]
        cfg = load(named(scope, name))
        cfg.merge_from_dict(dict(model=copy.deepcopy(options)))
        for dataset in (*datasets(cfg.val_dataloader.dataset), cfg.test_dataloader.dataset):
            shrink(dataset.pipeline)
        shrink(cfg.get('test_pipeline', []))
        if request.param == 'inserted':
            cfg.model = dict(type='InsertAttention', host=cfg.model, sites=[SITE])
        return cfg

    return make


def shrink(pipeline):
    for step in pipeline:
        if step['type'] == 'Resize':
            step['scale'] = (64, 64)


@pytest.fixture
def photo(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / 'photo.jpg')
    return str(tmp_path / 'photo.jpg')


def test_segmentation(small, photo):
    model = mmseg.init_model(small('seg'), device='cpu')
    assert mmseg.inference_model(model, photo).pred_sem_seg.data.shape == (1, 48, 64)
    array = np.zeros((48, 64, 3), np.uint8)
    assert mmseg.inference_model(model, array).pred_sem_seg.data.shape == (1, 48, 64)
    found = mmseg.MMSegInferencer(small('seg'), device='cpu')(photo, show=False)
    assert found['predictions'].shape == (48, 64)


def test_segmentation_of_one_category(photo):
    """Whose label maps are drawn from annotations, which an image alone does not have."""
    cfg = load(named('seg', 'fpn-aff_r20_coco-stopsign'))
    model = mmseg.init_model(cfg, device='cpu')
    assert mmseg.inference_model(model, photo).pred_sem_seg.data.shape == (1, 48, 64)
    found = mmseg.MMSegInferencer(cfg, device='cpu')(photo, show=False)
    assert found['predictions'].shape == (48, 64)


def test_detection(small, photo):
    model = mmdet.init_detector(small('det'), device='cpu')
    array = np.zeros((48, 64, 3), np.uint8)
    for image in (photo, array):
        assert mmdet.inference_detector(model, image).ori_shape == (48, 64)
    [found] = mmdet.DetInferencer(small('det'), device='cpu')(photo)['predictions']
    assert set(found) >= {'labels', 'scores', 'bboxes'}


def test_classification(small, photo):
    cfg = small('cls')
    inferencer = mmpretrain.ImageClassificationInferencer(cfg, device='cpu')
    for image in (photo, np.zeros((48, 64, 3), np.uint8)):
        [found] = inferencer(image)
        assert len(found['pred_scores']) == 1000
    # mmpretrain adds a preprocessor where it sees none.
    host = cfg.model.get('host', cfg.model)
    mean = host.get('data_preprocessor', cfg.get('data_preprocessor')).mean
    assert inferencer.model.data_preprocessor.mean.flatten().tolist() == mean
