"""Pack what mim looks for; all else about the package stands in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
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


setup(cmdclass={'build_py': BuildWithMim})
