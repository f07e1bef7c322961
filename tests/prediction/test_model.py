import os
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image

import mmattn
from mmattn.errors import InputError
from mmattn.prediction.model import load
from mmattn.weights import sources
from tests.prediction.tiny import TASKS, save, tiny


@pytest.mark.parametrize('task', TASKS)
def test_knows_the_task_and_what_it_tells_apart(model, task):
    loaded = model(task)
    counts = dict(segmentation=150, detection=80, instance=80, panoptic=133, classification=1000)
    assert loaded.task == task
    assert len(loaded.classes) == len(loaded.palette) == counts[task]
    assert not loaded.module.training


def test_is_a_name_of_the_package(saved):
    assert mmattn.load(*saved('classification'), device='cpu').classes[0] == 'tench, Tinca tinca'


def test_has_the_weights_of_the_checkpoint(saved, model):
    weights = torch.load(saved('detection')[1], weights_only=True)['state_dict']
    loaded = model('detection').module.state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


@pytest.mark.parametrize('said', [None, False, True], ids=['nothing', 'data', 'code'])
def test_reads_data_unless_told_otherwise_and_leaves_the_process_as_it_is(
    saved, tmp_path, monkeypatch, said
):
    monkeypatch.setattr(sources, '_reads', '')
    # So that it is as before afterwards, whatever is said.
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0')
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD')
    if said is not None:
        sources.trust_checkpoints(said)
    before = sources._reads, os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD')
    config, path = saved('classification')
    content = torch.load(path, weights_only=True)
    torch.save({**content, 'code': Fraction(1, 2)}, tmp_path / 'code.pth')
    with pytest.raises(InputError, match='reading it would run fractions.Fraction'):
        load(config, tmp_path / 'code.pth', device='cpu')
    load(config, tmp_path / 'code.pth', device='cpu', trust_checkpoint=True)
    assert (sources._reads, os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD')) == before


def test_prepares_as_the_test_pipeline_does(model, pixels):
    data = model('detection').prepare([pixels, pixels[:, ::-1]])
    [first, second] = data['inputs']
    # BGR, in the size that it has.
    assert torch.equal(first, torch.from_numpy(pixels[..., ::-1].transpose(2, 0, 1).copy()))
    assert torch.equal(second, first.flip(2))
    assert data['data_samples'][0].ori_shape == (48, 64)


def test_prepares_as_the_stock_package_does(model, photo, pixels, monkeypatch):
    mmdet = pytest.importorskip('mmdet.apis')
    loaded = model('detection')
    [ours] = loaded.prepare([pixels])['inputs']
    stock = []
    monkeypatch.setattr(loaded.module, 'test_step', lambda data: stock.append(data) or [None])
    loaded.module.cfg = loaded.cfg
    init_default_scope('mmdet')
    mmdet.inference_detector(loaded.module, str(photo))
    assert torch.equal(stock[0]['inputs'][0], ours)


def test_attention_around_the_whole_model(tmp_path, pixels):
    cfg = tiny('detection')
    site = dict(after='backbone', levels=[-1], attention=dict(type='SE'))
    cfg.model = dict(type='InsertAttention', host=cfg.model, sites=[site])
    loaded = load(*save(cfg, tmp_path), device='cpu')
    assert loaded.task == 'detection'
    assert any('inserted_attention' in name for name, _ in loaded.module.named_modules())


def test_names_and_colours_are_those_of_the_checkpoint(tmp_path):
    cfg = tiny('segmentation')
    cfg.merge_from_dict({f'model.{head}_head.num_classes': 2 for head in ('decode', 'auxiliary')})
    meta = dict(
        dataset_meta=dict(classes=('sea', 'sky'), palette=[[0, 0, 9], [0, 9, 0]]),
    )
    loaded = load(*save(cfg, tmp_path, meta), device='cpu')
    assert loaded.classes == ('sea', 'sky')
    assert loaded.palette == ((0, 0, 9), (0, 9, 0))


def test_reads_the_names_of_an_older_checkpoint(tmp_path):
    cfg = tiny('segmentation')
    cfg.merge_from_dict({f'model.{head}_head.num_classes': 2 for head in ('decode', 'auxiliary')})
    loaded = load(*save(cfg, tmp_path, dict(CLASSES=('sea', 'sky'))), device='cpu')
    assert loaded.classes == ('sea', 'sky')
    # It does not say so, but the config does.
    assert loaded.reduce_zero_label
    assert len(set(loaded.palette)) == 2


def test_takes_the_preprocessor_that_stands_beside_the_model(tmp_path):
    cfg = tiny('classification')
    cfg.model.pop('data_preprocessor', None)
    cfg.data_preprocessor = dict(
        type='ClsDataPreprocessor', num_classes=1000, mean=[1, 2, 3], std=[4, 5, 6], to_rgb=True
    )
    paths = save(cfg, tmp_path)
    assert load(*paths, device='cpu').module.data_preprocessor.mean.flatten().tolist() == [1, 2, 3]


def test_names_that_nobody_gives_are_numbers(tmp_path):
    cfg = tiny('classification')
    cfg.model.head.num_classes = 3
    cfg.model.train_cfg = None
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset = dict(type='CustomDataset', pipeline=loader.dataset.pipeline)
    assert load(*save(cfg, tmp_path), device='cpu').classes == ('0', '1', '2')


def test_refuses_names_of_another_number(tmp_path):
    paths = save(tiny('detection'), tmp_path, dict(dataset_meta=dict(classes=('cat', 'dog'))))
    message = r'checkpoint names 2 classes \(cat, dog\), but .*bbox_head.num_classes=80; use the'
    with pytest.raises(InputError, match=message):
        load(*paths, device='cpu')


def test_refuses_a_checkpoint_of_another_architecture(saved):
    config, _ = saved('detection')
    with pytest.raises(InputError, match='is of another architecture than this RetinaNet'):
        load(config, saved('segmentation')[1], device='cpu')


def test_refuses_what_is_not_there(saved, tmp_path):
    config, checkpoint = saved('detection')
    with pytest.raises(InputError, match='config .*none.py is not a file'):
        load(tmp_path / 'none.py', checkpoint)
    with pytest.raises(InputError, match='checkpoint .*none.pth is not a file'):
        load(config, tmp_path / 'none.pth')
    with pytest.raises(InputError, match="expected device 'cpu' or 'cuda', got 'gpu'"):
        load(config, checkpoint, device='gpu')
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="device='cuda', but PyTorch sees no CUDA device"):
            load(config, checkpoint, device='cuda')


