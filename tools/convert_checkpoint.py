"""Write weights under the names that they have in mmattn, or in the model of a config."""

from mmattn.cli import weights_convert
from mmattn.cli.main import start

if __name__ == '__main__':
    start(weights_convert)
