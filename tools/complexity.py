"""Count what a model costs: parameters, and multiply-adds as the papers count them."""

from mmattn.cli import complexity
from mmattn.cli.main import start

if __name__ == '__main__':
    start(complexity)
