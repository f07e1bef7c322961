# DeepLabV3 + ResNet-50 on ADE20K at output stride 8 with coordinate attention (Coordinate Attention
# for Efficient Mobile Network Design) in the head, on the fusion of the branches of ASPP, ahead of
# the classifier. The paper has attention in the backbone of its DeepLabV3 only. The module starts
# as the identity. The recipe is mmseg's, which reaches 42.66 mIoU without attention. Not measured
# here.
_base_ = [
    '../_base_/models/deeplabv3_r50_d8.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/seg_sgd_160k.py',
    '../_base_/runtime/seg.py',
]

model = dict(
    decode_head=dict(
        _delete_=True,
        type='InsertAttention',
        host={{_base_.model.decode_head}},
        sites=[
            dict(
                after='bottleneck',
                attention=dict(type='CoordAtt', reduction=32, norm_cfg={{_base_.norm_cfg}}),
            ),
        ],
    ),
)

# 4 GPUs x 4 in mmseg.
train_dataloader = dict(batch_size=4)
