from types import SimpleNamespace

import mmcv
import numpy as np
import pytest
import torch
from mmengine.optim import LinearLR
from mmengine.registry import HOOKS, MODELS, PARAM_SCHEDULERS, TRANSFORMS
from torch import nn

from tests.configs import leaves

NAMES = leaves.names('cls')
each = pytest.mark.parametrize('name', NAMES)


def read(name):
    return leaves.read(leaves.named('cls', name))


def side(pipeline):
    """Side of the square that the last resizing or cropping transform of a pipeline makes."""
    for transform in reversed(pipeline):
        size = transform.get('crop_size') or transform.get('scale')
        if size:
            return max(size) if isinstance(size, tuple) else size
    raise AssertionError('nothing is resized')


@each
def test_the_classifier_takes_what_the_backbone_gives(name):
    model = leaves.build(leaves.named('cls', name))
    assert model.backbone.out_channels == (model.head.in_channels,)


def test_trains_and_tests_at_the_size_of_its_figures():
    for name in NAMES:
        cfg = read(name)
        size = cfg.get('published', {}).get('flops_shape', (224, 224))[0]
        assert side(cfg.train_dataloader.dataset.pipeline) == size, name
        # Images of CIFAR-100 are tested as they are.
        if cfg.test_dataloader.dataset.type != 'CIFAR100Superclasses':
            assert side(cfg.test_dataloader.dataset.pipeline) == size, name


def test_the_rate_ends_with_the_training():
    for name in NAMES:
        cfg = read(name)
        assert max(s.end for s in cfg.param_scheduler) == cfg.train_cfg.max_epochs, name
        switches = [hook.schedule for hook in cfg.get('custom_hooks', []) if 'schedule' in hook]
        assert all(s.action_epoch < cfg.train_cfg.max_epochs for [s] in switches), name


# Epochs, total batch size, learning rate, weight decay, and the factor on it for norms and biases.
@pytest.mark.parametrize(
    ('name', 'epochs', 'batch_size', 'lr', 'decay', 'flat'),
    [
        ('van_b0_in1k', 300, 1024, 1e-3, 0.05, 0.0),
        ('van_b6_pre22k-384_in1k', 30, 512, 5e-5, 1e-8, 0.0),
        ('van_b6_in22k', 90, 4096, 4e-3, 0.05, 0.0),
        ('mobilenetv2-coordatt_in1k', 200, 256, 0.05, 4e-5, None),
        ('mobilenext_in1k', 210, 256, 0.1, 1e-4, 0.0),
        ('r50-iaff_in1k', 240, 512, 0.075, 1e-4, 0.0),
        ('r26-aff_cifar100-20', 400, 128, 0.2, 1e-4, None),
    ],
)
def test_recipe(name, epochs, batch_size, lr, decay, flat):
    cfg = read(name)
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.auto_scale_lr.base_batch_size == batch_size
    assert cfg.optim_wrapper.optimizer.lr == lr
    assert cfg.optim_wrapper.optimizer.weight_decay == decay
    assert cfg.optim_wrapper.get('paramwise_cfg', {}).get('flat_decay_mult') == flat


@pytest.mark.parametrize('size', ['', '_w035', '_w050', '_w075', '_w140'])
def test_recipe_of_mobilenext(size):
    cfg = read(f'mobilenext{size}_in1k')
    assert cfg.train_dataloader.batch_size == 64
    assert 'custom_hooks' not in cfg or 'EMAHook' not in [h.type for h in cfg.custom_hooks]
    assert cfg.model.head.loss.label_smooth_val == 0.1
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, True)
    [jitter] = [t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'ColorJitter']
    assert jitter == dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4)


def test_rates_of_mobilenext_are_those_of_its_release():
    """Of each epoch; the log of the release has 3.467e-05 in epoch 198."""
    cfg = read('mobilenext_in1k')
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=cfg.optim_wrapper.optimizer.lr)
    schedulers = [
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
        for scheduler in cfg.param_scheduler
    ]
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert rates[:4] == pytest.approx([0.0001, 0.0334, 0.0667, 0.0999445], rel=3e-4)
    assert rates[100] == pytest.approx(0.050005, rel=3e-4)
    assert rates[198] == pytest.approx(3.467e-5, rel=3e-4)
    assert rates[200:] == pytest.approx([1e-5] * 10)


