_base_ = './mobilenetv2-cbam_in1k.py'
_deprecation_ = dict(expected='configs/cls/mobilenetv2-cbam_in1k.py', reference='docs/configs.md')
