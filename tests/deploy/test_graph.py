import numpy as np
import pytest
import torch

from mmattn.deploy.deployment import batch_of, image_for
from mmattn.deploy.exported import arrays_in
from mmattn.deploy.graph import graph_of
from mmattn.errors import InputError
from mmattn.prediction.model import load
from tests.deploy.conftest import OTHER, SIZE
from tests.prediction.tiny import save, tiny


def arrays_of_graph(graph, task, image):
    with torch.no_grad():
        outputs = [output[0].numpy() for output in graph(image)]
    size = image.shape[2:]
    return arrays_in(task, dict(zip(graph.outputs, outputs, strict=True)), size, (1.0, 1.0))


@pytest.mark.parametrize('size', [SIZE, OTHER], ids=str)
@pytest.mark.parametrize('task', ['segmentation', 'classification'])
def test_gives_what_the_model_gives(model, task, size):
    loaded = model(task)
    image = image_for(loaded, size, given=True)
    [expected] = loaded.run(batch_of(loaded, image))
    found = arrays_of_graph(graph_of(loaded), task, image)
    assert found.keys() == expected.keys()
    assert len(set(expected['labels'])) > 1
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)


def test_leaves_the_model_as_it_is(model):
    loaded = model('segmentation')
    before = {name: type(module) for name, module in loaded.module.named_modules()}
    graph = graph_of(loaded, torch.float16)
    assert graph.module.decode_head.conv_seg.weight.dtype == torch.float16
    assert {name: type(module) for name, module in loaded.module.named_modules()} == before
    assert all(p.dtype == torch.float32 for p in loaded.module.parameters())


def test_pads_as_the_preprocessor_of_a_test(tmp_path):
    cfg = tiny('segmentation')
    cfg.model.data_preprocessor.test_cfg = dict(size_divisor=32)
    loaded = load(*save(cfg, tmp_path), device='cpu')
    image = image_for(loaded, (70, 100), given=True)
    graph = graph_of(loaded)
    expected = loaded.module.data_preprocessor(batch_of(loaded, image), False)['inputs']
    assert expected.shape[2:] == (96, 128)
    assert torch.equal(graph.normalize(image), expected)
    [labels] = graph(image)
    assert labels.shape == (1, 70, 100)


def test_scores_of_several_labels_are_those_of_each_alone(tmp_path):
    cfg = tiny('classification')
    cfg.model.head = dict(type='MultiLabelLinearClsHead', num_classes=1000, in_channels=16)
    cfg.model.train_cfg = None
    loaded = load(*save(cfg, tmp_path), device='cpu')
    image = image_for(loaded, (64, 64), given=True)
    [expected] = loaded.run(batch_of(loaded, image))
    found = arrays_of_graph(graph_of(loaded), 'classification', image)
    np.testing.assert_allclose(found['scores'], expected['scores'], rtol=1e-5)


def test_refuses_what_it_does_not_know(model, tmp_path):
    cfg = tiny('segmentation')
    cfg.model.test_cfg = dict(mode='slide', crop_size=(64, 64), stride=(32, 32))
    sliding = load(*save(cfg, tmp_path), device='cpu')
    with pytest.raises(InputError, match=r"mode='slide' cannot be exported; .*test_cfg.mode=whole"):
        graph_of(sliding)


def test_refuses_other_tasks(model):
    pytest.importorskip('mmdet')
    with pytest.raises(InputError, match='for the task panoptic, which cannot be exported'):
        graph_of(model('panoptic'))
