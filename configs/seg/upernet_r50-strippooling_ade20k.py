# UperNet + ResNet-50 with strip pooling on ADE20K, with mmseg's recipe, which reaches 42.05 mIoU
# without attention. No figure of this network is published, and none was measured here. The module
# stands where its release has it: behind the 3x3 convolution, its norm and ReLU, in all blocks of
# the last stage and in the last block of the others. The ImageNet weights are those of the plain
# ResNet-50, and the modules start as the identity.
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
            dict(
                before=r'(layer1\.2|layer2\.3|layer3\.5|layer4\.\d)\.conv3',
                attention=dict(type='StripPooling', norm_cfg={{_base_.norm_cfg}}),
            ),
        ],
    ),
)

# 4 GPUs x 4 in mmseg.
train_dataloader = dict(batch_size=4)
