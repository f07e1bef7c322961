# UperNet + ResNet-50 with SimAM on ADE20K, with mmseg's recipe, which reaches 42.05 mIoU without
# attention. No figure of this network is published, and none was measured here. The module stands
# behind the 3x3 convolution of every block; in its release it is in front of the norm of that
# convolution, here behind norm and ReLU, where mmseg's plugins are. The ImageNet weights of the
# plain ResNet-50 fit: the module has no parameters.
_base_ = [
    '../_base_/models/upernet_r50.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/seg_sgd_160k.py',
    '../_base_/runtime/seg.py',
]

model = dict(
    backbone=dict(
        plugins=[dict(cfg=dict(type='SimAM'), position='after_conv2')],
    ),
)

# 4 GPUs x 4 in mmseg.
train_dataloader = dict(batch_size=4)
