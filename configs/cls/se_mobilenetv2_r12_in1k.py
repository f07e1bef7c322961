_base_ = './mobilenetv2-se-r12_in1k.py'
_deprecation_ = dict(expected='configs/cls/mobilenetv2-se-r12_in1k.py', reference='docs/configs.md')
