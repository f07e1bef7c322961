# UperNet + ViT-S/16 of timm, distilled from DINOv3, with coordinate attention (Coordinate
# Attention for Efficient Mobile Network Design) on the maps that it gives. The backbone is frozen:
# only the attention, the neck and the heads train, and no gradient is computed in it. The modules
# start as the identity. It needs the weights, which timm downloads: --cfg-options
# model.backbone.host.pretrained=True. Their licence is that of DINOv3. Recipe and places are ours.
# Not measured here. Needs timm.
_base_ = [
    '../_base_/models/upernet_timm_vit_s16_dinov3.py',
    '../_base_/datasets/ade20k_multiple_of_32.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='InsertAttention',
        host={{_base_.model.backbone}},
        sites=[
            dict(
                after='',
                attention=dict(type='CoordAtt', reduction=32, norm_cfg={{_base_.norm_cfg}}),
            ),
        ],
        freeze_host=True,
    ),
)

optim_wrapper = dict(optimizer=dict(lr=1e-4))
