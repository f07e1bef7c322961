"""Measure ours beside its peers: time, memory traffic and what training keeps, in turn."""

from mmattn.cli import benchmark
from mmattn.cli.main import start

if __name__ == '__main__':
    start(benchmark)
