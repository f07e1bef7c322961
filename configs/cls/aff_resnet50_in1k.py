_base_ = './r50-aff_in1k.py'
_deprecation_ = dict(expected='configs/cls/r50-aff_in1k.py', reference='docs/configs.md')
