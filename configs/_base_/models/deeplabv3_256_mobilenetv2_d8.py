# DeepLabV3 on MobileNetV2 at output stride 8 with the parameters of the published one: ASPP with
# 256 channels, a 1x1 convolution behind it, no second head.
_base_ = './deeplabv3_512_mobilenetv2_d8.py'

model = dict(
    decode_head=dict(type='DeepLabV3Head', channels=256),
    auxiliary_head=None,
)
