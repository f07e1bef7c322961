"""PyTorch, torchvision and the GPU, broken in one way at a time."""

import pytest

from tests.doctor.site import PIP


def answer_as_driver(site, version, *names):
    """Lay down what the driver would answer."""
    script = site.bin / 'nvidia-smi'
    lines = '\n'.join(f'echo "{version}, {name}"' for name in names)
    script.write_text(f'#!/bin/sh\n{lines}\n')
    script.chmod(0o755)


def test_torchvision_for_another_torch(healthy):
    healthy.remove('torchvision')
    healthy.add_torchvision('0.16.2', '+cu121', '2.1.2')
    row = healthy.rows()['torchvision']
    assert row.state == 'broken'
    assert row.remark == 'it is built for torch 2.1.2, and torch is 2.11.0+cu130'
    assert row.remedy == (
        f'{PIP} uninstall -y torchvision && {PIP} install torch==2.11.0 torchvision'
    )


@pytest.mark.parametrize(('version', 'state'), [('0.20.1', 'broken'), ('0.26.0', 'fine')])
def test_torchvision_that_does_not_say_for_which_torch(healthy, version, state):
    files = {'torchvision/__init__.py': '', 'torchvision/ops.py': 'nms = None'}
    healthy.replace('torchvision', version, files)
    assert healthy.rows()['torchvision'].state == state


@pytest.mark.parametrize('build', ['+cpu', '+cu126'])
def test_torchvision_of_another_build(healthy, build):
    healthy.remove('torchvision')
    healthy.add_torchvision('0.26.0', build, '2.11.0')
    row = healthy.rows()['torchvision']
    assert row.state == 'broken'
    assert row.remark == f'it is a build for {build[1:]}, and torch is one for cu130'


def test_build_that_is_not_on_pypi(stock):
    stock.remove('torch')
    stock.remove('torchvision')
    stock.add_torch('2.1.2+cpu', '', None, '0.16.2', ())
    stock.replace('torchvision', '0.16.2+cu118', {'torchvision/__init__.py': ''})
    row = stock.rows()['torchvision']
    assert row.state == 'broken'
    assert row.remedy.endswith(
        'install torch==2.1.2+cpu torchvision --index-url https://download.pytorch.org/whl/cpu'
    )


def test_torchvision_without_its_ops(healthy):
    healthy.write({'torchvision/ops.py': ''})
    row = healthy.rows()['torchvision']
    assert row.state == 'broken' and "cannot import name 'nms'" in row.remark


def test_without_torchvision(healthy):
    healthy.remove('torchvision')
    row = healthy.rows()['torchvision']
    assert row.state == 'absent'
    assert row.remedy == f'{PIP} install torch==2.11.0 torchvision'


def test_torch_is_too_old(stock):
    stock.remove('torch')
    stock.remove('torchvision')
    stock.add_torch('1.13.1', '+cu117', '11.7', '0.14.1')
    row = stock.rows()['torch']
    assert (row.state, row.remark) == ('broken', 'mmattn needs torch 2.1 or newer')


def test_torch_that_cannot_be_imported(healthy):
    healthy.write({'torch/__init__.py': 'raise OSError("libcudnn.so.9: cannot open")'})
    rows = healthy.rows()
    assert rows['torch'].state == 'broken' and 'libcudnn.so.9' in rows['torch'].remark
    assert rows['torch'].remedy == f'{PIP} install --force-reinstall torch==2.11.0'
    assert rows['torchvision'].state == 'not known'


@pytest.mark.parametrize(
    ('driver', 'index'), [('535.104.05', 'cu126'), ('470.82.01', 'cu118')], ids=['12', '11']
)
def test_driver_is_too_old(healthy, driver, index):
    answer_as_driver(healthy, driver, 'NVIDIA A100')
    row = healthy.rows()['GPU']
    assert (row.state, row.version, row.where) == ('broken', f'driver {driver}', 'NVIDIA A100')
    assert 'torch is built for CUDA 13.0, which needs driver 580 or newer' in row.remark
    assert row.remedy.endswith(
        f'install torch torchvision --index-url https://download.pytorch.org/whl/{index}'
    )


def test_torch_without_cuda_beside_a_gpu(healthy):
    healthy.remove('torch')
    healthy.remove('torchvision')
    healthy.add_torch('2.11.0', '+cpu', None, '0.26.0')
    answer_as_driver(healthy, '580.65.06', 'NVIDIA H100')
    rows = healthy.rows()
    assert rows['GPU'].state == 'warning'
    assert rows['GPU'].remark == 'torch is built without CUDA: training runs on the CPU'
    assert rows['NCCL'].state == 'absent'


@pytest.mark.parametrize('sees', [True, False])
def test_gpu_with_a_newer_driver(healthy, sees):
    healthy.write(
        {
            'torch/__init__.py': 'from torch import cuda',
            'torch/cuda.py': f'is_available = lambda: {sees}',
        }
    )
    answer_as_driver(healthy, '580.65.06', 'NVIDIA H100', 'NVIDIA H100')
    row = healthy.rows()['GPU']
    assert row.where == 'NVIDIA H100, NVIDIA H100'
    assert row.state == ('fine' if sees else 'warning')


def test_gpu_without_nvidia_smi(healthy):
    healthy.write(
        {
            'torch/__init__.py': 'from torch import cuda',
            'torch/cuda.py': 'is_available = lambda: True',
        }
    )
    row = healthy.rows()['GPU']
    assert row.state == 'fine' and 'does not answer; torch is built for CUDA 13.0' in row.remark


def test_gpu_is_hidden(healthy, monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    answer_as_driver(healthy, '580.65.06', 'NVIDIA H100')
    row = healthy.rows()['GPU']
    assert row.state == 'warning' and row.remedy == 'unset CUDA_VISIBLE_DEVICES'


@pytest.mark.parametrize('script', ['exit 9', 'echo nonsense', 'echo "No devices were found"'])
def test_driver_does_not_answer(healthy, script):
    (healthy.bin / 'nvidia-smi').write_text(f'#!/bin/sh\n{script}\n')
    (healthy.bin / 'nvidia-smi').chmod(0o755)
    assert healthy.rows()['GPU'].state == 'absent'


def test_nccl_is_another_one(healthy):
    healthy.replace('nvidia-nccl-cu13', '2.21.5', {'nvidia/nccl/lib.so': ''})
    row = healthy.rows()['NCCL']
    assert row.state == 'warning'
    assert row.remark == 'torch 2.11.0 asks for 2.28.9, and nvidia-nccl-cu13 2.21.5 is installed'
    assert row.remedy == f'{PIP} install --no-deps nvidia-nccl-cu13==2.28.9'
