"""The functions and inferencers of the stock packages, on attention around the whole model."""

import numpy as np
import pytest
import torch

from mmattn.prediction.model import load
from tests.prediction.tiny import save, tiny

mmdet = pytest.importorskip('mmdet.apis')
mmpretrain = pytest.importorskip('mmpretrain.apis')
mmseg = pytest.importorskip('mmseg.apis')


@pytest.fixture(scope='module', params=['segmentation', 'detection', 'instance', 'classification'])
def both(request, tmp_path_factory):
    """Give a task, the paths of config and checkpoint, and our result of a picture of noise."""
    task = request.param
    cfg = tiny(task)
    site = dict(after='backbone', levels=[-1], attention=dict(type='SE'))
    cfg.model = dict(type='InsertAttention', host=cfg.model, sites=[site])
    paths = save(cfg, tmp_path_factory.mktemp(task))
    checkpoint = torch.load(paths[1], weights_only=True)
    blends = [key for key in checkpoint['state_dict'] if key.endswith('.blend')]
    # At its start it changes nothing, so that nobody would miss it.
    checkpoint['state_dict'].update({key: torch.tensor(3.0) for key in blends})
    torch.save(checkpoint, paths[1])
    assert blends
    picture = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return task, paths, picture, load(*paths, device='cpu').predict(picture)


def test_predict_as_mmattn_does(both):
    task, (config, checkpoint), picture, ours = both
    bgr = picture[..., ::-1].copy()
    if task == 'segmentation':
        model = mmseg.init_model(config, checkpoint, device='cpu')
        found = mmseg.inference_model(model, bgr).pred_sem_seg.data[0].numpy()
        assert np.array_equal(found, ours.masks)
        inferencer = mmseg.MMSegInferencer(config, checkpoint, device='cpu')
        assert np.array_equal(inferencer(bgr, show=False)['predictions'], ours.masks)
    elif task == 'classification':
        # Its inference_model takes models of its own zoo only.
        model = mmpretrain.get_model(config, pretrained=checkpoint, device='cpu')
        for inferencer in (
            mmpretrain.ImageClassificationInferencer(model),
            mmpretrain.ImageClassificationInferencer(config, checkpoint, device='cpu'),
        ):
            [found] = inferencer(bgr)
            assert found['pred_class'] == ours.names[0]
            assert found['pred_score'] == pytest.approx(ours.scores[0], abs=1e-6)
    else:
        model = mmdet.init_detector(config, checkpoint, device='cpu')
        found = mmdet.inference_detector(model, bgr).pred_instances
        np.testing.assert_allclose(found.bboxes.numpy(), ours.boxes, atol=1e-4)
        assert np.array_equal(found.labels.numpy(), ours.labels)
        if task == 'instance':
            assert np.array_equal(found.masks.numpy(), ours.masks)
        inferencer = mmdet.DetInferencer(config, checkpoint, device='cpu')
        [found] = inferencer(bgr)['predictions']
        np.testing.assert_allclose(found['bboxes'], ours.boxes, atol=1e-4)
        np.testing.assert_allclose(found['scores'], ours.scores, atol=1e-6)


def test_the_inserted_attention_counts(both, tmp_path):
    task, (config, checkpoint), picture, ours = both
    content = torch.load(checkpoint, weights_only=True)
    blends = [key for key in content['state_dict'] if key.endswith('.blend')]
    content['state_dict'].update({key: torch.tensor(0.0) for key in blends})
    torch.save(content, tmp_path / 'without.pth')
    without = load(config, tmp_path / 'without.pth', device='cpu').predict(picture)
    name = 'masks' if task == 'segmentation' else 'scores'
    assert not np.array_equal(getattr(without, name), getattr(ours, name))