def test_a_checkpoint_runs_no_code(saved, tmp_path):
    class Code:
        def __reduce__(self):
            return (open, (str(tmp_path / 'ran'), 'w'))

    torch.save({'state_dict': {}, 'meta': Code()}, tmp_path / 'code.pth')
    with pytest.raises(InputError, match='is not plain data'):
        load(saved('detection')[0], tmp_path / 'code.pth', device='cpu')
    assert not (tmp_path / 'ran').exists()


def test_reads_a_picture_as_rgb(model, photo, pixels):
    assert np.array_equal(model('segmentation').read(photo), pixels)
    assert model('segmentation').read(pixels) is pixels


def test_turns_a_picture_as_its_camera_says(model, tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6  # A quarter to the right.
    Image.fromarray(pixels).save(tmp_path / 'turned.png', exif=exif)
    read = model('segmentation').read(tmp_path / 'turned.png')
    assert np.array_equal(read, np.rot90(pixels, -1))


def test_reads_pictures_of_other_kinds(model, tmp_path, pixels):
    read = model('segmentation').read
    deep = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 20
    Image.fromarray(deep).save(tmp_path / 'deep.png')
    assert np.array_equal(read(tmp_path / 'deep.png')[..., 0], deep // 256)
    half = np.dstack([pixels, np.full((48, 64), 128, np.uint8)])
    Image.fromarray(half).save(tmp_path / 'transparent.png')
    assert np.array_equal(read(tmp_path / 'transparent.png'), pixels)
    flat = Image.new('P', (4, 2), 1)
    flat.putpalette([0, 0, 0, 10, 20, 30])
    flat.save(tmp_path / 'palette.png')
    assert (read(tmp_path / 'palette.png') == [10, 20, 30]).all()


@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
def test_refuses_what_is_no_whole_picture(model, tmp_path, pixels, backend, monkeypatch):
    loaded = model('segmentation')
    monkeypatch.setitem(loaded._loader, 'imdecode_backend', backend)
    Image.fromarray(pixels).save(tmp_path / 'whole.jpg')
    content = (tmp_path / 'whole.jpg').read_bytes()
    (tmp_path / 'half.jpg').write_bytes(content[: len(content) // 2])
    (tmp_path / 'text.jpg').write_text('no image')
    (tmp_path / 'empty.jpg').touch()
    for name in ('half', 'text', 'empty'):
        with pytest.raises(InputError, match=f'image .*{name}.jpg cannot be read') as caught:
            loaded.read(tmp_path / f'{name}.jpg')
        assert '\n' not in str(caught.value)
    with pytest.raises(InputError, match=re.escape('none.jpg is not a file; check the path')):
        loaded.read(tmp_path / 'none.jpg')


@pytest.mark.parametrize(
    'array',
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
    ids=['gray', 'floats', 'empty'],
)
def test_refuses_other_arrays(model, array):
    message = r'expected an image \(height, width, 3\) of uint8, RGB, got an array of shape'
    with pytest.raises(InputError, match=message):
        model('segmentation').read(array)
