_base_ = './resnext50_32x4d-aff_in1k.py'
_deprecation_ = dict(
    expected='configs/cls/resnext50_32x4d-aff_in1k.py', reference='docs/configs.md'
)