@pytest.mark.parametrize(
    ('name', 'drop_path_rate', 'mean'),
    [
        ('van_b2_in1k', 0.1, [127.5] * 3),
        ('van_b3_in1k', 0.2, [127.5] * 3),
        ('van_b6_in22k', 0.1, [123.675, 116.28, 103.53]),
        ('van_b4_pre22k_in1k', 0.2, [123.675, 116.28, 103.53]),
        ('van_b6_pre22k_in1k', 0.3, [123.675, 116.28, 103.53]),
    ],
)
def test_recipe_of_van(name, drop_path_rate, mean):
    cfg = read(name)
    assert cfg.model.backbone.drop_path_rate == drop_path_rate
    assert cfg.model.data_preprocessor.mean == mean
    # An image is filled with its mean, blue first, where an augmentation or an erasure has none.
    filled = {t.type: t for t in cfg.train_dataloader.dataset.pipeline}
    assert filled['RandomErasing'].fill_color == mean[::-1]
    assert filled['RandAugment'].hparams.pad_val == [round(value) for value in mean[::-1]]


@pytest.mark.parametrize('arch', ['b0', 'b1', 'b2', 'b3', 'b4'])
def test_training_of_van_on_imagenet_1k(arch):
    cfg = read(f'van_{arch}_in1k')
    assert cfg.model.backbone.drop_path_rate == (0.2 if arch in ('b3', 'b4') else 0.1)
    assert 8 * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 1024
    warmup, cosine = cfg.param_scheduler
    assert (warmup.end, cosine.end, cosine.eta_min) == (5, 300, 1e-6)
    # From 1e-6, and without an average of the weights.
    assert warmup.start_factor * cfg.optim_wrapper.optimizer.lr == pytest.approx(1e-6)
    assert 'EMAHook' not in [hook.type for hook in cfg.get('custom_hooks', [])]
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    augmented, erased = steps['RandAugment'], steps['RandomErasing']
    assert (augmented.magnitude_level, augmented.magnitude_std) == (9, 0.5)
    assert (erased.erase_prob, erased.mode) == (0.25, 'rand')
    mixed = [(a.type, a.alpha) for a in cfg.model.train_cfg.augments]
    assert mixed == [('Mixup', 0.8), ('CutMix', 1.0)]
    assert cfg.model.head.loss.label_smooth_val == 0.1
    assert cfg.model.data_preprocessor.std == [127.5] * 3
    # The short side of which the central 224 pixels are 0.9.
    assert cfg.test_dataloader.dataset.pipeline[1].scale == 248


def test_fine_tuning_of_van_on_cub_is_that_on_imagenet_but_for_the_classes():
    cub, imagenet = read('van_b4_pre22k_cub').to_dict(), read('van_b4_pre22k_in1k').to_dict()
    assert cub['published']['metrics'] == dict(top1=91.3)
    assert cub['model']['data_preprocessor'].pop('num_classes') == 200
    assert cub['model']['head'].pop('num_classes') == 200
    for part in ('data_preprocessor', 'head'):
        del imagenet['model'][part]['num_classes']
    for key in ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'auto_scale_lr'):
        assert cub[key] == imagenet[key], key
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        datasets = [cfg[key].pop('dataset') for cfg in (cub, imagenet)]
        assert cub[key] == imagenet[key], key
        assert datasets[0]['pipeline'] == datasets[1]['pipeline'], key
        assert datasets[0]['split'] == ('train' if key.startswith('train') else 'test')


@pytest.mark.parametrize('arch', ['b4', 'b5', 'b6'])
def test_pre_training_of_van_on_imagenet_22k(arch):
    cfg = read(f'van_{arch}_in22k')
    assert cfg.model.head.num_classes == cfg.model.data_preprocessor.num_classes == 21841
    # 64 GPUs, two steps of which make one.
    assert 64 * cfg.train_dataloader.batch_size * cfg.optim_wrapper.accumulative_counts == 8192
    assert cfg.model.backbone.drop_path_rate == 0.1
    mixed = [(a.type, a.alpha) for a in cfg.model.train_cfg.augments]
    assert mixed == [('Mixup', 0.8), ('CutMix', 1.0)]
    warmup, cosine = cfg.param_scheduler
    assert (warmup.type, warmup.end, warmup.convert_to_iter_based) == ('LinearLR', 5, True)
    assert (cosine.type, cosine.eta_min) == ('CosineAnnealingLR', 1e-6)


