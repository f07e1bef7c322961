"""What the package is called, what it needs, and what mim and a package index look for in it."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent

# The forks of OpenMMLab lie in the folders of the stock packages, and one over the other breaks
# both: nobody gets them who has not asked.
ONEDL = ['onedl-mmcv>=2.3.6', 'onedl-mmengine>=0.10.12']
EXTRAS = {
    'onedl': ONEDL,
    'det': [*ONEDL, 'onedl-mmdetection>=3.5.1'],
    'seg': [*ONEDL, 'onedl-mmsegmentation>=1.4.2'],
    'cls': [*ONEDL, 'onedl-mmpretrain>=1.3.6'],
    'tools': ['matplotlib', 'pillow', 'rich', 'safetensors'],
    'dev': [
        'codespell',
        'hypothesis',
        'mypy',
        'onnx',
        'onnxruntime',
        'onnxscript',
        'pytest',
        'pytest-timeout',
        'pytest-xdist',
        'ruff',
        'timm',
    ],
}


class BuildWithMim(build_py):
    """Pack configs and tools as `mmattn/.mim`, where mim looks for them in an installed package."""

    def run(self):
        """Build the modules, then copy the folders into the build, never into the source."""
        super().run()
        # The checkout has them. Setuptools before 64 has no such mode.
        if getattr(self, 'editable_mode', False):
            return
        mim = Path(self.build_lib, 'mmattn', '.mim')
        shutil.rmtree(mim, ignore_errors=True)  # build/ may hold an older one
        for folder in ('configs', 'tools'):
            shutil.copytree(
                ROOT / folder, mim / folder, ignore=shutil.ignore_patterns('__pycache__')
            )
        if (ROOT / 'model-index.yml').exists():
            shutil.copy(ROOT / 'model-index.yml', mim)


def version():
    """Read the version from the package, which cannot be imported here."""
    text = (ROOT / 'mmattn' / '__init__.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '(.+)'$", text, re.MULTILINE).group(1)


def description():
    """Give README.md without what leads nowhere on a package index: the picture, other pages."""
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    text = re.sub(r'<!-- repository -->\n.*?<!-- package -->\n+', '', text, flags=re.DOTALL)
    return re.sub(r'\[([^][]*)\]\((?!https?://)[^()\s]*\)', r'\1', text)


# Not in pyproject.toml: setuptools 60, to which openmim pins its users, does not read it there.
setup(
    name='mmattn',
    version=version(),
    description='Attention modules, attention backbones and fusion necks for OpenMMLab',
    long_description=description(),
    long_description_content_type='text/markdown',
    author='The mmattn authors',
    license='Apache-2.0',
    license_files=['LICENSE'],
    keywords=['attention', 'backbone', 'computer vision', 'OpenMMLab', 'PyTorch'],
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Developers',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3 :: Only',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['mmattn', 'mmattn.*']),
    package_data={'mmattn': ['py.typed']},
    # Lower bounds only; the tested versions are pinned in requirements/.
    install_requires=['torch>=2.1', 'numpy'],
    extras_require=EXTRAS,
    entry_points={'console_scripts': ['mmattn = mmattn.cli.main:main']},
    cmdclass={'build_py': BuildWithMim},
)
