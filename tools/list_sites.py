"""List where attention can be inserted into a model."""

from mmattn.cli import sites
from mmattn.cli.main import start

if __name__ == '__main__':
    start(sites)
