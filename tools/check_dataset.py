"""Read every file of a copy of a data set and tell what is wrong with it."""

from mmattn.cli import data_check
from mmattn.cli.main import start

if __name__ == '__main__':
    start(data_check)
