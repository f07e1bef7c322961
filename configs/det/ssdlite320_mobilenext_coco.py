# SSDLite320 + MobileNeXt on COCO. As in the released code, the maps of stride 16 and 32 are taken
# inside blocks, behind the expansion and ahead of the last depthwise convolution; only the extra
# levels follow from the output of the last block. The published accuracy is with ImageNet weights;
# without any the backbone starts from random values.
_base_ = [
    '../_base_/models/ssdlite320_mobilenetv2_coco.py',
    '../_base_/datasets/coco_ssd_320.py',
    '../_base_/schedules/ssd_coco_200k.py',
    '../_base_/runtime/det_iterations.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    parameters=4.4,
    flops_shape=(320, 320),
    metrics=dict(bbox_mAP=23.3),
    difference='4.52 M with 576 channels at stride 16, as the release reads; 384 would make 4.41 M',
)
model = dict(
    backbone=dict(type='MobileNeXt', out_indices=(5, 7), expanded=(5, 7)),
    neck=dict(
        in_channels=(576, 1280, 1280),
        extra_channels=(512, 256, 256, 128),
        num_levels=2,
        ratios=(0.2, 0.25, 0.5, 0.5),
        block='sandglass',
    ),
    bbox_head=dict(in_channels=(576, 1280, 512, 256, 256, 128)),
)
