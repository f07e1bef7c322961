# YOLOX-S on maps of the strides 8, 16 and 32.
_base_ = './yolox_s_open.py'

model = dict(backbone=dict(out_indices=(2, 3, 4)), neck=dict(in_channels=[128, 256, 512]))
