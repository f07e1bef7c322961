"""When a head imports the package that it extends, asked of a fresh interpreter."""

import subprocess
import sys

import pytest

from mmattn.layers.packages import installation

BUILD = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Missing())
import mmattn
from mmengine.registry import MODELS
MODELS.build(dict(type={head!r}, num_classes=3))
"""


def last_line(**names):
    code = BUILD.format(**names)
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ('head', 'package'), [('DeepLabV3Head', 'mmseg'), ('SSDLiteHead', 'mmdet')]
)
def test_missing_package(head, package):
    line = f'{head} needs {package}: pip install {installation(package)}'
    assert line in last_line(module=package, head=head)


def test_another_missing_module_speaks_for_itself():
    module = 'mmseg.models.decode_heads'
    assert last_line(module=module, head='DeepLabV3Head') == (
        f"ModuleNotFoundError: No module named '{module}'"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ('head', 'package', 'options'),
    [
        ('DeepLabV3Head', 'mmseg', dict(in_channels=8, channels=4, num_classes=3)),
        ('SSDLiteHead', 'mmdet', dict(num_classes=3)),
    ],
)
def test_custom_imports_is_all_a_config_needs(tmp_path, head, package, options):
    pytest.importorskip(package, reason=f'{package} is not installed')
    config = tmp_path / 'config.py'
    config.write_text(
        "custom_imports = dict(imports=['mmattn'])\n"
        f'default_scope = {package!r}\n'
        f'head = dict(type={head!r}, **{options!r})\n'
    )
    code = (
        'import sys; from mmengine.config import Config; '
        'from mmengine.registry import MODELS, init_default_scope; '
        f'cfg = Config.fromfile({str(config)!r}); print({package!r} in sys.modules); '
        'init_default_scope(cfg.default_scope); print(type(MODELS.build(cfg.head)).__module__)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.split() == ['False', f'mmattn.heads.{head.lower().replace("head", "_head")}']
