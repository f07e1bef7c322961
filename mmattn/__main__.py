"""``python -m mmattn`` is the command ``mmattn``."""

from mmattn.cli.main import main

if __name__ == '__main__':
    main()
