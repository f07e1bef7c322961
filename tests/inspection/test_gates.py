import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from torch import nn

import mmattn
from mmattn.inspection.gates import look, watching
from mmattn.inspection.sites import attention_sites
from tests.inspection.toy import ToyAttentive


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = ToyAttentive().eval()
    nn.init.normal_(model.backbone[1].running_mean, std=0.1)
    return model


@pytest.fixture
def data():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 12, 16), dtype=np.uint8)
    return dict(inputs=[*torch.from_numpy(pixels)])


def see(model, data, images=1, pattern='.*', step='test_step'):
    with watching(model, attention_sites(model, pattern), images) as seen:
        getattr(model, step)(data)
    return seen


def test_gates_are_those_of_the_map_that_came_in(model, data):
    """Each is computed here by the formula of its paper, from maps that hooks copied."""
    maps = {}
    for name in ('coord', 'cbam', 'fusion'):
        getattr(model, name).register_forward_pre_hook(
            lambda module, args, name=name: maps.update({name: [x.clone() for x in args]})
        )
    seen = see(model, data, images=3)
    assert [(each.site, each.index) for each in seen] == [
        (name, i) for name in ('coord', 'cbam', 'fusion') for i in range(3)
    ]
    [x] = maps['coord']
    profile = torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)], 2)
    profile = model.coord.act(model.coord.bn1(model.coord.conv1(profile)))
    rows = model.coord.conv_h(profile[:, :, :6]).sigmoid()
    columns = model.coord.conv_w(profile[:, :, 6:].transpose(2, 3)).sigmoid()
    [x] = maps['cbam']
    channel = model.cbam.ChannelGate.mlp
    channel = (channel(x.mean((2, 3))) + channel(x.amax((2, 3)))).sigmoid()[..., None, None]
    x, y = maps['fusion']
    mean = (x + y).mean((2, 3), keepdim=True)
    weight = model.fusion.local_att(x + y) + model.fusion.global_att(mean)
    expected = dict(rows=rows, columns=columns, channel=channel, weight=weight.sigmoid())
    for each in seen:
        for name in {*each.gates} & {*expected}:
            np.testing.assert_allclose(
                each.gates[name], expected[name][each.index].detach(), rtol=1e-5, err_msg=name
            )
    assert [{*each.gates} for each in seen[::3]] == [
        {'rows', 'columns'},
        {'channel', 'spatial'},
        {'weight'},
    ]


def test_maps_before_and_after_are_means_over_the_channels(model, data):
    kept = []
    model.fusion.register_forward_hook(
        lambda module, args, out: kept.extend(x.clone() for x in (*args, out))
    )
    [seen] = see(model, data, pattern='fusion')
    # The model writes zeros over one of them and rectifies another in place, afterwards.
    for found, x in zip([*seen.before, seen.after], kept, strict=True):
        np.testing.assert_allclose(found, x[0].mean(0).detach(), rtol=1e-6, atol=1e-7)
    assert (seen.type, seen.channels, seen.blend) == ('AFF', 8, None)


def test_tells_the_blend_factor(model, data):
    [seen] = see(model, data, pattern='coord')
    assert seen.blend == 0.25


def test_the_image_is_that_which_the_network_saw(model, data):
    seen = see(model, data, images=2, pattern='cbam')
    for each in seen:
        # It came in as BGR and was turned.
        expected = data['inputs'][each.index].flip(0).permute(1, 2, 0)
        assert np.array_equal(each.image, expected)


@pytest.mark.parametrize('is_turned', [True, False])
def test_colours_are_right_whatever_the_order_in_the_network(data, is_turned):
    model = ToyAttentive()
    model.data_preprocessor._channel_conversion = is_turned
    [seen] = see(model, data, pattern='cbam')
    assert np.array_equal(seen.image, data['inputs'][0].flip(0).permute(1, 2, 0))


def test_a_map_of_something_else_than_images_has_none(model, data):
    class OfBoxes(ToyAttentive):
        def forward(self, inputs, data_samples=None, mode='tensor'):
            return self.cbam(self.backbone(inputs).repeat(4, 1, 1, 1))

    [seen] = see(OfBoxes().eval(), data, images=3, pattern='cbam')
    assert (seen.image, seen.index, seen.maps) == (None, 0, 12)


def test_several_calls_are_several_entries(model, data):
    model.backbone.append(model.cbam)
    seen = see(model, data, pattern=r'backbone\.3')
    assert [each.call for each in seen] == [1, 2]
    assert not np.array_equal(seen[0].gates['channel'], seen[1].gates['channel'])


def test_a_module_inside_of_another_one_is_asked_once(data):
    class Outer(mmattn.ECA):
        def __init__(self, in_channels):
            super().__init__(in_channels)
            self.inner = mmattn.SE(in_channels, reduction=2)

        def attend(self, x):
            return super().attend(self.inner(x))

        def gates(self, x):
            return super().gates(self.inner(x))

    model = ToyAttentive().eval()
    model.cbam = Outer(8)
    assert [each.site for each in see(model, data)] == ['coord', 'cbam.inner', 'cbam', 'fusion']


def test_leaves_nothing_behind(model, data):
    before = {name: x.clone() for name, x in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    assert len(see(model, data)) == 3
    # Nor where the model ends in an error.
    with pytest.raises(TypeError), watching(model, attention_sites(model)):
        model.test_step(dict(inputs=[None]))
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert modes == [module.training for module in model.modules()]
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


def test_asks_for_the_gates_of_evaluation_in_a_training(model):
    """A batch norm would count the map twice else."""
    model.train()
    x = torch.randn(2, 8, 5, 7)
    twin = ToyAttentive()
    twin.load_state_dict(model.state_dict())
    twin.train().coord(x)
    with watching(model, attention_sites(model, 'coord')) as seen:
        model.coord(x)
    assert torch.equal(model.coord.bn1.running_mean, twin.coord.bn1.running_mean)
    assert model.coord.bn1.training
    assert len(seen) == 1


def test_under_autocast_the_gates_are_float32(model, data):
    with torch.autocast('cpu', torch.bfloat16):
        seen = see(model, data)
    assert {gate.dtype for each in seen for gate in each.gates.values()} == {np.dtype('float32')}
    for each, plain in zip(seen, see(model, data), strict=True):
        for name, gate in each.gates.items():
            np.testing.assert_allclose(gate, plain.gates[name], atol=0.03)


def test_works_on_a_model_in_ddp(model, data, tmp_path):
    dist.init_process_group('gloo', f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        wrapped = MMDistributedDataParallel(model)
        seen = see(wrapped, data, step='val_step')
    finally:
        dist.destroy_process_group()
    assert [each.site for each in seen] == ['coord', 'cbam', 'fusion']


def test_looks_through_the_pipeline_of_a_trained_model(model, data):
    class Trained:
        module = model

        def prepare(self, images):
            return dict(inputs=[torch.from_numpy(x).permute(2, 0, 1).flip(0) for x in images])

    image = np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    [seen] = look(Trained(), image, attention_sites(model, 'cbam'))
    assert np.array_equal(seen.image, image)
    assert not torch.is_inference_mode_enabled()


def test_an_image_without_a_preprocessor_is_stretched():
    net = nn.Sequential(nn.Conv2d(3, 8, 1), mmattn.ECA(8))
    x = torch.linspace(-1, 1, 3 * 4 * 5).view(1, 3, 4, 5)
    with watching(net, attention_sites(net)) as seen, torch.no_grad():
        net(x)
    assert seen[0].image.min() == 0
    assert seen[0].image.max() == 255
