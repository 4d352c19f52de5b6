"""minigan.training: the state of a run, the loop, the run folder, checkpoints and samples."""

from typing import Any

from minigan import moved


def __getattr__(name: str) -> Any:
    return moved.member("training", name)
