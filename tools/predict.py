"""Predict what is on images and videos with a model of any scope."""

import os

# Read when PyTorch is imported; mmattn.cli.environment says what it is for.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from mmattn.cli import predict
from mmattn.cli.main import start

if __name__ == '__main__':
    start(predict)
