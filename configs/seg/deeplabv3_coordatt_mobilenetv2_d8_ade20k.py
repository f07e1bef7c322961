# DeepLabV3 + CoordAtt-MobileNetV2 on ADE20K at output stride 8, with mmseg's recipe for
# MobileNetV2, which reaches 34.08 mIoU at stride 8 without attention. The paper has no figure on
# ADE20K, and none was measured here.
_base_ = [
    '../_base_/models/deeplabv3_coordatt_mobilenetv2.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/seg_sgd_160k.py',
    '../_base_/runtime/seg.py',
]

train_dataloader = dict(batch_size=4)
