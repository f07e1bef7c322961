"""Programs of torch.export, mostly by what a process without OpenMMLab makes of them."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from mmattn.deploy import program
from mmattn.deploy.deployment import batch_of, image_for
from mmattn.deploy.graph import Graph, graph_of
from mmattn.errors import InputError
from mmattn.ops.activation import activated
from tests.deploy.conftest import OTHER, SEGMENTOR, SIZE
from tests.helpers import needs_torch

pytestmark = needs_torch('2.6', 'exporting')

ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'mmattn', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain'}:
            raise AssertionError(name)

sys.meta_path.insert(0, Refuse())
import numpy, torch

_, path, *pairs = sys.argv
run = torch.export.load(path).module()
for image, out in zip(pairs[::2], pairs[1::2]):
    numpy.savez(out, *[each.numpy() for each in run(torch.from_numpy(numpy.load(image)))])
"""


@pytest.mark.parametrize('task', [SEGMENTOR, 'classification'])
def test_runs_without_mmattn_at_any_size(deployed, model, tmp_path, task):
    path, _ = deployed(task, 'export')
    loaded = model(task)
    command, expected = [sys.executable, '-c', ALONE, str(path)], []
    for i, size in enumerate((SIZE, OTHER)):
        image = image_for(loaded, size, given=True)
        np.save(tmp_path / f'{i}.npy', image.numpy())
        command += [str(tmp_path / f'{i}.npy'), str(tmp_path / f'{i}.npz')]
        [arrays] = loaded.run(batch_of(loaded, image))
        expected.append(arrays)
    subprocess.run(command, check=True, cwd=tmp_path, timeout=120)
    for i, arrays in enumerate(expected):
        with np.load(tmp_path / f'{i}.npz') as found:
            if task == 'segmentation':
                assert np.array_equal(found['arr_0'][0], arrays['masks'])
            else:
                scores = found['arr_0'][0][arrays['labels']]
                np.testing.assert_allclose(scores, arrays['scores'], rtol=1e-5, atol=1e-6)


def test_says_what_it_cannot_follow():
    class Deciding(Graph):
        def __init__(self):
            torch.nn.Module.__init__(self)

        def forward(self, image):
            return image * 2 if image.sum() > 0 else image

    with pytest.raises(InputError, match=r'cannot follow this model \(\w+: .*\); predict with its'):
        program.trace(Deciding(), torch.ones(1, 3, 40, 40), dynamic=False)


def test_refuses_what_is_damaged(tmp_path):
    (tmp_path / 'x.pt2').write_bytes(b'PK nothing')
    with pytest.raises(InputError, match=r'x.pt2 is damaged, or no program of torch.export'):
        program.read(str(tmp_path / 'x.pt2'))


def test_refuses_the_program_of_somebody_else(model, tmp_path):
    traced = program.trace(
        graph_of(model('classification')),
        image_for(model('classification'), SIZE, given=True),
        dynamic=False,
    )
    torch.export.save(traced, tmp_path / 'x.pt2')
    with pytest.raises(InputError, match='does not say what it is'):
        program.read(str(tmp_path / 'x.pt2'))


class Sizes(torch.nn.Module):
    """What does the same at any size, but asks for it in Python."""

    least = 33

    def forward(self, image):
        """Apply a GELU, which is faster in another way on large maps, and subsample as FPN does."""
        x = image.to(memory_format=torch.channels_last)
        return torch.nn.functional.max_pool2d(activated(torch.nn.GELU(), x), 1, stride=2)


def test_is_for_all_sizes_whatever_size_it_is_traced_with():
    module = Sizes()
    traced = program.trace(module, torch.rand(1, 3, 40, 51), dynamic=True).module()
    for size in ((41, 50), (400, 301)):
        image = torch.rand(1, 3, *size)
        torch.testing.assert_close(traced(image), module(image))


def test_says_which_size_it_cannot_do(tmp_path):
    class Even(torch.nn.Module):
        def forward(self, image):
            torch._check(image.shape[2] % 2 == 0)
            return (image * 2,)

    sides = {2: torch.export.Dim('height', min=33, max=99)}
    traced = torch.export.export(
        Even(),
        (torch.rand(1, 3, 40, 51),),
        dynamic_shapes=(sides,),
        prefer_deferred_runtime_asserts_over_guards=True,
    )
    program.write(traced, tmp_path / 'x.pt2', '{"format": 1}')
    run, _ = program.read(str(tmp_path / 'x.pt2'))
    with pytest.raises(InputError, match=r'x.pt2 cannot compute an image of 51x41 \(.*deploy'):
        run(np.zeros((1, 3, 41, 51), np.float32))
