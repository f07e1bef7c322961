# At output stride 8.
_base_ = './deeplabv3_256_mobilenetv2.py'

model = dict(
    backbone=dict(strides=(1, 2, 2, 1, 1, 1, 1), dilations=(1, 1, 1, 2, 2, 4, 4)),
    decode_head=dict(dilations=(1, 12, 24, 36)),
)
