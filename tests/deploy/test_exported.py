import numpy as np
import pytest
import torch

from mmattn.deploy.deployment import image_for
from mmattn.deploy.exported import arrays_in, load_exported
from mmattn.errors import InputError
from tests.helpers import needs_torch

pytestmark = needs_torch('2.6', 'exporting')


@pytest.fixture
def picture(model):
    def give(size):
        return image_for(model('segmentation'), size, given=True)[0].permute(1, 2, 0).numpy()

    return give


@pytest.mark.parametrize('to', ['export', 'onnx'])
@pytest.mark.parametrize(
    ('task', 'options'),
    [
        ('segmentation', dict(dynamic=False, size=(64, 64))),
        ('classification', {}),
        pytest.param('segmentation', {}, marks=pytest.mark.slow),
    ],
    ids=['segmentation', 'classification-any-size', 'segmentation-any-size'],
)
def test_predicts_what_the_model_predicts(deployed, model, picture, task, options, to):
    if to == 'onnx':
        pytest.importorskip('onnxruntime')
    exported = load_exported(deployed(task, to, **options)[0], trusted=True)
    assert (exported.task, exported.classes) == (task, model(task).classes)
    # Of a size that the pipeline leaves alone, so that no label map is resized.
    pictures = [picture((64, 64)), picture((64, 64))[::-1].copy()]
    found = exported.predict_batch(pictures)
    expected = model(task).predict_batch(pictures)
    for one, other in zip(expected, found, strict=True):
        for name, array in one.arrays.items():
            np.testing.assert_allclose(other.arrays[name], array, rtol=1e-4, atol=1e-6)
        assert np.array_equal(one.draw(), other.draw())


@pytest.mark.slow
def test_a_label_map_has_the_size_of_its_picture(deployed, model, picture):
    exported = load_exported(deployed('segmentation', 'export')[0], trusted=True)
    image = picture((200, 300))
    expected, found = model('segmentation').predict(image), exported.predict(image)
    assert found.masks.shape == (200, 300)
    # The model resizes logits, the file labels: borders move by less than a pixel of the input.
    assert (found.masks == expected.masks).mean() > 0.75


def test_takes_images_of_its_sizes_only(deployed):
    exported = load_exported(
        deployed('segmentation', 'export', dynamic=False, size=(64, 64))[0], trusted=True
    )
    batch = dict(inputs=[torch.zeros(3, 30, 64)], data_samples=[None])
    with pytest.raises(InputError, match=r'of 64x64 pixels only, .* made one of 64x30; deploy the'):
        exported.run(batch)
    narrow = load_exported(deployed('classification', 'export')[0], trusted=True)
    with pytest.raises(InputError, match=r'sides of 33 to 8192 pixels, .* made one of 64x30$'):
        narrow.run(batch)


def test_refuses_what_may_run_code(deployed, tmp_path):
    path, _ = deployed('classification', 'export')
    with pytest.raises(InputError, match=r'may run code that is in it; .*--trust-checkpoint'):
        load_exported(path)
    with pytest.raises(InputError, match='none.onnx is not a file'):
        load_exported(tmp_path / 'none.onnx')
    (tmp_path / 'x.bin').touch()
    with pytest.raises(InputError, match=r'x.bin has to end in .onnx, .pt2 or .xml'):
        load_exported(tmp_path / 'x.bin')


def test_boxes_are_in_the_picture_and_empty_places_left_out():
    found = dict(
        boxes=np.array([[0, 0, 20, 10], [0, 0, 0, 0]], np.float32),
        scores=np.array([0.5, -1], np.float32),
        labels=np.array([3, -1]),
    )
    arrays = arrays_in('detection', found, (5, 5), (2.0, 1.0))
    assert arrays['boxes'].tolist() == [[0, 0, 10, 10]]
    assert (arrays['labels'].tolist(), arrays['scores'].tolist()) == ([3], [0.5])


def test_labels_above_255_are_resized():
    labels = np.array([[300, 2], [1, 299]])
    arrays = arrays_in('segmentation', dict(labels=labels), (4, 4), (0.5, 0.5))
    assert np.array_equal(arrays['masks'], labels.repeat(2, 0).repeat(2, 1))
