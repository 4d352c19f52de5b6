"""python -m minigan: the same commands as python demo.py, for an installed package."""

import signal
import sys

# Until everything is imported, Ctrl-C simply ends the process.
signal.signal(signal.SIGINT, signal.SIG_DFL)

try:
    from minigan.cli.main import exit_with, main
    from minigan.training.loop import train
except ModuleNotFoundError as error:
    print(f"python -m minigan: {error}: install minigan again, with all it needs", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    exit_with(
        main(
            sys.argv[1:],
            train,
            description="Train a GAN on images, or use a trained one.",
            prog="python -m minigan",
        )
    )
