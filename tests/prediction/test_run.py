import errno
import json
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from mmattn.errors import InputError
from mmattn.prediction import videos, writing
from mmattn.prediction.inputs import find_inputs
from mmattn.prediction.run import Run
from mmattn.prediction.writing import Folder
from tests.prediction.tiny import TASKS


@pytest.fixture
def photos(tmp_path, pixels):
    """A folder of three pictures of two sizes."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    for name, picture in (('1', pixels), ('2', pixels[:40]), ('x', pixels[:, ::-1])):
        Image.fromarray(picture).save(folder / f'{name}.png')
    return folder


@pytest.fixture
def film(tmp_path, pixels):
    path = tmp_path / 'film.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10, (64, 48))
    for shift in range(3):
        writer.write(np.roll(pixels, shift * 8, 1))
    writer.release()
    return path


@pytest.fixture
def predict(model, tmp_path):
    """Predict and write; give the run and the folder."""

    def predict(task, *given, **options):
        run = Run(model(task), Folder(tmp_path / 'out'), **options)
        inputs, missing = find_inputs(list(map(str, given)))
        run.predict(inputs)
        run.line = run.summarize('config.py', 'weights.pth', missing)
        return run, tmp_path / 'out'

    return predict


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize('task', TASKS)
def test_files_of_each_task(predict, photos, task):
    run, out = predict(task, photos)
    kinds = ['drawn', 'predictions']
    kinds += ['masks'] if task in ('segmentation', 'panoptic') else []
    expected = [
        f'{kind}/{name}.{"json" if kind == "predictions" else "png"}'
        for kind in kinds
        for name in '12x'
    ]
    coco = ['coco_results.json'] if task in ('detection', 'instance', 'panoptic') else []
    assert names(out) == sorted([*expected, *coco, 'summary.json'])
    assert run.failures == []
    summary = read(out / 'summary.json')
    assert summary['task'] == task and len(summary['inputs']) == 3 and summary['failed'] == []
    for entry in summary['inputs']:
        assert {entry[key] for key in entry if key != 'input'} <= set(names(out))
        assert read(out / entry['prediction'])['input'] == entry['input']


def test_masks_are_the_label_maps_of_the_data(predict, model, photos, pixels):
    _, out = predict('segmentation', photos, batch_size=2)
    found = model('segmentation').predict(pixels)
    # Those of ADE20K begin with 1; 0 is no label.
    written = np.array(Image.open(out / 'masks/1.png'))
    assert written.dtype == np.uint8 and np.array_equal(written, found.masks + 1)
    assert np.array(Image.open(out / 'masks/2.png')).shape == (40, 64)
    described = read(out / 'predictions/1.json')['classes']
    assert [each['label'] for each in described] == found.labels.tolist()
    assert sum(each['share'] for each in described) == pytest.approx(1)
    classes = read(out / 'summary.json')['classes']
    assert classes[2] == dict(label=2, name='sky', value=3, color=[6, 230, 230])
    assert np.array_equal(np.array(Image.open(out / 'drawn/1.png')), found.draw())


def test_keeps_some_classes(predict, model, photos, pixels):
    found = model('segmentation').predict(pixels)
    [label, *_] = found.labels
    _, out = predict('segmentation', photos / '1.png', classes=found.names[:1])
    expected = np.where(found.masks == label, label + 1, 0)
    assert np.array_equal(np.array(Image.open(out / 'masks/1.png')), expected)
    assert len(read(out / 'predictions/1.json')['classes']) == 1


def test_writes_what_the_tools_of_coco_read(predict, model, photos, pixels):
    tools = pytest.importorskip('pycocotools.coco')
    coder = pytest.importorskip('pycocotools.mask')
    found = model('instance').predict(pixels)
    threshold = float(found.scores[1])
    _, out = predict('instance', photos / '1.png', score_threshold=threshold)
    # What is not sure is neither drawn nor described, but COCO's precision needs it.
    assert len(read(out / 'predictions/1.json')['detections']) == 2
    truth = tools.COCO()
    truth.dataset = dict(
        images=[dict(id=1, height=48, width=64)],
        categories=[dict(id=i) for i in range(1, 91)],
        annotations=[],
    )
    truth.createIndex()
    loaded = truth.loadRes(str(out / 'coco_results.json')).anns.values()
    assert len(loaded) == len(found.scores) > 2
    for i, entry in enumerate(loaded):
        assert entry['image_id'] == 1
        left, upper, width, height = entry['bbox']
        corners = [left, upper, left + width, upper + height]
        np.testing.assert_allclose(corners, found.boxes[i], atol=1e-3)
        assert np.array_equal(coder.decode(entry['segmentation']), found.masks[i])
        assert entry['category_id'] == [*range(1, 91)][_place_in_coco(found.labels[i])]


def _place_in_coco(label):
    """Give the place among 90 numbers of one of 80 classes, by the ten that COCO left out."""
    for gap in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83):
        label += label >= gap - 1
    return label


def test_panoptic_maps_are_those_of_coco(predict, model, photos, pixels):
    _, out = predict('panoptic', photos / '1.png')
    found = model('panoptic').predict(pixels)
    red, green, blue = np.array(Image.open(out / 'masks/1.png')).astype(int).transpose(2, 0, 1)
    numbers = red + 256 * green + 65536 * blue
    [entry] = read(out / 'coco_results.json')['annotations']
    assert entry['image_id'] == 1 and entry['file_name'] == '1.png'
    for segment, mask in zip(entry['segments_info'], found.masks, strict=True):
        assert np.array_equal(numbers == segment['id'], mask)


def test_scores_of_a_classification(predict, model, photos, pixels):
    _, out = predict('classification', photos / '1.png')
    found = model('classification').predict(pixels)
    classes = read(out / 'predictions/1.json')['classes']
    assert [each['name'] for each in classes] == found.names[:5]
    assert [each['score'] for each in classes] == pytest.approx(found.scores[:5])


@pytest.mark.parametrize('task', ['segmentation', 'detection'])
def test_video(predict, model, film, task):
    run, out = predict(task, film, batch_size=2)
    assert run.failures == []
    drawn = videos.Video(out / 'drawn/film.mp4')
    assert (drawn.count, drawn.rate) == (3, 10)
    content = read(out / 'predictions/film.json')
    assert [frame['frame'] for frame in content['frames']] == [0, 1, 2]
    frames = list(videos.Video(film).frames())
    last = model(task).predict(frames[2])
    if task == 'segmentation':
        masks = sorted((out / 'masks/film').iterdir())
        assert [path.name for path in masks] == ['000000.png', '000001.png', '000002.png']
        assert np.array_equal(np.array(Image.open(masks[2])), last.masks + 1)
    else:
        boxes = [each['box'] for each in content['frames'][2]['detections']]
        np.testing.assert_allclose(boxes, last.boxes, atol=1e-2)
    [*_, shown] = drawn.frames()
    assert shown.shape == last.draw().shape
    # It is compressed.
    assert abs(shown.astype(float) - last.draw()).mean() < 20


def test_a_video_that_breaks_off_leaves_nothing(predict, film, photos):
    content = film.read_bytes()
    # In front of the second frame, each of which is a JPEG.
    _, second, _ = (match.start() for match in re.finditer(b'\xff\xd8\xff', content))
    film.write_bytes(content[:second])
    run, out = predict('segmentation', film, photos / '1.png')
    [failure] = run.failures
    assert failure.path == str(film) and 'film.avi breaks off at frame 1 of 3' in failure.reason
    assert not [name for name in names(out) if 'film' in name]
    assert {path.name for path in (out / 'masks').iterdir()} == {'1.png'}
    assert read(out / 'summary.json')['failed'][0]['input'] == str(film)


def test_what_fails_does_not_keep_the_others_from_being_done(predict, photos):
    (photos / '2.png').write_text('no image')
    (photos / 'long.png').write_bytes(b'')
    run, out = predict('segmentation', photos, photos / 'none.png', batch_size=4)
    assert [name for name in names(out) if 'drawn' in name] == ['drawn/1.png', 'drawn/x.png']
    failed = [(each['input'], each['reason']) for each in read(out / 'summary.json')['failed']]
    assert [path.rpartition('/')[2] for path, _ in failed] == ['none.png', '2.png', 'long.png']
    assert 'is not a file' in failed[0][1] and 'cannot be read' in failed[1][1]
    assert run.line == f'2 of 5 done: {out}'


def test_a_picture_that_cannot_be_prepared_does_not_harm_its_batch(predict, photos):
    Image.new('RGB', (3000, 1)).save(photos / '2.png')
    run, out = predict('detection', photos, batch_size=3)
    [failure] = run.failures
    message = (
        '/2.png: an image of 3000x1 pixels does not go through the test pipeline (error: (-215:'
    )
    assert message in failure.reason
    assert '\n' not in failure.reason and 'OpenCV' not in failure.reason
    assert len(read(out / 'summary.json')['inputs']) == 2


def test_full_disk(predict, photos, monkeypatch):
    write = writing.write_whole

    def refuse_one(path, content, **options):
        def full(partial):
            raise OSError(errno.ENOSPC, 'full')

        write(path, full if path.match('drawn/1.png') else content, **options)

    monkeypatch.setattr(writing, 'write_whole', refuse_one)
    run, out = predict('detection', photos)
    [failure] = run.failures
    assert failure.reason.startswith(f'{photos / "1.png"}: ')
    assert 'drawn/1.png cannot be written (No space left on device)' in failure.reason
    assert failure.reason.endswith('make room, and repeat the command')
    assert 'drawn/1.png' not in names(out) and not list(out.rglob('*.partial'))
    assert len(read(out / 'summary.json')['inputs']) == 2


def test_replaces_results_of_a_former_run_and_leaves_all_else(predict, photos, tmp_path):
    (tmp_path / 'out/drawn').mkdir(parents=True)
    (tmp_path / 'out/drawn/1.png').write_text('old')
    (tmp_path / 'out/mine.txt').write_text('mine')
    _, out = predict('detection', photos)
    Image.open(out / 'drawn/1.png').load()
    assert (out / 'mine.txt').read_text() == 'mine'


def test_does_not_replace_an_input(predict, photos, tmp_path):
    folder = tmp_path / 'out/drawn'
    folder.mkdir(parents=True)
    content = (photos / '1.png').read_bytes()
    (folder / '1.png').write_bytes(content)
    run, _ = predict('detection', folder)
    [failure] = run.failures
    assert failure.reason.endswith('drawn/1.png lies where the results go; give another --out')
    assert (folder / '1.png').read_bytes() == content


def test_refuses_a_folder_that_is_a_file_or_cannot_be_made(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match='--out .*file is a file; expected a folder'):
        Folder(tmp_path / 'file')
    with pytest.raises(InputError, match='--out .*inner cannot be written .Not a directory.'):
        Folder(tmp_path / 'file/inner').make()
