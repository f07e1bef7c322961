# VAN fine-tuned from ImageNet-22K weights: no mixing of images, a new classifier close to zero.
_base_ = './image_classifier.py'

model = dict(
    # mmpretrain has a VAN of its own, hence the scope.
    backbone=dict(type='mmattn.VAN', drop_path_rate=0.2, out_indices=(3,)),
    head=dict(
        in_channels=512,
        loss=dict(_delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        # The release scales its initial values, of deviation 0.02, by 0.001.
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
)
