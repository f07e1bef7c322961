"""Tell what of a file of weights fits a model, tensor by tensor, without training."""

from mmattn.cli import weights_check
from mmattn.cli.main import start

if __name__ == '__main__':
    start(weights_check)
