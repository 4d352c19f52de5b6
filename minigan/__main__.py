"""python -m minigan: the same commands as python demo.py, for an installed package."""

import signal
import sys

# Until everything is imported, Ctrl-C simply ends the process.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from minigan.cli.main import exit_with, main  # noqa: E402
from minigan.training.loop import train  # noqa: E402

if __name__ == "__main__":
    exit_with(
        main(
            sys.argv[1:],
            train,
            description="Train a GAN on images, or use a trained one.",
            prog="python -m minigan",
        )
    )
