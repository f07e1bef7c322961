# UperNet + ResNet-50 with ECA on ADE20K, with mmseg's recipe, which reaches 42.05 mIoU without
# attention. No figure of this network is published, and none was measured here. ECA stands at the
# end of the residual branch of every block, as in its paper, with the kernel sizes of the release's
# ResNet-50: 3, 5, 5 and 7, which is the paper's formula except in the first stage. The ImageNet
# weights of the plain ResNet-50 fit; the attention starts from random values.
_base_ = [
    '../_base_/models/upernet_r50.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/seg_sgd_160k.py',
    '../_base_/runtime/seg.py',
]

model = dict(
    backbone=dict(
        plugins=[
            dict(
                cfg=dict(type='ECA', kernel_size=3),
                stages=(True, False, False, False),
                position='after_conv3',
            ),
            dict(cfg=dict(type='ECA'), stages=(False, True, True, True), position='after_conv3'),
        ],
    ),
)

# 4 GPUs x 4 in mmseg.
train_dataloader = dict(batch_size=4)
