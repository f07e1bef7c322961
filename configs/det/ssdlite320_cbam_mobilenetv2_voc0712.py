_base_ = './ssdlite320_mobilenetv2-cbam_voc0712.py'
_deprecation_ = dict(
    expected='configs/det/ssdlite320_mobilenetv2-cbam_voc0712.py', reference='docs/configs.md'
)
