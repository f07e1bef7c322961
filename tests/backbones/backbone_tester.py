"""Questions that every backbone answers; a test class per network inherits them."""

import copy

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch.nn.modules.batchnorm import _BatchNorm

from mmattn.testing import check_backbone


class BackboneTester:
    """A subclass names the network (``cls``), a tiny form of it and its strides."""

    cls: type
    tiny: dict
    strides: tuple[int, ...]
    stage_keys: tuple[str, ...]
    """Names of the modules of each freezable stage, in order; a comma joins several."""

    fillings = dict(
        attention=(dict(type='CoordAtt', reduction=4), dict(type='LKA')),
    )
    """Option that fills the exchangeable slot, with modules that fit."""

    def build(self, **options):
        return self.cls(**{**self.tiny, **options})

    def test_keeps_its_promises(self):
        check_backbone(self.cls, **self.tiny)

    def test_strides(self):
        maps = self.build().eval()(torch.rand(1, 3, 64, 64))
        assert tuple(64 // x.shape[-1] for x in maps) == self.strides

    def test_stages_by_name(self):
        model = self.build()
        names = {module: name for name, module in model.named_modules()}
        stages = [','.join(names[module] for module in stage) for stage in model.stages()]
        assert stages == list(self.stage_keys)

    @pytest.mark.parametrize('scope', ['mmengine', 'mmseg', 'mmdet', 'mmpretrain'])
    def test_builds_in_every_scope(self, scope):
        with DefaultScope.overwrite_default_scope(scope):
            for type_ in {f'mmattn.{self.cls.__name__}', self.name_in(scope)}:
                assert type(MODELS.build(dict(type=type_, **self.tiny))) is self.cls

    def name_in(self, scope):
        return self.cls.__name__

    def test_leaves_the_config_alone(self):
        [(option, [filling, *_])] = self.fillings.items()
        cfg = {**self.tiny, option: filling, 'norm_cfg': dict(type='BN')}
        before = copy.deepcopy(cfg)
        self.cls(**cfg)
        assert cfg == before

    def test_takes_any_filling(self):
        [(option, fillings)] = self.fillings.items()
        for filling in fillings:
            model = self.build(**{option: filling})
            assert any(type(m).__name__ == filling['type'] for m in model.modules())
            model(torch.rand(2, 3, 32, 32))

    def test_filling_starts_as_it_says(self):
        [(option, [filling, *_])] = self.fillings.items()
        init_cfg = dict(type='Constant', layer='Conv2d', val=0.25)
        model = self.build(**{option: {**filling, 'init_cfg': init_cfg}})
        model.init_weights()
        weights = [
            p
            for name, p in model.named_parameters()
            if f'.{self.cls.slot}.' in name and p.dim() == 4
        ]
        assert weights and all(torch.all(weight == 0.25) for weight in weights)

    def test_norm_cfg_reaches_every_norm(self):
        model = self.build(norm_cfg=dict(type='SyncBN', eps=0.25))
        norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
        # The attention module in the slot has a norm_cfg of its own.
        ours = [n for n in norms if not isinstance(n, torch.nn.BatchNorm2d)]
        in_slots = [
            m
            for name, m in model.named_modules()
            if f'.{self.cls.slot}.' in name and isinstance(m, _BatchNorm)
        ]
        assert len(ours) == len(norms) - len(in_slots) > 0
        assert all(norm.eps == 0.25 for norm in ours)
