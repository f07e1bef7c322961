"""A model of seconds for each task, with a checkpoint."""

import copy
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from tests.configs.leaves import datasets, load, named

VAN = dict(
    arch=dict(
        _delete_=True, embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), mlp_ratios=(2, 2, 2, 2)
    ),
    drop_path_rate=0.0,
    # Nothing looks for it: the weights are those of the checkpoint.
    init_cfg=dict(type='Pretrained', checkpoint='/nowhere/van.pth'),
)
NECK = dict(in_channels=[8, 8, 16, 16], out_channels=16)
ATTENTION = dict(embed_dims=16, num_heads=2)
DECODER = dict(
    self_attn_cfg=ATTENTION,
    cross_attn_cfg=ATTENTION,
    ffn_cfg=dict(embed_dims=16, feedforward_channels=16),
)
ENCODER = dict(self_attn_cfg=ATTENTION, ffn_cfg=dict(embed_dims=16, feedforward_channels=16))
OPTIONS = {
    'segmentation': dict(
        data_preprocessor=dict(size=(64, 64)),
        backbone=VAN,
        decode_head=dict(in_channels=[8, 8, 16, 16], channels=16),
        auxiliary_head=dict(in_channels=16, channels=8),
    ),
    'detection': dict(
        backbone=VAN,
        neck=NECK,
        bbox_head=dict(in_channels=16, feat_channels=16, stacked_convs=1),
        # A score of an untrained head is below what is kept of a trained one.
        test_cfg=dict(score_thr=0.0, max_per_img=6),
    ),
    'instance': dict(
        backbone=VAN,
        neck=NECK,
        rpn_head=dict(in_channels=16, feat_channels=16),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=16),
            bbox_head=dict(in_channels=16, fc_out_channels=16),
            mask_roi_extractor=dict(out_channels=16),
            mask_head=dict(in_channels=16, conv_out_channels=16, num_convs=1),
        ),
        test_cfg=dict(
            rpn=dict(nms_pre=20, max_per_img=20), rcnn=dict(score_thr=0.0, max_per_img=6)
        ),
    ),
    'panoptic': dict(
        data_preprocessor=dict(batch_augments=None),
        backbone=VAN,
        panoptic_head=dict(
            in_channels=[8, 8, 16, 16],
            feat_channels=16,
            out_channels=16,
            num_queries=20,
            pixel_decoder=dict(
                norm_cfg=dict(num_groups=2),
                encoder=dict(num_layers=1, layer_cfg=ENCODER),
                positional_encoding=dict(num_feats=8),
            ),
            positional_encoding=dict(num_feats=8),
            transformer_decoder=dict(num_layers=2, layer_cfg=DECODER),
        ),
        # Queries of an untrained head are sure of nothing.
        test_cfg=dict(object_mask_thr=0.0, iou_thr=0.0, filter_low_score=False),
    ),
    'classification': dict(backbone=VAN, head=dict(in_channels=16)),
}
NAMES = {
    'segmentation': ('seg', 'upernet_van_b0_ade20k'),
    'detection': ('det', 'retinanet_van_b0_fpn_1x_coco'),
    'instance': ('det', 'mask_rcnn_van_b0_fpn_1x_coco'),
    'panoptic': ('det', 'mask2former_van_b2_coco-panoptic'),
    'classification': ('cls', 'van_b0_in1k'),
}
TASKS = tuple(OPTIONS)


def tiny(task: str) -> Config:
    """Make the config of a model of seconds that sees images of about 64 pixels."""
    cfg = load(named(*NAMES[task]))
    cfg.merge_from_dict(dict(model=copy.deepcopy(OPTIONS[task])))
    inner = (*datasets(cfg.val_dataloader.dataset), *datasets(cfg.test_dataloader.dataset))
    # mmseg's own functions read test_pipeline.
    for pipeline in (*(dataset.pipeline for dataset in inner), cfg.test_pipeline):
        for step in pipeline:
            if step['type'] == 'Resize':
                step['scale'] = (64, 64)
    return cfg


def save(cfg: Config, folder: Path, meta: dict | None = None) -> tuple[str, str]:
    """Write a config, and a checkpoint of a model of it as it is built; give their paths."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    paths = str(folder / 'config.py'), str(folder / 'weights.pth')
    cfg.dump(paths[0])
    torch.save({'state_dict': model.state_dict(), 'meta': meta or {}}, paths[1])
    return paths
