"""Checkpoints: resume an interrupted run exactly where it stopped.

The idea
    A training step depends on the networks, the optimizers, the moving averages, the state of the
    random generators, and which images have been shown. One file stores all of this, together with
    the history so far. A run resumed from it takes the same steps as an uninterrupted run, bit for
    bit. (On a GPU it continues with different noise, see rng.py.)

    The machine may stop while a file is being written. The file is therefore written under a
    temporary name, flushed to disk, and only then renamed. The two newest checkpoints are kept.
    Each part has a checksum, as in every zip file, and every part is read before any is used. If
    the newest file is damaged, a message reports it, and the previous one is used.

    checkpoint-<step>.npz    arrays, and `text`, which is JSON: settings, counts, random generators,
                             history

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> for step in 1, 2, 3: save_checkpoint(folder, step, {"a": np.arange(step)}, {"losses": step})
>>> sorted(path.name for path in folder.iterdir())
['checkpoint-000000002.npz', 'checkpoint-000000003.npz']
>>> _ = (folder / "checkpoint-000000003.npz").write_bytes(b"PK half a file")
>>> arrays, words, complaints = load_checkpoint(folder)
>>> arrays["a"].tolist(), words, len(complaints)
([0, 1], {'losses': 2}, 1)
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from minigan.datasets.pixels import DAMAGE
from minigan.gan.recipes import with_current_names
from minigan.training.run_folder import (
    FORMAT,
    RunError,
    check_known,
    read_npz,
    read_recipe,
    write_atomically,
)

CHECKPOINTS_KEPT = 2
OLD_WORDS = {"told": "losses", "past": "seconds", "now": "epoch_seconds"}  # names before 0.2.0


def save_checkpoint(
    folder: Path, step: int, arrays: dict[str, np.ndarray], words: dict[str, Any]
) -> None:
    """Write the state after `step` steps: arrays {name: array}, and words, a dict for JSON."""
    # stored as bytes, because NumPy's text arrays need four bytes per character
    text = np.frombuffer(json.dumps({**words, "arrays": sorted(arrays)}).encode(), np.uint8)

    def write(file):
        np.savez(file, text=text, **arrays)
        file.flush()
        os.fsync(file.fileno())

    write_atomically(folder / f"checkpoint-{step:09}.npz", write)
    # later ones are damaged: otherwise the run would have resumed from one of them
    later = [path for path in checkpoint_paths(folder) if path.name > f"checkpoint-{step:09}.npz"]
    for path in later + checkpoint_paths(folder)[len(later) + CHECKPOINTS_KEPT :]:
        path.unlink()


def checkpoint_paths(folder: Path) -> list[Path]:
    """The paths of all checkpoints, newest first."""
    return sorted(Path(folder).glob("checkpoint-*.npz"), reverse=True)


def load_checkpoint(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any], list[str]]:
    """(arrays, words, complaints) of the newest intact checkpoint; a complaint names a damaged one.

    Raises RunError if there is none.
    """
    complaints: list[str] = []
    for path in checkpoint_paths(folder):
        try:
            arrays = read_npz(path)
            words = json.loads(arrays.pop("text").tobytes())
            # a zip file's table of contents has no checksum
            if words.pop("arrays", sorted(arrays)) != sorted(arrays):
                raise ValueError(f"it only holds the arrays {', '.join(sorted(arrays))}")
            return arrays, words, complaints
        except (OSError, *DAMAGE) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            complaints.append(f"{path.name} is damaged ({reason}): the previous one is used")
    if complaints:
        raise RunError(
            f"no checkpoint in {folder} is intact ({'; '.join(complaints)}): the run cannot be"
            " resumed, but its last generator is in model.npz"
        )
    if (Path(folder) / "samples").is_dir():
        raise RunError(
            f"{folder} was interrupted before its first checkpoint: remove it and start again"
        )
    raise RunError(f"{folder} has no checkpoint: name the folder of an interrupted run")


def load_run(folder: Path) -> tuple[dict, tuple[dict, dict], list[str]]:
    """Load (settings, (arrays, words), complaints): everything needed to resume a run.

    Raises RunError if the checkpoint was written by a newer minigan or contradicts settings.json.
    """
    arrays, words, complaints = load_checkpoint(folder)
    path = Path(folder) / "settings.json"
    try:
        if words["format"] > FORMAT:
            raise ValueError(
                f"its format is {words['format']}, and this minigan reads formats up to {FORMAT}: a"
                " newer minigan wrote it"
            )
        settings = words["settings"]
        check_known(folder, settings)
        read_recipe(settings)
        words |= {new: words.pop(old) for old, new in OLD_WORDS.items() if old in words}
        for name in "counts", "history", *OLD_WORDS.values():
            words[name]
    except RunError:  # from check_known
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RunError(
            f"the checkpoint in {folder} cannot be used ({reason}): start a new run"
        ) from None
    try:
        written = json.loads(path.read_text()) if path.exists() else settings
        differ = differences(settings, written)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"{path} is damaged: remove it, and --resume will write it again") from None
    if differ:
        raise RunError(
            f"{path} was changed ({', '.join(differ)}) after the run was started: remove it, and"
            " --resume will write it again, or start a new run"
        )
    return settings, (arrays, words), complaints


def differences(settings: dict, written: dict) -> list[str]:
    """The names whose values in settings.json, `written`, differ from those in a checkpoint.

    The number of epochs, the backend, the threads and the processes may have been changed when the
    run was resumed. If the run was killed after its first checkpoint in a new format, settings.json
    is still in the old one, which has other and fewer names.
    """
    recipe, other = (with_current_names(s["recipe"]) for s in (settings, written))
    names: Any = recipe.keys() | other.keys()
    if written["format"] < settings["format"]:
        names = recipe.keys() & other.keys()
        written = {**written, "format": settings["format"]}
    missing = object()
    names = sorted(names - {"epochs"})
    differ = [n for n in names if recipe.get(n, missing) != other.get(n, missing)]
    changing = ("recipe", "started", "backend", "data", "threads", "processes")
    others = [name for name in settings if name not in changing]
    return differ + [name for name in others if settings[name] != written.get(name)]
