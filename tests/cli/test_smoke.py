import pytest
from mmengine.config import Config

from mmattn.cli import smoke
from mmattn.errors import InputError
from tests.datasets.own.folders import save_coco


def config(root, **dataset):
    pipeline = [
        dict(type='LoadImage'),
        dict(type='RandomChoiceResize', scales=[(480, 1333), (800, 1333)], keep_ratio=True),
        dict(type='TestTimeAug', transforms=[[dict(type='Resize', scale=(1333, 800))]]),
        dict(type='RandomCrop', crop_size=(512, 1024)),
        dict(type='RandomResizedCrop', scale=224),
    ]
    inner = dict(type='CocoDataset', data_root=root, ann_file='a.json', pipeline=pipeline)
    loader = dict(batch_size=16, num_workers=4, persistent_workers=True)
    return Config(
        dict(
            model=dict(
                data_preprocessor=dict(size=(512, 1024), batch_augments=[dict(size=(9, 9))]),
                backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='x')),
                train_cfg=dict(
                    rpn_proposal=dict(nms_pre=2000, max_per_img=1000),
                    rcnn=[dict(sampler=dict(num=512, pos_fraction=0.25))],
                ),
                test_cfg=dict(rpn=dict(max_per_img=20)),
            ),
            train_dataloader=dict(
                dataset=dict(type='RepeatDataset', times=5, dataset={**inner, **dataset}), **loader
            ),
            val_dataloader=dict(dataset=inner, **loader),
            val_evaluator=dict(type='CocoMetric', ann_file=f'{root}annotations/val.json'),
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=12),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(logger=dict(interval=50)),
            load_from='somewhere',
        )
    )


def test_everything_gets_small_and_moves_to_the_generated_data(tmp_path):
    cfg = config('data/coco/')
    root = str(tmp_path / 'data')
    smoke.shrink(cfg, root)
    wrapper = cfg.train_dataloader.dataset
    assert wrapper.times == 1
    assert wrapper.dataset.data_root == cfg.val_dataloader.dataset.data_root == f'{root}/'
    assert cfg.val_evaluator.ann_file == f'{root}/annotations/val.json'
    for dataset in (wrapper.dataset, cfg.val_dataloader.dataset):
        _, choice, several, crop, resized = dataset.pipeline
        assert choice.scales == [(256, 64)] * 2
        assert several.transforms[0][0].scale == (256, 64)
        assert crop.crop_size == (64, 64)
        assert resized.scale == 64
    assert cfg.model.data_preprocessor.size == (64, 64)
    assert cfg.model.data_preprocessor.batch_augments[0].size == (64, 64)
    few = dict(nms_pre=smoke.MOST_BOXES, max_per_img=smoke.MOST_BOXES)
    assert cfg.model.train_cfg.rpn_proposal == few
    assert cfg.model.train_cfg.rcnn[0].sampler == dict(num=smoke.MOST_BOXES, pos_fraction=0.25)
    assert cfg.model.test_cfg.rpn.max_per_img == 20
    assert cfg.model.backbone.init_cfg is None and cfg.load_from is None
    assert cfg.train_dataloader.num_workers == cfg.val_dataloader.num_workers == 0
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=1.0)


def test_the_model_is_found_inside_insert_attention(tmp_path):
    cfg = config('data/coco/')
    cfg.model.backbone = dict(type='InsertAttention', host=cfg.model.backbone)
    cfg.model.neck = [dict(pretrained='somewhere')]
    cfg.model.auxiliary_head = dict(host=dict(type='TIMMBackbone', pretrained=True))
    cfg.model = dict(type='InsertAttention', host=cfg.model)
    smoke.shrink(cfg, str(tmp_path / 'data'))
    model = cfg.model.host
    assert model.data_preprocessor.size == (64, 64)
    assert model.backbone.host.init_cfg is None and model.neck[0].pretrained is None
    assert model.auxiliary_head.host.pretrained is False


