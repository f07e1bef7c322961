# At output stride 16.
_base_ = './deeplabv3_256_mobilenetv2.py'

model = dict(
    backbone=dict(strides=(1, 2, 2, 2, 1, 1, 1), dilations=(1, 1, 1, 1, 1, 2, 2)),
    decode_head=dict(dilations=(1, 6, 12, 18)),
)
