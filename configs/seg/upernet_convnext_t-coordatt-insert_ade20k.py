# UperNet + ConvNeXt-T on ADE20K with coordinate attention (Coordinate Attention for Efficient
# Mobile Network Design) behind the depthwise convolution of every block, as in the paper's mobile
# networks; it has no ConvNeXt. The modules start as the identity. The recipe is mmseg's, with a
# lower rate for earlier stages, which reaches 46.11 mIoU without attention and with --amp. Not
# measured here. Needs mmpretrain.
_base_ = [
    '../_base_/models/upernet_convnext_t.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

custom_imports = dict(imports=['mmattn', 'mmpretrain.models'])
model = dict(
    backbone=dict(
        _delete_=True,
        type='InsertAttention',
        host={{_base_.model.backbone}},
        sites=[
            dict(
                after=r'stages\.\d\.\d+\.depthwise_conv',
                attention=dict(type='CoordAtt', reduction=32, norm_cfg={{_base_.norm_cfg}}),
            ),
        ],
    ),
    # Overlapping windows.
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)

optim_wrapper = dict(
    constructor='LearningRateDecayOptimizerConstructor',
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(_delete_=True, decay_rate=0.9, decay_type='stage_wise', num_layers=6),
)
