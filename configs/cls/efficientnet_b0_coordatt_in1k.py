_base_ = './efficientnet_b0-coordatt_in1k.py'
_deprecation_ = dict(
    expected='configs/cls/efficientnet_b0-coordatt_in1k.py', reference='docs/configs.md'
)
