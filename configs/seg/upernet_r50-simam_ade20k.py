# UperNet + ResNet-50 with SimAM on ADE20K, with mmseg's recipe, which reaches 42.05 mIoU without
# attention. No figure of this network is published, and none was measured here. As in its release,
# the module stands between the 3x3 convolution of every block and its norm, with the lambda of the
# released ImageNet models. It has no gates to train; it starts as the identity, as the ImageNet
# weights are those of the plain ResNet-50.
_base_ = [
    '../_base_/models/upernet_r50.py',
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
            dict(after=r'layer\d\.\d+\.conv2', attention=dict(type='SimAM', e_lambda=0.1)),
        ],
    ),
)

# 4 GPUs x 4 in mmseg.
train_dataloader = dict(batch_size=4)
