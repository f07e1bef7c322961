_base_ = './fpn-aff_r50_ade20k.py'
_deprecation_ = dict(expected='configs/seg/fpn-aff_r50_ade20k.py', reference='docs/configs.md')
