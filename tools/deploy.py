"""Write a trained model into a file that runs elsewhere."""

import os

# Read when PyTorch is imported; mmattn.cli.environment says what it is for.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from mmattn.cli import deploy
from mmattn.cli.main import start

if __name__ == '__main__':
    start(deploy)
