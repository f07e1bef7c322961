"""The detection configs: published recipes, places of the modules, what is trained how."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmattn.layers.plugins import let_train, plugins_of
from tests.configs import leaves
from tests.configs.leaves import build_part

NAMES = leaves.names('det')
PLAIN = leaves.CONFIGS / '_base_' / 'models' / 'mask_rcnn_r50_fpn.py'
# Where each attention module stands in a bottleneck.
PLUGINS = {
    'SE': 'after_conv3',
    'ECA': 'after_conv3',
    'CBAM': 'after_conv3',
    'GlobalContext': 'after_conv3',
    'TripletAttention': 'after_conv3',
    'CoordAtt': 'after_conv2',
    'MSCAM': 'after_conv3',
}
WITH_PLUGINS = {f'mask_rcnn_r50-{kind.lower()}_fpn_1x_coco': kind for kind in PLUGINS}
each_with_plugins = pytest.mark.parametrize('name', WITH_PLUGINS)
SSDLITE = (*(f'mobilenetv2{kind}' for kind in ('', '-se', '-cbam', '-coordatt')), 'mobilenext')


def load(name: str) -> Config:
    return leaves.load(leaves.named('det', name))


def options_of(cfg: Config, model: nn.Module) -> dict[str, dict]:
    """Map the name of each parameter to the options that the optimizer has for it."""
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    options = {id(p): group for group in groups for p in group['params']}
    return {name: options[id(p)] for name, p in model.named_parameters()}


@pytest.mark.parametrize(
    'name', [name for name in NAMES if '_van_' in name and 'mask2' not in name]
)
def test_recipe_of_van(name):
    cfg = load(name)
    epochs, milestones = (36, [27, 33]) if '_3x_' in name else (12, [8, 11])
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.param_scheduler[-1].end == epochs
    assert cfg.param_scheduler[-1].milestones == milestones
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 1e-4, 0.05)
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 16
    backbone = cfg.model.backbone
    assert backbone.drop_path_rate == (0.3 if backbone.arch in ('b2', 'b3') else 0.1)
    assert backbone.stage_norm_cfg.eps == 1e-5
    sizes = [t.type for t in cfg.train_dataloader.dataset.pipeline]
    assert ('RandomChoice' in sizes) == ('_3x_' in name)


@pytest.mark.parametrize('name', [n for n in NAMES if '_mscan_' in n or '_lsknet_' in n])
def test_recipe_of_the_kin_of_van(name):
    cfg = load(name)
    size = name.split('_')[3]
    epochs, images = cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size
    assert (epochs, cfg.param_scheduler[-1].milestones) == (12, [8, 11])
    assert cfg.model.backbone.arch == size
    assert cfg.model.backbone.drop_path_rate == (0.3 if 'mscan_l' in name else 0.1)
    # Only LSKNet drops values.
    assert cfg.model.backbone.get('drop_rate', 0) == (0.1 if '_lsknet_' in name else 0)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.weight_decay) == ('AdamW', 0.05)
    # The release trains the small one on 8 images, the tiny one on 16 at twice the rate.
    small = name == 'faster_rcnn_lsknet_s_fpn_1x_dota'
    assert optimizer.lr == (2e-4 if name == 'faster_rcnn_lsknet_t_fpn_1x_dota' else 1e-4)
    assert cfg.auto_scale_lr.base_batch_size == 8 * images == (8 if small else 16)


@pytest.mark.parametrize('size', ['t', 's'])
def test_dota_is_flipped_three_ways_and_has_fifteen_classes(size):
    cfg = load(f'faster_rcnn_lsknet_{size}_fpn_1x_dota')
    [flip] = [t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'RandomFlip']
    assert flip.direction == ['horizontal', 'vertical', 'diagonal']
    assert cfg.model.roi_head.bbox_head.num_classes == len(
        cfg.train_dataloader.dataset.metainfo.classes
    )


ENLARGED = {'dysample': 'DySample', 'carafe': 'CARAFE', 'freqfusion': 'FreqFusion'}


@pytest.mark.parametrize('kind', ENLARGED)
def test_plain_weights_fit_a_pyramid_that_enlarges_otherwise(kind):
    cfg = load(f'faster_rcnn_r50_fpn-{kind}_1x_coco').model.neck
    neck = build_part(cfg)
    found = [m for m in neck.modules() if type(m) is MODELS.get(ENLARGED[kind])]
    # One for each step from one level down to the next.
    assert len(found) == 3
    plain = {key: cfg[key] for key in cfg if key not in ('upsample', 'fusion')}
    plain['type'] = 'FPN'
    theirs, ours = build_part(plain).state_dict(), neck.state_dict()
    assert theirs.keys() < ours.keys()
    assert all(value.shape == ours[key].shape for key, value in theirs.items())


def test_headers_of_van_name_what_is_chosen_here_and_what_the_nearest_code_has():
    names = [name for name in NAMES if '_van_' in name and 'mask2' not in name]
    assert len(names) == 12
    for path in (leaves.named('det', name) for name in names):
        header = path.read_text().partition('_base_ =')[0].replace('\n#', '')
        assert 'all are chosen here, SyncBN and norms without decay among them' in header, path
        assert 'LSKA, has BN, lets norms decay, and has a warmup of 1000 iterations' in header, path
        assert header.rstrip().endswith('and a drop path rate of 0.1.'), path
        cfg = leaves.read(path)
        assert cfg.model.backbone.norm_cfg.type == 'SyncBN', path
        assert cfg.optim_wrapper.paramwise_cfg.custom_keys == {'norm': {'decay_mult': 0.0}}, path
        assert cfg.param_scheduler[0].end == 500, path


# Queries, and the blocks of the backbone, of which each has keys of its own.
@pytest.mark.parametrize(('arch', 'queries', 'blocks'), [('b2', 100, 21), ('b6', 200, 108)])
def test_recipe_of_mask2former(arch, queries, blocks):
    cfg = load(f'mask2former_van_{arch}_coco-panoptic')
    assert cfg.model.panoptic_head.num_queries == queries
    assert cfg.train_cfg.max_iters == 368750
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 16
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 1e-4, 0.05)
    keys = cfg.optim_wrapper.paramwise_cfg.custom_keys
    norms = [value for key, value in keys.items() if key.endswith('norm')]
    # With those of four patch embeddings and of the ends of the stages.
    assert norms == [dict(lr_mult=0.1, decay_mult=0.0)] * (blocks + 4 + 1)
    model = leaves.build(leaves.named('det', f'mask2former_van_{arch}_coco-panoptic'))
    assert model.panoptic_head.query_feat.num_embeddings == queries
    assert sum(len(getattr(model.backbone, f'block{i}')) for i in (1, 2, 3, 4)) == blocks


@pytest.mark.parametrize(
    'name',
    [
        'mask_rcnn_van_b0_fpn_1x_coco',
        'mask2former_van_b2_coco-panoptic',
        pytest.param('mask2former_van_b6_coco-panoptic', marks=pytest.mark.slow),
    ],
)
def test_norms_do_not_decay_and_all_else_of_the_backbone_does(name):
    cfg = load(name)
    model = leaves.build(leaves.named('det', name))
    options = options_of(cfg, model)
    norms = {
        f'{prefix}.{key}'
        for prefix, module in model.backbone.named_modules()
        if isinstance(module, _BatchNorm | nn.LayerNorm)
        for key, _ in module.named_parameters()
    }
    assert norms
    for key, _ in model.backbone.named_parameters():
        assert (options[f'backbone.{key}']['weight_decay'] == 0) == (key in norms), key


def test_mask2former_has_a_tenth_of_the_rate_in_its_backbone():
    path = leaves.named('det', 'mask2former_van_b2_coco-panoptic')
    for name, group in options_of(leaves.load(path), leaves.build(path)).items():
        assert group['lr'] == pytest.approx(1e-5 if name.startswith('backbone.') else 1e-4), name


def test_knows_every_config_with_plugins():
    backbones = {name: leaves.read(leaves.named('det', name)).model.backbone for name in NAMES}
    assert {name for name, cfg in backbones.items() if 'plugins' in cfg} == set(WITH_PLUGINS)


@each_with_plugins
def test_place_of_the_attention_in_resnet(name):
    cfg = load(name)
    [plugin] = cfg.model.backbone.plugins
    assert plugin.position == PLUGINS[WITH_PLUGINS[name]]
    # From plain ImageNet weights, in the stages that are trained.
    assert plugin.cfg.start == 'identity'
    assert plugin.stages == (False, True, True, True)
    attention = MODELS.get(WITH_PLUGINS[name])
    blocks = leaves.build(leaves.named('det', name)).backbone.layer4
    assert [any(isinstance(m, attention) for m in block.modules()) for block in blocks] == [
        True
    ] * 3


@each_with_plugins
def test_plugins_are_trained_and_the_backbone_is_as_in_the_plain_detector(name):
    cfg, plain = load(name), leaves.read(PLAIN).model.backbone
    assert {**cfg.model.backbone, 'plugins': None} == {**plain, 'plugins': None}
    assert [hook.type for hook in cfg.custom_hooks] == ['KeepAttentionTraining']
    backbone = build_part(cfg.model.backbone)
    backbone.train()  # mmdet's returns None
    plugins = plugins_of(backbone)
    assert len(plugins) == 4 + 6 + 3
    let_train(plugins)
    assert all(m.training for plugin in plugins.values() for m in plugin.modules())
    frozen = {key.split('.')[0] for key, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {'conv1', 'bn1', 'layer1'}


def test_fusions_are_trained_and_the_first_stage_is_not():
    backbone = build_part(load('mask_rcnn_r50-aff_fpn_1x_coco').model.backbone)
    backbone.train()
    frozen = {key.split('.')[0] for key, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {'conv1', 'bn1', 'layer1'}
    for stage in (backbone.layer2, backbone.layer3, backbone.layer4):
        assert all(module.training for module in stage.modules())


@pytest.mark.parametrize('backbone', SSDLITE)
@pytest.mark.parametrize(
    ('data', 'classes', 'batch', 'gpus', 'lr', 'iterations', 'focal'),
    [
        ('coco', 80, 32, 8, 0.08, 200000, True),
        ('voc0712', 20, 24, 4, 0.004, 60000, False),
    ],
)
def test_recipe_of_ssdlite(backbone, data, classes, batch, gpus, lr, iterations, focal):
    cfg = load(f'ssdlite320_{backbone}_{data}')
    assert cfg.model.bbox_head.num_classes == classes
    assert ('loss_cls' in cfg.model.bbox_head) == focal
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr.base_batch_size == batch * gpus
    assert cfg.optim_wrapper.optimizer.lr == lr
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[-1].end == iterations


@pytest.mark.parametrize(
    ('data', 'rates'),
    [
        # 0.08 on its cosine, from a third of it for 500 iterations.
        ('coco', {0: 0.026667, 250: 0.053387, 50000: 0.068284, 100000: 0.04, 150000: 0.011716}),
        ('voc0712', {0: 0.0005332, 20000: 0.004, 40000: 0.0004, 50000: 0.00004}),
    ],
)
def test_rates_of_ssdlite_are_those_of_its_release(data, rates):
    cfg = load(f'ssdlite320_mobilenext_{data}')
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], cfg.optim_wrapper.optimizer.lr)
    optimizer.step()
    schedulers = [
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
        for scheduler in cfg.param_scheduler
    ]
    for i in range(max(rates) + 1):
        if i in rates:
            assert optimizer.param_groups[0]['lr'] == pytest.approx(rates[i], rel=1e-3), i
        for scheduler in schedulers:
            scheduler.step()


each_ssdlite = pytest.mark.parametrize(
    'name', [name for name in NAMES if name.startswith('ssdlite')]
)


@each_ssdlite
def test_images_of_ssdlite_are_as_released(name):
    """The mean is subtracted and then divided by, whatever the release calls it."""
    cfg = load(name)
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    white = preprocessor(dict(inputs=[torch.full((3, 2, 2), 255, dtype=torch.uint8)]))['inputs']
    expected = torch.tensor([(255 - 123) / 58.395, (255 - 117) / 57.12, (255 - 104) / 57.375])
    torch.testing.assert_close(white[0, :, 0, 0], expected)
    for dataset in leaves.datasets(cfg.train_dataloader.dataset):
        [crop] = [t for t in dataset.pipeline if t.type == 'MinIoURandomCrop']
        assert crop.min_ious == (0.1, 0.3, 0.7, 0.9)
        [expand] = [t for t in dataset.pipeline if t.type == 'Expand']
        assert expand.mean == [123, 117, 104]


@each_ssdlite
def test_loss_of_ssdlite_is_as_released(name):
    head = load(name).model.bbox_head
    if 'voc' in name:
        assert 'loss_cls' not in head and 'loss_bbox' not in head
        assert load(name).model.train_cfg.neg_pos_ratio == 3
        return
    assert head.loss_cls == dict(
        type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=5.0
    )
    loss_bbox = MODELS.build(head.loss_bbox)
    # On both sides of 1, where the parabola ends.
    deltas = torch.tensor([[0.05, -0.5, 1.0, 3.0]])
    found = loss_bbox(deltas, torch.zeros(1, 4), avg_factor=1)
    torch.testing.assert_close(found, torch.tensor(0.00125 + 0.125 + 0.5 + 2.5))


@each_ssdlite
def test_levels_of_ssdlite(name):
    cfg = load(name)
    model = MODELS.build(dict(cfg.model, init_cfg=None)).eval()
    with torch.no_grad():
        maps = model.extract_feat(torch.rand(1, 3, 320, 320))
        model.bbox_head(maps)
    assert [x.shape[-1] for x in maps] == [20, 10, 5, 3, 2, 1]
    assert [x.shape[1] for x in maps] == list(model.bbox_head.in_channels)


@pytest.mark.parametrize('data', ['coco', 'voc0712'])
def test_taps_of_ssdlite_in_mobilenext_are_those_of_the_release(data):
    model = MODELS.build(load(f'ssdlite320_mobilenext_{data}').model).eval()
    last = model.backbone.layer8[0]
    seen = {}
    last.bottleneck.register_forward_hook(lambda m, args, out: seen.update(expanded=out))
    last.dw2.register_forward_hook(lambda m, args, out: seen.update(filtered=out))
    model.neck.extras[0].register_forward_hook(lambda m, args, out: seen.update(extra=args[0]))
    with torch.no_grad():
        maps = model.extract_feat(torch.rand(1, 3, 320, 320))
    assert torch.equal(maps[1], seen['expanded'])
    assert torch.equal(seen['extra'], seen['filtered'])
