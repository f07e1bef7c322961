_base_ = './mobilenetv2_w075-se_in1k.py'
_deprecation_ = dict(
    expected='configs/cls/mobilenetv2_w075-se_in1k.py', reference='docs/configs.md'
)
