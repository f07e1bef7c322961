# FCN + HRNetV2-W18 on ADE20K with coordinate attention (Coordinate Attention for Efficient Mobile
# Network Design) on the maps of the four resolutions, ahead of the 1x1 convolution that fuses them.
# The paper has no HRNet. The modules start as the identity. The recipe is mmseg's, which reaches
# 36.79 mIoU without attention. Not measured here.
_base_ = [
    '../_base_/models/fcn_hr18.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/seg_sgd_160k.py',
    '../_base_/runtime/seg.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='InsertAttention',
        host={{_base_.model.backbone}},
        sites=[
            dict(
                after='',
                attention=dict(type='CoordAtt', reduction=32, norm_cfg={{_base_.norm_cfg}}),
            ),
        ],
    ),
)

# 4 GPUs x 4 in mmseg.
train_dataloader = dict(batch_size=4)
