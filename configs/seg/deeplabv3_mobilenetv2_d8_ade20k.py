# DeepLabV3 + MobileNetV2 on ADE20K at output stride 8, with mmseg's head and recipe: the plain
# network beside those with attention. The published figure is mmseg's, with ImageNet weights;
# without any the backbone starts from random values.
_base_ = [
    '../_base_/models/deeplabv3_512_mobilenetv2_d8.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/seg_sgd_160k.py',
    '../_base_/runtime/seg.py',
]

published = dict(
    paper='MobileNetV2: Inverted Residuals and Linear Bottlenecks',
    where="mmseg's model zoo",
    metrics=dict(mIoU=34.08),
)
model = dict(backbone=dict(attention=None))

# 4 GPUs x 4 in mmseg.
train_dataloader = dict(batch_size=4)