@pytest.mark.parametrize('size', ['', '_w075', '_w050'])
def test_rows_of_mobilenetv2_differ_in_the_attention_alone(size):
    kinds = ('', '-se', '-cbam', '-coordatt')
    rows = [read(f'mobilenetv2{size}{kind}_in1k').to_dict() for kind in kinds]
    attentions = [row['model']['backbone'].pop('attention') for row in rows]
    assert [a and a['type'] for a in attentions] == [None, 'SE', 'CBAM', 'CoordAtt']
    for row in rows:
        del row['published']
    assert all(row == rows[0] for row in rows)


@pytest.mark.parametrize('size', ['', '_w075', '_w050'])
def test_rows_of_mobilenext_with_attention_differ_in_it_alone(size):
    rows = [read(f'mobilenext{size}{kind}_in1k').to_dict() for kind in ('-se', '-coordatt')]
    attentions = [row['model']['backbone'].pop('attention') for row in rows]
    assert [attention['type'] for attention in attentions] == ['SE', 'CoordAtt']
    for row in rows:
        del row['published']
    assert rows[0] == rows[1]


# Published: top-1 in the comparison of widths, and multiply-adds.
@pytest.mark.parametrize(('size', 'top1', 'flops'), [('075', 72.6, 0.21), ('050', 68.7, 0.11)])
def test_figures_of_mobilenext_with_se(size, top1, flops):
    published = read(f'mobilenext_w{size}-se_in1k').published
    assert (published.metrics.top1, published.flops) == (top1, flops)


@pytest.mark.parametrize(
    'name', [name for name in NAMES if 'mobilenetv2' in name and '-se' in name]
)
def test_se_in_mobilenetv2_starts_as_in_the_release(name):
    attention = MODELS.build(dict(read(name).model.backbone.attention, in_channels=960))
    attention.init_weights()
    for linear in (attention.fc[0], attention.fc[2]):
        assert not linear.bias.any()
        std = (2 / linear.out_features) ** 0.5
        assert linear.weight.std().item() == pytest.approx(std, rel=0.05)


def test_mobile_networks_have_the_dropout_of_their_release():
    rates = {'mobilenetv2': 0.1, 'mobilenext': 0.2, 'efficientnet_b0': 0.2}
    for name, rate in rates.items():
        assert read(f'{name}_in1k').model.neck.drop_rate == rate


AFF = ['r50-aff', 'r50-iaff', 'resnext50_32x4d-aff', 'resnext50_32x4d-iaff']


@pytest.fixture
def aff():
    return leaves.load(leaves.named('cls', 'resnext50_32x4d-iaff_in1k'))


def test_all_figures_of_aff_are_of_the_best_epoch():
    figures = [read(f'{name}_in1k').published.metrics.top1 for name in AFF]
    assert figures == [79.7, 79.8, 79.72, 80.22]


def test_aff_differs_in_its_network_alone():
    rows = [read(f'{name}_in1k').to_dict() for name in AFF]
    for row in rows:
        del row['published'], row['model']['backbone']
    assert all(row == rows[0] for row in rows)


def test_aff_sees_no_mixed_images_in_its_last_five_epochs(aff):
    [cfg] = [hook for hook in aff.custom_hooks if hook.type == 'SwitchRecipeHook']
    hook = HOOKS.build(cfg)
    model = SimpleNamespace(data_preprocessor=SimpleNamespace(batch_augments='mixup'))
    runner = SimpleNamespace(epoch=0, model=model, logger=SimpleNamespace(info=str))
    mixed = []
    for runner.epoch in range(aff.train_cfg.max_epochs):
        hook.before_train_epoch(runner)
        mixed.append(model.data_preprocessor.batch_augments == 'mixup')
    assert mixed == [True] * 235 + [False] * 5


def test_aff_warms_up_at_every_iteration(aff):
    """The release logs a rate of 0.000300 after 50 of 2502 iterations, and 0.014989 after 2500."""
    warmup = dict(aff.param_scheduler[0])
    assert (warmup.pop('type'), warmup.pop('convert_to_iter_based')) == ('LinearLR', True)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], aff.optim_wrapper.optimizer.lr)
    scheduler = LinearLR.build_iter_from_epoch(optimizer, epoch_length=2502, **warmup)
    rates = []
    for _ in range(5 * 2502):
        rates.append(optimizer.param_groups[0]['lr'])
        scheduler.step()
    assert rates[0] == pytest.approx(0.075 / 12509, rel=1e-3)
    assert rates[49] == pytest.approx(0.000300, abs=1e-6)
    assert rates[2499] == pytest.approx(0.014989, abs=2e-6)
    assert rates[-1] == pytest.approx(0.075)


