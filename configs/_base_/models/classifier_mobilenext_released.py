# MobileNeXt with the label smoothing of its released script.
_base_ = './classifier_mobilenext.py'

model = dict(
    head=dict(
        loss=dict(_delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
    ),
)
