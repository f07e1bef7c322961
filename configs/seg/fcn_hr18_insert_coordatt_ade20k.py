_base_ = './fcn_hr18-coordatt-insert_ade20k.py'
_deprecation_ = dict(
    expected='configs/seg/fcn_hr18-coordatt-insert_ade20k.py', reference='docs/configs.md'
)
