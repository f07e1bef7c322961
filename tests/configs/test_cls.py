import pytest

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
        ('mobilenext_in1k', 200, 256, 0.05, 4e-5, None),
        ('r50-iaff_in1k', 240, 512, 0.075, 1e-4, 0.0),
    ],
)
def test_recipe(name, epochs, batch_size, lr, decay, flat):
    cfg = read(name)
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.auto_scale_lr.base_batch_size == batch_size
    assert cfg.optim_wrapper.optimizer.lr == lr
    assert cfg.optim_wrapper.optimizer.weight_decay == decay
    assert cfg.optim_wrapper.get('paramwise_cfg', {}).get('flat_decay_mult') == flat


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


def test_mobile_networks_have_the_dropout_of_their_release():
    rates = {'mobilenetv2': 0.1, 'mobilenext': 0.2, 'efficientnet_b0': 0.2}
    for name, rate in rates.items():
        assert read(f'{name}_in1k').model.neck.drop_rate == rate
