# SSDLite320 + MobileNeXt on PASCAL VOC, trained on 2007 and 2012. As in the released code, the maps
# of stride 16 and 32 are taken inside blocks, behind the expansion and ahead of the last depthwise
# convolution; only the extra levels follow from the output of the last block. The published
# accuracy is with ImageNet weights; without any the backbone starts from random values. The
# released table says 300 pixels, the config 320.
_base_ = [
    '../_base_/models/ssdlite320_mobilenetv2_voc.py',
    '../_base_/datasets/voc0712_ssd_320.py',
    '../_base_/schedules/ssd_voc_60k.py',
    '../_base_/runtime/det_iterations.py',
]

published = dict(
    paper='Rethinking Bottleneck Structure for Efficient Mobile Network Design',
    where="README of the authors' SSDLite",
    flops_shape=(320, 320),
    metrics=dict(mAP=72.6),
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
