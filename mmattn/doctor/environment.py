"""What this Python would import: who has installed it, where it lies, what its files say."""

import ast
import os
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import Distribution
from pathlib import Path

from mmattn.doctor.imports import Outcome, try_imports
from mmattn.doctor.versions import is_below

# Who installs a package, if that has another name or several do: into one folder. Others are known
# by the list of their files.
INSTALLERS = {
    'mmengine': ('mmengine', 'mmengine-lite', 'onedl-mmengine'),
    'mmcv': ('mmcv', 'mmcv-lite', 'mmcv-full', 'onedl-mmcv'),
    'mmdet': ('mmdet', 'onedl-mmdetection'),
    'mmseg': ('mmsegmentation', 'onedl-mmsegmentation'),
    'mmpretrain': ('mmpretrain', 'onedl-mmpretrain'),
    'mim': ('openmim', 'onedl-mim'),
    'cv2': (
        'opencv-python',
        'opencv-python-headless',
        'opencv-contrib-python',
        'opencv-contrib-python-headless',
    ),
    'panopticapi': ('panopticapi', 'panopticapi-lite'),
}
# Words of these names that do not tell what is installed.
_COMMON_WORDS = {'onedl', 'lite', 'full', 'python', 'contrib', 'headless'}


@dataclass(frozen=True)
class Installed:
    """A distribution: what pip installs, under the name that pip knows.

    Args:
        name: Its normalised name.
        version: Its version, ``'?'`` if none is recorded.
        folder: The folder that its packages lie in.
        record: All that is recorded of it.
    """

    name: str
    version: str
    folder: Path
    record: Distribution

    @property
    def is_fork(self) -> bool:
        """Whether it is one of the maintained forks."""
        return self.name.startswith('onedl-')

    @property
    def requirement(self) -> str:
        """What pip takes for this very version."""
        return self.name if self.version == '?' else f'{self.name}=={self.version}'

    def __str__(self) -> str:
        return f'{self.name} {self.version}'


class Environment:
    """What this Python finds on ``sys.path``, looked at without importing it.

    Args:
        time_limit: Seconds that one import may take in a child process.
    """

    def __init__(self, time_limit: float = 60) -> None:
        self.time_limit = time_limit
        self._found: dict[str, list[Installed]] = {}

    def find(self, package: str) -> list[Installed]:
        """Give the distributions that have installed a package, the one that counts first."""
        if package not in self._found:
            names = INSTALLERS.get(package, (_normalise(package),))
            words = {word for name in names for word in name.split('-')} - _COMMON_WORDS
            read = (_read(path) for path in self._records if words & _words(path))
            self._found[package] = [
                each for each in read if each and (each.name in names or _lists(each, package))
            ]
        return self._found[package]

    def find_sharing(self, package: str) -> list[Installed]:
        """Give the distributions that share the folder of a package, if several do."""
        sharing = self.find(package)
        if len({each.folder for each in sharing if (each.folder / package).is_dir()}) > 1:
            # The first on the path is imported, and leaves the others alone.
            sharing = [each for each in sharing if each.folder == sharing[0].folder]
        return sharing if len({each.name for each in sharing}) > 1 else []

    def is_missing(self, package: str) -> bool:
        """Tell whether a package is neither recorded as installed nor found as a plain folder."""
        return not self.find(package) and self.locate(package) is None

    def where(self, package: str) -> str | None:
        """Give the folder that a package lies in, or that it is recorded in."""
        folder, found = self.locate(package), self.find(package)
        if folder is not None:
            return str(folder.parent)
        return str(found[0].folder) if found else None

    def version(self, package: str) -> str | None:
        """Give the version of a package: what its files say, else what is recorded."""
        found = self.find(package)
        return self.version_in_files(package) or (found[0].version if found else None)

    def version_in_files(self, package: str) -> str | None:
        """Give the version that the files of a package say they are, if they do."""
        folder = self.locate(package)
        files = [folder / 'version.py', folder / '__init__.py'] if folder else []
        for file in files:
            if version := read_literals(file).get('__version__'):
                return str(version)
        return None

    def locate(self, package: str) -> Path | None:
        """Give the folder of a package that an import finds; a folder without code is none."""
        for finder in sys.meta_path:
            # importlib.util.find_spec would answer with what has been imported already.
            try:
                spec = finder.find_spec(package, None)
            except Exception:
                # As the finder of an editable installation may be whose checkout is gone.
                continue
            if spec is not None:
                return Path(spec.origin).parent if spec.has_location and spec.origin else None
        return None

    @cached_property
    def imports(self) -> dict[str, Outcome]:
        """What came of importing whatever is there, one after another, in child processes."""
        return try_imports(lambda package: self.locate(package) is not None, self.time_limit)

    @cached_property
    def wants_numpy_1(self) -> bool:
        """Whether PyTorch is built for numpy 1, and cannot use numpy 2."""
        return is_below(self.version('torch'), '2.3')

    @cached_property
    def _records(self) -> list[Path]:
        """The folders in which installers record what they did, in the order of ``sys.path``."""
        found = []
        for folder in dict.fromkeys(os.path.realpath(entry or '.') for entry in sys.path):
            try:
                names = sorted(os.listdir(folder))
            except OSError:
                continue
            found += [Path(folder, n) for n in names if n.endswith(('.dist-info', '.egg-info'))]
        return found


def read_literals(path: Path) -> dict[str, str | None]:
    """Read what a Python file sets to a literal text or None, without running it."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, str | None] = {}
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, 'target', None)]
        value = getattr(node, 'value', None)
        if isinstance(value, ast.Constant) and (
            value.value is None or isinstance(value.value, str)
        ):
            found.update((t.id, value.value) for t in targets if isinstance(t, ast.Name))
    return found


def _normalise(name: str) -> str:
    """Write the name of a distribution as package indexes do."""
    return re.sub(r'[-_.]+', '-', name).lower()


def _words(path: Path) -> set[str]:
    return {*re.split('[-_.]+', path.name.lower())}


def _read(path: Path) -> Installed | None:
    record = Distribution.at(path)
    try:
        name, version = record.metadata['Name'], record.metadata['Version']
    except Exception:
        # Half of an installation that was interrupted; pip does not list it, either.
        return None
    return Installed(_normalise(name), version or '?', path.parent, record) if name else None


def _lists(installed: Installed, package: str) -> bool:
    """Tell whether the files of a distribution are recorded, and some are those of a package."""
    record = installed.record.read_text('RECORD') or ''
    return re.search(rf'^{re.escape(package)}/', record, re.MULTILINE) is not None
