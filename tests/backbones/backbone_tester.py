"""Questions that every backbone answers; a test class per network inherits them."""

import copy
import pickle

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch.nn.modules.batchnorm import _BatchNorm

from tests.helpers import randomize


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

    @pytest.mark.parametrize('size', [(64, 96), (61, 45), (33, 7), (1, 1)], ids=str)
    def test_shapes_at_any_size(self, size):
        model = self.build().eval()
        maps = model(torch.rand(1, 3, *size))
        for x, channels, stride in zip(maps, model.out_channels, self.strides, strict=True):
            # Each halving rounds up, so the whole does.
            assert x.shape == (1, channels, *(-(-side // stride) for side in size))

    @pytest.mark.parametrize(
        ('x', 'got'),
        [
            (torch.rand(1, 3, 0, 64), r'\(1, 3, 0, 64\)$'),
            (torch.rand(1, 3, 64, 0), r'\(1, 3, 64, 0\)$'),
            (torch.rand(1, 4, 64, 64), r'\(1, 4, 64, 64\)$'),
            (torch.ones(1, 3, 64, 64, dtype=torch.uint8), r'\(1, 3, 64, 64\) of torch.uint8$'),
            ([torch.rand(3, 64, 64)], 'got list$'),
        ],
        ids=['no row', 'no column', 'channels', 'uint8', 'list'],
    )
    def test_what_is_no_image(self, x, got):
        model = self.build()
        match = rf'{self.cls.__name__} expected x of shape \(N, 3, H, W\), .*{got}'
        with pytest.raises(ValueError, match=match):
            model(x)

    def test_out_indices_build_and_return_what_is_used(self):
        full = self.build().eval()
        first = self.build(out_indices=full.out_indices[:1]).eval()
        assert len(list(first.parameters())) < len(list(full.parameters()))
        first.load_state_dict(full.state_dict(), strict=True)
        x = torch.rand(1, 3, 64, 64)
        assert first.out_channels == full.out_channels[:1]
        [map_] = first(x)
        assert torch.equal(map_, full(x)[0])

    @pytest.mark.parametrize('out_indices', [(), (0, 99), (1, 0), (0, 0), (-1,)], ids=str)
    def test_wrong_out_indices(self, out_indices):
        with pytest.raises(ValueError, match='out_indices in rising order'):
            self.build(out_indices=out_indices)

    def test_every_parameter_gets_a_gradient(self):
        model = randomize(self.build()).train()
        sum(x.square().mean() for x in model(torch.rand(2, 3, 64, 64))).backward()
        assert [name for name, p in model.named_parameters() if p.grad is None] == []
        assert all(p.grad.isfinite().all() for p in model.parameters())

    def test_train_returns_the_module(self):
        model = self.build()
        assert model.train() is model
        assert model.eval() is model

    def test_frozen_stages(self):
        for last in range(-1, len(self.stage_keys)):
            model = self.build(frozen_stages=last).train()
            frozen = [
                f'{part}.' for keys in self.stage_keys[: last + 1] for part in keys.split(',')
            ]
            for name, parameter in model.named_parameters():
                assert parameter.requires_grad == (not name.startswith(tuple(frozen)))
            for name, module in model.named_modules():
                assert module.training == (not f'{name}.'.startswith(tuple(frozen)))

    @pytest.mark.parametrize('frozen_stages', [-2, 99])
    def test_wrong_frozen_stages(self, frozen_stages):
        with pytest.raises(ValueError, match=f'frozen_stages from -1 to .*, got {frozen_stages}'):
            self.build(frozen_stages=frozen_stages)

    def test_norm_eval(self):
        model = self.build(norm_eval=True).train()
        norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
        assert norms and not any(norm.training for norm in norms)
        assert model.training

    def test_with_cp_changes_memory_only(self):
        plain = randomize(self.build()).double().train()
        saving = self.build(with_cp=True).double().train()
        saving.load_state_dict(plain.state_dict())
        x = torch.rand(2, 3, 64, 64, dtype=torch.float64)
        saved = {}
        for model in (plain, saving):
            count = [0]

            def pack(tensor, count=count):
                count[0] += tensor.numel()
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                maps = model(x)
            saved[model] = count[0]
            sum(m.square().mean() for m in maps).backward()
        assert saved[saving] < saved[plain]
        for (name, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, msg=lambda m, name=name: f'{name}: {m}')
        for (name, a), b in zip(plain.named_buffers(), saving.buffers(), strict=True):
            torch.testing.assert_close(a, b, msg=lambda m, name=name: f'{name}: {m}')

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

    def test_mistyped_option(self):
        with pytest.raises(TypeError, match='out_indixes'):
            self.build(out_indixes=(0,))

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

    def test_copies_and_pickles(self):
        model = self.build().eval()
        x = torch.rand(1, 3, 32, 32)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert all(torch.equal(a, b) for a, b in zip(other(x), model(x), strict=True))

    def test_memory_format_is_kept(self):
        model = self.build().eval()
        x = torch.rand(2, 3, 64, 64)
        expected = model(x)
        assert all(m.is_contiguous() for m in expected)
        model.to(memory_format=torch.channels_last)
        for m, e in zip(model(x.to(memory_format=torch.channels_last)), expected, strict=True):
            assert m.is_contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(m, e, rtol=1e-4, atol=1e-5)
