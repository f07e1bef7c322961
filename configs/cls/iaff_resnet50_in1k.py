_base_ = './r50-iaff_in1k.py'
_deprecation_ = dict(expected='configs/cls/r50-iaff_in1k.py', reference='docs/configs.md')