def test_aff_starts_as_mxnets_msra_prelu(aff):
    aff.model.backbone.out_indices = (2,)
    model = MODELS.build(aff.model)
    model.init_weights()
    block = model.backbone.layer3[1]
    # Inputs and outputs of one position, and positions.
    for layer, fan_in, fan_out, area in (
        (model.backbone.stem[0], 3, 64, 9),
        (block.conv1, 1024, 512, 1),
        (block.conv2, 16, 512, 9),
        (block.fusion.global_att2[4], 64, 1024, 1),
        (model.head.fc, 2048, 1000, 1),
    ):
        std = (2 / (1 + 0.25**2) / ((fan_in + fan_out) / 2 * area)) ** 0.5
        assert layer.weight.std().item() == pytest.approx(std, rel=0.05)
        assert layer.bias is None or torch.all(layer.bias == 0)
    assert torch.all(block.bn2.weight == 1) and torch.all(block.bn3.weight == 0)


def test_aff_changes_colours_alone(aff):
    kinds = [step.type for step in aff.train_dataloader.dataset.pipeline]
    crop, flip, jitter, _ = aff.train_dataloader.dataset.pipeline[1:5]
    assert kinds == [
        *('LoadImage', 'RandomResizedCrop', 'RandomFlip'),
        *('ColorJitter', 'Lighting', 'PackInputs'),
    ]
    crop = TRANSFORMS.build(crop)
    assert (crop.crop_ratio_range, crop.aspect_ratio_range) == ((0.08, 1.0), (3 / 4, 4 / 3))
    assert (flip.prob, flip.direction) == (0.5, 'horizontal')
    jitter = TRANSFORMS.build(jitter)
    assert jitter.brightness == jitter.contrast == jitter.saturation == (0.6, 1.4)
    assert jitter.hue is None
    preprocessor = aff.model.data_preprocessor
    assert preprocessor.mean == [123.68, 116.779, 103.939]
    assert preprocessor.std == [58.393, 57.12, 57.375]


def test_lighting_of_aff_follows_the_colours_of_imagenet(aff):
    """AlexNet's principal components, red first, times their standard deviations."""
    directions = np.array(
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    )
    lighting = TRANSFORMS.build(aff.train_dataloader.dataset.pipeline[4])
    white = np.full((1, 1, 3), 255, np.float32)
    np.random.seed(0)
    shifts = [lighting(dict(img=white))['img'][0, 0] - 255 for _ in range(2000)]
    found = np.cov(np.array(shifts)[:, ::-1].T)
    covariance = directions @ np.diag([5.546, 0.4794, 0.1148]) ** 2 @ directions.T
    np.testing.assert_allclose(found, covariance, rtol=0.1)
    # An image of whole numbers would be black where it is more than white.
    assert np.max(shifts) > 0


def test_pipeline_of_aff_stays_within_what_colours_do(aff, tmp_path):
    path = tmp_path / 'white.png'
    mmcv.imwrite(np.full((40, 50, 3), 255, np.uint8), str(path))
    steps = [TRANSFORMS.build(step) for step in aff.train_dataloader.dataset.pipeline]
    for seed in range(3):
        np.random.seed(seed)
        results = dict(img_path=str(path), gt_label=0)
        for step in steps:
            results = step(results)
        image = results['inputs']
        assert image.shape == (3, 224, 224) and image.dtype == torch.float32
        assert image.min() > 0.6 * 255 - 40


def test_networks_for_cifar_differ_in_the_network_alone():
    names = ['r26-aff', 'r32-aff', 'resnext38_32x4d-aff', 'inception_b4-aff']
    rows = [read(f'{name}_cifar100-20').to_dict() for name in names]
    for row in rows:
        del row['published'], row['model']['backbone'], row['model']['head']['in_channels']
    assert all(row == rows[0] for row in rows)
    [step] = rows[0]['param_scheduler']
    assert (step['type'], step['milestones'], step['gamma']) == ('MultiStepLR', [300, 350], 0.1)
    assert rows[0]['optim_wrapper']['optimizer']['nesterov']
    assert rows[0]['model']['head']['num_classes'] == 20
