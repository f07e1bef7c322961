"""Write all generated pages, and build a site of all pages and of the docstrings: build/site/."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import mmattn

ROOT = Path(__file__).resolve().parents[2]
GENERATORS = ('module_table', 'positions', 'speed', 'model_zoo', 'which')
PAGES = ROOT / 'build' / 'pages'
# What pages link to besides each other; a site serves it as it is.
FILES = ('README.md', 'CHANGELOG.md', 'CITATION.cff', 'CONTRIBUTING.md', 'LICENSE')
FOLDERS = ('benchmarks', 'configs', 'docs', 'mmattn', 'requirements')
# What the reference describes besides the names that mmattn exports.
ALSO = {
    'attention': ['mmattn.attention.base.Attention'],
    'fusion': ['mmattn.fusion.base.Fusion'],
    'upsampling': ['mmattn.upsampling.base.Upsampling'],
    'backbone': ['mmattn.backbones.base.Backbone'],
    'head': ['mmattn.heads.deeplabv3_head.DeepLabV3Head', 'mmattn.heads.ssdlite_head.SSDLiteHead'],
    'others': [
        'mmattn.testing.attention.check_attention',
        'mmattn.testing.fusion.check_fusion',
        'mmattn.testing.upsampling.check_upsampling',
        'mmattn.testing.backbone.check_backbone',
    ],
}


def main() -> None:
    """Write and build, or with ``--check`` say which page is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='compare, write and build nothing')
    args = parser.parse_args()
    option = ['--check'] if args.check else []
    scripts = [Path(__file__).with_name(f'{name}.py') for name in GENERATORS]
    if sum(subprocess.call([sys.executable, script, *option]) for script in scripts):
        sys.exit(1)
    if not args.check:
        lay_out()
        build = [sys.executable, '-m', 'mkdocs', 'build', '--strict']
        if subprocess.call(build, cwd=ROOT):
            sys.exit(1)
        print(f'site: {ROOT / "build" / "site" / "index.html"}')


def lay_out() -> None:
    """Make the folder that the site is built from: links to the checkout, and the reference."""
    shutil.rmtree(PAGES, ignore_errors=True)
    (PAGES / 'reference').mkdir(parents=True)
    for name in FILES + FOLDERS:
        (PAGES / name).symlink_to(ROOT / name)
    listed = {name for names in mmattn.KINDS.values() for name in names}
    others = [name for name in mmattn.__all__ if name not in listed and name != 'KINDS']
    for kind, names in {**mmattn.KINDS, 'others': others}.items():
        page = PAGES / 'reference' / f'{kind}.md'
        page.write_text(reference(kind, sorted(names, key=str.lower)), encoding='utf-8')


def reference(kind: str, names: list[str]) -> str:
    """Ask for the docstrings of some names, each where it is defined."""
    paths = [f'{getattr(mmattn, name).__module__}.{name}' for name in names]
    asked = [f'::: {path}\n' for path in paths + ALSO.get(kind, [])]
    return '\n'.join([f'# {kind.capitalize()}\n', *asked])


if __name__ == '__main__':
    main()