def test_the_kind_of_loop_stays(tmp_path):
    cfg = config('data/coco/')
    cfg.work_dir = str(tmp_path)
    smoke.shrink(cfg, str(tmp_path / 'epochs'))
    assert cfg.train_cfg.max_epochs * smoke.IMAGES == smoke.ITERATIONS * smoke.BATCH_SIZE
    smoke.go_on(cfg)
    assert cfg.load_from == str(tmp_path / 'epoch_2.pth') and cfg.train_cfg.max_epochs == 3

    cfg = config('data/coco/')
    cfg.work_dir = str(tmp_path)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=160000)
    smoke.shrink(cfg, str(tmp_path / 'iterations'))
    smoke.go_on(cfg)
    assert cfg.load_from == str(tmp_path / 'iter_4.pth') and cfg.train_cfg.max_iters == 6


@pytest.mark.parametrize(
    'wrapper', [dict(clip_grad=dict(max_norm=0.01)), dict(type='MyWrapper'), dict(clip_grad=None)]
)
def test_gradients_that_a_config_clips_or_not_stay_its_own(tmp_path, wrapper):
    cfg = config('data/coco/')
    cfg.optim_wrapper = wrapper
    smoke.shrink(cfg, str(tmp_path / 'data'))
    assert cfg.optim_wrapper == wrapper


def test_takes_the_first_images_of_the_data_that_are_there(tmp_path, capsys):
    for folder in ('train', 'val'):
        save_coco(tmp_path / f'{folder}.json', tmp_path / folder, 3, {1: 'cat'})
    cfg = config(f'{tmp_path}/', ann_file='train.json', data_prefix=dict(img='train'))
    cfg.default_scope = 'mmdet'
    cfg.val_dataloader.dataset.update(ann_file='val.json', data_prefix=dict(img='val'))
    generated = tmp_path / 'generated'
    smoke.shrink(cfg, str(generated))
    inner = cfg.train_dataloader.dataset.dataset
    assert (inner.data_root, inner.ann_file, inner.indices) == (f'{tmp_path}/', 'train.json', 4)
    assert cfg.val_dataloader.dataset.indices == 2
    assert cfg.val_evaluator.ann_file == f'{tmp_path}/annotations/val.json'
    assert not generated.exists()
    assert capsys.readouterr().out.endswith(f'smoke run on the first images of {tmp_path}/\n')


def test_a_config_without_validation_and_hooks(tmp_path):
    save_coco(tmp_path / 'train.json', tmp_path, 3, {1: 'cat'})
    cfg = config(str(tmp_path), ann_file='train.json')
    cfg.default_scope = 'mmdet'
    for key in ('val_dataloader', 'val_evaluator', 'default_hooks', 'optim_wrapper'):
        cfg.pop(key)
    smoke.shrink(cfg, str(tmp_path / 'generated'))
    assert cfg.train_dataloader.dataset.dataset.indices == 4
    assert cfg.default_hooks.logger == dict(type='LoggerHook', interval=1)


def test_a_part_of_the_data_that_is_missing(tmp_path):
    save_coco(tmp_path / 'train.json', tmp_path / 'train', 3, {1: 'cat'})
    cfg = config(f'{tmp_path}/', ann_file='other.json', data_prefix=dict(img='train'))
    cfg.default_scope = 'mmdet'
    with pytest.raises(InputError, match=r'dataset\.ann_file .*other\.json does not exist'):
        smoke.shrink(cfg, str(tmp_path / 'generated'))


def test_data_that_are_not_there_and_no_generator(tmp_path):
    with pytest.raises(InputError) as raised:
        smoke.shrink(config(f'{tmp_path}/x', type='MyDataset'), str(tmp_path / 'data'))
    assert str(raised.value) == (
        f'--smoke finds no data in {tmp_path}/x and has no generated ones for MyDataset; it has '
        'for ADE20KDataset, CamVidDataset, CIFAR100Superclasses, CityscapesDataset, CocoDataset, '
        'CocoPanopticDataset, COCOCategoryDataset, CUB, ImageNet, ImageNet21k, '
        'PascalVOCDataset, VOCDataset'
    )
