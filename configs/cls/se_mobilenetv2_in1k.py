_base_ = './mobilenetv2-se_in1k.py'
_deprecation_ = dict(expected='configs/cls/mobilenetv2-se_in1k.py', reference='docs/configs.md')
