# Mask R-CNN on ResNet-50 with PANet's pyramid, which has a way back up.
_base_ = './mask_rcnn_r50_fpn.py'

model = dict(neck=dict(type='PAFPN'))
