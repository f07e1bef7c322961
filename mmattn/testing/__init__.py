"""The contract of modules and networks, for those of other packages too; it needs no pytest."""

from mmattn.testing.attention import check_attention
from mmattn.testing.backbone import check_backbone
from mmattn.testing.fusion import check_fusion
from mmattn.testing.upsampling import check_upsampling

__all__ = ['check_attention', 'check_backbone', 'check_fusion', 'check_upsampling']
