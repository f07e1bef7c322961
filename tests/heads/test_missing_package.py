"""What a head says without the package that it extends, asked of a fresh interpreter."""

import subprocess
import sys

import pytest

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
    ('head', 'package', 'extra'),
    [('DeepLabV3Head', 'mmseg', 'seg'), ('SSDLiteHead', 'mmdet', 'det')],
)
def test_missing_package(head, package, extra):
    assert last_line(module=package, head=head) == (
        f"ImportError: {head} needs {package}: pip install 'mmattn[{extra}]'"
    )


def test_another_missing_module_speaks_for_itself():
    module = 'mmseg.models.decode_heads'
    assert last_line(module=module, head='DeepLabV3Head') == (
        f"ModuleNotFoundError: No module named '{module}'"
    )
