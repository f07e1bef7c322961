"""Train a small UperNet + VAN on generated scenes, test it, and draw what it learnt."""

from mmattn.cli import demo
from mmattn.cli.main import start

if __name__ == '__main__':
    start(demo)
