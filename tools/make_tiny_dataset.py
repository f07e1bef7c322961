"""Draw a small data set on which a config can be tried."""

from mmattn.cli import data_make
from mmattn.cli.main import start

if __name__ == '__main__':
    start(data_make)
