"""Tell what is installed, from where, and what is wrong with it, each fault with its remedy."""

import sys
from pathlib import Path

# Nothing may be installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmattn.cli import doctor
from mmattn.cli.main import start

if __name__ == '__main__':
    start(doctor)
