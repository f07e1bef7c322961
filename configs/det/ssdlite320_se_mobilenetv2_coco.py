_base_ = './ssdlite320_mobilenetv2-se_coco.py'
_deprecation_ = dict(
    expected='configs/det/ssdlite320_mobilenetv2-se_coco.py', reference='docs/configs.md'
)
