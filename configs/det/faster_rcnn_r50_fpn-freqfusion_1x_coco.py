# Faster R-CNN + ResNet-50 whose feature pyramid fuses by FreqFusion, which smooths and enlarges
# the coarse map and sharpens the fine one, where the plain one adds to the nearest. The options
# are those of the released pyramid; its released weights reach 39.5. Images are padded to
# multiples of 64, as released; the recipe is that of the plain Faster R-CNN, in which the total
# batch is 16.
_base_ = [
    '../_base_/models/faster_rcnn_r50_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/det_sgd_1x.py',
    '../_base_/runtime/det.py',
]

published = dict(
    paper='Frequency-aware Feature Fusion for Dense Image Prediction',
    where="authors' README",
    metrics=dict(bbox_mAP=39.4),
)
model = dict(
    data_preprocessor=dict(pad_size_divisor=64),
    neck=dict(
        type='AFFFPN',
        fusion=dict(
            type='FreqFusion',
            # An eighth of the channels of both maps.
            compressed_channels=64,
            feature_resample=True,
            feature_resample_groups=4,
        ),
    ),
)
