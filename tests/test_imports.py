"""What an import needs, each asked of a fresh interpreter."""

import subprocess
import sys

import pytest

OPTIONAL = ('mmdet', 'mmseg', 'mmpretrain', 'timm', 'triton', 'onnx', 'mmcv._ext', 'mmcv.ops')

REFUSE = f"""
import builtins, sys
real = builtins.__import__
def refuse(name, *args, **kwargs):
    if any(name == n or name.startswith(n + '.') for n in {OPTIONAL}):
        # PyTorch and mmcv look for some of these themselves and do without them.
        raise ModuleNotFoundError(f'{{name}} is refused here', name=name)
    return real(name, *args, **kwargs)
builtins.__import__ = refuse
"""


def python(code):
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)


def test_needs_torch_mmengine_and_mmcv_without_ops_only():
    code = 'import mmattn, torch; [x] = mmattn.VAN("b0", out_indices=[0])(torch.rand(1, 3, 32, 32))'
    done = python(f'{REFUSE}{code}; print(*x.shape)')
    assert done.returncode == 0, done.stderr
    assert done.stdout == '1 32 8 8\n'


def test_promises_are_asked_without_what_tests_need():
    code = 'import mmattn.testing, sys; print({"pytest", "hypothesis"} & {*sys.modules})'
    assert python(code).stdout == 'set()\n'


def test_imports_nothing_optional():
    """Only what neither torch, mmengine nor mmcv imports by itself is ours to answer for."""
    code = (
        'import sys, torch, mmengine.runner, mmcv.cnn, mmcv.transforms; before = set(sys.modules); '
    )
    code += 'import mmattn; print(*sorted(set(sys.modules) - before))'
    new = python(code).stdout.split()
    assert 'mmattn.backbones.van' in new
    assert 'mmattn.testing' not in new
    assert [
        name for name in new if name.split('.')[0] in {n.split('.')[0] for n in OPTIONAL} - {'mmcv'}
    ] == []


CHANGES = """
import sys
import mmcv.cnn, mmcv.transforms, mmengine.model, mmengine.runner

def members():
    found = {}
    theirs = [m for name, m in sys.modules.items() if name.split('.')[0] in ('mmengine', 'mmcv')]
    for module in theirs:
        for name, value in vars(module).items():
            found[f'{module.__name__}.{name}'] = value
            if isinstance(value, type) and value.__module__.split('.')[0] in ('mmengine', 'mmcv'):
                for member, inner in vars(value).items():
                    found[f'{value.__module__}.{value.__qualname__}.{member}'] = inner
    return found

schemes = dict(mmengine.runner.CheckpointLoader._schemes)
before = members()
import mmattn
after = members()
print(*sorted(name for name in before if after.get(name) is not before[name]))
now = mmengine.runner.CheckpointLoader._schemes
print(*(name for name in now if now[name] is not schemes.get(name)))
"""


def test_changes_one_thing_of_mmengine_and_adds_one():
    assert python(CHANGES).stdout.splitlines() == [
        'mmengine.config.config.ConfigDict.__missing__ '
        'mmengine.runner.checkpoint.CheckpointLoader._schemes',
        'mmattn://',
    ]


@pytest.mark.slow
@pytest.mark.parametrize('scope', ['mmseg', 'mmdet', 'mmpretrain'])
def test_custom_imports_is_all_a_stock_config_needs(tmp_path, scope):
    config = tmp_path / 'config.py'
    config.write_text(
        "custom_imports = dict(imports=['mmattn'])\n"
        f"default_scope = '{scope}'\n"
        "model = dict(type='CoordAttMobileNetV2', widen_factor=0.25)\n"
    )
    code = (
        'from mmengine.config import Config; '
        'from mmengine.registry import MODELS, init_default_scope; '
        f'cfg = Config.fromfile({str(config)!r}); init_default_scope(cfg.default_scope); '
        'print(type(MODELS.build(cfg.model)).__module__)'
    )
    done = python(code)
    assert done.stdout.strip() == 'mmattn.backbones.coord_att_mobilenet_v2', done.stderr


def test_public_names():
    import mmattn

    assert all(hasattr(mmattn, name) for name in mmattn.__all__)
