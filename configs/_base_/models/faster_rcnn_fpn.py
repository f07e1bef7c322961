# Faster R-CNN for the 80 classes of COCO; the backbone and the neck's in_channels are left open.
_base_ = './rcnn_fpn.py'

model = dict(
    type='FasterRCNN',
    train_cfg=dict(rcnn=dict(assigner=dict(match_low_quality=False))),
)
