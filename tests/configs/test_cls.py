import pytest
import torch
from mmengine.registry import MODELS, PARAM_SCHEDULERS

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
        size = cfg.published.get('flops_shape', (224, 224))[0]
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
        ('mobilenetv2-coordatt_in1k', 200, 256, 0.05, 4e-5, None),
        ('mobilenext_in1k', 210, 256, 0.1, 1e-4, 0.0),
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
