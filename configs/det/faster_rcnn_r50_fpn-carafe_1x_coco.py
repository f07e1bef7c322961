# Faster R-CNN + ResNet-50 whose feature pyramid enlarges by CARAFE, reassembly by predicted
# kernels, in plain PyTorch. Images are padded to multiples of 64, as in mmdet's config, whose
# figure this is; the recipe is that of the plain Faster R-CNN.
_base_ = [
    '../_base_/models/faster_rcnn_r50_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/det_sgd_1x.py',
    '../_base_/runtime/det.py',
]

published = dict(
    paper='CARAFE: Content-Aware ReAssembly of FEatures',
    where="mmdet's metafile, trained by mmdet",
    metrics=dict(bbox_mAP=38.6),
)
model = dict(
    data_preprocessor=dict(pad_size_divisor=64),
    neck=dict(
        type='AFFFPN',
        upsample=dict(type='CARAFE', up_kernel=5, encoder_kernel=3, compressed_channels=64),
        fusion=dict(type='AddFusion'),
    ),
)
