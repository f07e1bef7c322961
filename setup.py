"""Pack what mim looks for, and say what only a program can; all else stands in pyproject.toml."""

import re
import shutil
from pathlib import Path

import setuptools
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


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


def what_stands_in_pyproject():
    """Give what setuptools before 61 does not read there; openmim pins its users to 60.2."""
    try:
        import tomllib
    except ModuleNotFoundError:  # it came with Python 3.11
        from pip._vendor import tomli as tomllib

    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    return dict(
        name=project['name'],
        description=project['description'],
        author=project['authors'][0]['name'],
        keywords=project['keywords'],
        classifiers=project['classifiers'],
        python_requires=project['requires-python'],
        install_requires=project['dependencies'],
        extras_require=project['optional-dependencies'],
        entry_points={'console_scripts': [f'{k} = {v}' for k, v in project['scripts'].items()]},
        packages=setuptools.find_packages(include=['mmattn', 'mmattn.*']),
        package_data={'mmattn': ['py.typed']},
    )


is_old = int(setuptools.__version__.split('.')[0]) < 61
setuptools.setup(
    version=version(),
    long_description=description(),
    long_description_content_type='text/markdown',
    # In pyproject.toml it is written in one way before setuptools 77 and in another one since.
    license='Apache-2.0',
    cmdclass={'build_py': BuildWithMim},
    **(what_stands_in_pyproject() if is_old else {}),
)
