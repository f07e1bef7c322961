# Mask R-CNN + ConvNeXt-T of timm, distilled from DINOv3, with coordinate attention (Coordinate
# Attention for Efficient Mobile Network Design) on the maps that it gives. The backbone is frozen:
# only the attention, the pyramid and the heads train, and no gradient is computed in it. The
# modules start as the identity. It needs the weights, which timm downloads: --cfg-options
# model.backbone.host.pretrained=True. Their licence is that of DINOv3;
# model.backbone.host.model_name=convnext_tiny.fb_in22k has others of the same shapes. Recipe and
# places are ours. Not measured here. Needs mmpretrain and timm.
_base_ = [
    '../_base_/models/mask_rcnn_timm_convnext_t_dinov3_fpn.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/det_adamw_1x.py',
    '../_base_/runtime/det.py',
]

custom_imports = dict(imports=['mmattn', 'mmpretrain.models'])
model = dict(
    backbone=dict(
        _delete_=True,
        type='InsertAttention',
        host={{_base_.model.backbone}},
        sites=[
            dict(
                after='',
                attention=dict(type='CoordAtt', reduction=32, norm_cfg=dict(type='SyncBN')),
            ),
        ],
        freeze_host=True,
    ),
)
