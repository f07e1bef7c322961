# DeepLabV3 + MobileNetV2 with SE on ADE20K at output stride 16, with mmseg's head and recipe for
# MobileNetV2 as in deeplabv3_mobilenetv2_d8_ade20k.py. The paper has no figure on ADE20K, and none
# was measured here. SE has ReLU6 in its bottleneck, as in the authors' code.
_base_ = [
    '../_base_/models/deeplabv3_512_mobilenetv2_d16.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/seg_sgd_160k.py',
    '../_base_/runtime/seg.py',
]

model = dict(backbone=dict(attention=dict(type='SE', reduction=24, act_cfg=dict(type='ReLU6'))))

# 4 GPUs x 4 in mmseg.
train_dataloader = dict(batch_size=4)
