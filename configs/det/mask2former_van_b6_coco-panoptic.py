# Mask2Former + VAN-B6 with 200 queries on COCO panoptic, 50 epochs, from ImageNet-22K weights.
# AdamW at 1e-4, a batch of 16 and large-scale jittering are the paper's; all else, which it does
# not state, is Mask2Former's recipe for Swin-T, the drop path rate of 0.3 included. SyncBN in the
# backbone is chosen here.
_base_ = [
    '../_base_/models/mask2former_van_panoptic.py',
    '../_base_/datasets/coco_panoptic.py',
    '../_base_/schedules/mask2former_50e.py',
    '../_base_/runtime/det_iterations.py',
]

published = dict(
    paper='Visual Attention Network',
    where='section on panoptic segmentation',
    weights='ImageNet-22K',
    metrics=dict(PQ=58.2),
)
depths = (6, 6, 90, 6)
backbone_norm = dict(lr_mult=0.1, decay_mult=0.0)

model = dict(
    backbone=dict(
        arch='b6',
        drop_path_rate=0.3,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b6_in22k'),
    ),
    panoptic_head=dict(in_channels=[96, 192, 384, 768], num_queries=200),
)

# The longest key that a name holds decides, so 'backbone' alone would let the norms decay.
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'backbone.norm': backbone_norm,
            **{f'backbone.patch_embed{i + 1}.norm': backbone_norm for i in range(len(depths))},
            **{
                f'backbone.block{i + 1}.{j}.norm': backbone_norm
                for i, depth in enumerate(depths)
                for j in range(depth)
            },
        },
    ),
)
