"""Package mmattn; tested versions are pinned in requirements/, here are lower bounds only."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithMim(build_py):
    """Pack configs and tools as `mmattn/.mim`, where mim looks for them in an installed package."""

    def run(self):
        """Build the modules, then copy the folders into the build, never into the source."""
        super().run()
        if self.editable_mode:  # the checkout has them
            return
        mim = Path(self.build_lib, 'mmattn', '.mim')
        shutil.rmtree(mim, ignore_errors=True)  # build/ may hold an older one
        for folder in ('configs', 'tools'):
            shutil.copytree(
                ROOT / folder, mim / folder, ignore=shutil.ignore_patterns('__pycache__')
            )
        if (ROOT / 'model-index.yml').exists():
            shutil.copy(ROOT / 'model-index.yml', mim)


setup(
    name='mmattn',
    version=re.search(r"__version__ = '(.+)'", (ROOT / 'mmattn/__init__.py').read_text())[1],
    description='Attention modules, attention backbones and fusion necks for OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mmattn', 'mmattn.*']),
    include_package_data=True,
    entry_points={'console_scripts': ['mmattn = mmattn.cli.main:main']},
    cmdclass={'build_py': BuildWithMim},
    install_requires=['torch', 'onedl-mmengine>=0.10.12', 'onedl-mmcv>=2.3.6', 'numpy'],
    extras_require={
        'det': ['onedl-mmdetection>=3.5.1'],
        'seg': ['onedl-mmsegmentation>=1.4.2'],
        'cls': ['onedl-mmpretrain>=1.3.6'],
        'dev': [
            'hypothesis',
            'onnx',
            'onnxruntime',
            'onnxscript',
            'pytest',
            'pytest-xdist',
            'ruff',
            'timm',
        ],
    },
)
