"""Checkpoints: a run that was killed goes on as if nothing had been.

The idea
    A step depends on what the networks, the optimizers and the averages hold, on where the random
    generators are, and on which images have been shown. All of that, with the history so far, is one
    file. A run that starts from it takes the same steps as one that was never interrupted, bit for
    bit. (On a GPU it goes on with other noise, see randomness.py.)

    The machine may stop while a file is written, and leave half of it. So it is written under another
    name, brought to the disk, and only then renamed; and the two newest are kept. Each part has a
    checksum, as in every zip file, and all of them are read before anything is believed. If the newest
    file is damaged, it is named, and the one before is taken.

    While a run is going on, its folder is locked: two processes would overwrite each other's files.

    checkpoint-<step>.npz    arrays, and `text`, which is JSON: settings, counts, random generators, history

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> for step in 1, 2, 3: save_checkpoint(folder, step, {"a": np.arange(step)}, {"told": step})
>>> sorted(path.name for path in folder.iterdir())
['checkpoint-000000002.npz', 'checkpoint-000000003.npz']
>>> _ = (folder / "checkpoint-000000003.npz").write_bytes(b"PK half a file")
>>> arrays, words, complaints = load_checkpoint(folder)
>>> arrays["a"].tolist(), words, len(complaints)
([0, 1], {'told': 2}, 1)
"""
import json
import os
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from minigan.runs import DAMAGE, FORMAT, RunError, read_npz, read_recipe, write_whole

KEPT = 2


def save_checkpoint(folder, step, arrays, words):
    """Write arrays {name: array} and words, a dict for JSON, as the state after so many steps."""
    text = np.frombuffer(json.dumps({**words, "arrays": sorted(arrays)}).encode(), np.uint8)  # as bytes: NumPy's text arrays take four for each letter

    def write(file):
        np.savez(file, text=text, **arrays)
        file.flush()
        os.fsync(file.fileno())
    write_whole(folder / f"checkpoint-{step:09}.npz", write)
    later = [path for path in checkpoints(folder) if path.name > f"checkpoint-{step:09}.npz"]  # damaged, or we would have begun there
    for path in later + checkpoints(folder)[len(later) + KEPT:]:
        path.unlink()


def checkpoints(folder):
    """The paths of all checkpoints, newest first."""
    return sorted(Path(folder).glob("checkpoint-*.npz"), reverse=True)


def load_checkpoint(folder):
    """(arrays, words, complaints) of the newest one that is whole; a complaint names one that is not.

    Raises RunError if there is none.
    """
    complaints = []
    for path in checkpoints(folder):
        try:
            arrays = read_npz(path)
            words = json.loads(arrays.pop("text").tobytes())
            if words.pop("arrays", sorted(arrays)) != sorted(arrays):  # a zip file's list of contents has no checksum
                raise ValueError(f"of its arrays only {', '.join(sorted(arrays))} are there")
            return arrays, words, complaints
        except (OSError, *DAMAGE) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            complaints.append(f"{path.name} is damaged ({reason}): the one before is used")
    if complaints:
        raise RunError(f"no checkpoint in {folder} is whole ({'; '.join(complaints)}): the run cannot go on, but what it last"
                       " drew with is in model.npz")
    if (Path(folder) / "samples").is_dir():
        raise RunError(f"{folder} was cut off before its first checkpoint: remove it, and begin again")
    raise RunError(f"{folder} holds no checkpoint: name the folder of a run that was interrupted")


def load_run(folder):
    """(settings, (arrays, words), complaints): all that is needed to go on with a run.

    Raises RunError where its checkpoint is of a newer minigan, or is not what settings.json says.
    """
    arrays, words, complaints = load_checkpoint(folder)
    path = Path(folder) / "settings.json"
    try:
        if words["format"] > FORMAT:
            raise ValueError(f"its format is {words['format']}, and this minigan reads up to {FORMAT}: a newer one wrote it")
        settings = words["settings"]
        read_recipe(settings)
        words["counts"], words["history"], words["told"], words["past"], words["now"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RunError(f"the checkpoint in {folder} cannot be used ({reason}): begin a new run") from None
    try:
        told = json.loads(path.read_text()) if path.exists() else settings
        differ = [name for name in {**settings["recipe"], **told["recipe"]}
                  if name != "epochs" and settings["recipe"].get(name) != told["recipe"].get(name)]  # epochs may have been raised
        differ += [name for name in settings if name not in ("recipe", "started") and settings[name] != told.get(name)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"{path} is damaged: remove it, and --resume writes it anew") from None
    if differ:
        raise RunError(f"{path} was changed ({', '.join(differ)}), but the run was begun otherwise: remove it, and --resume writes it"
                       " anew, or begin a new run")
    return settings, (arrays, words), complaints


def lock(folder):
    """A lock on the folder, to be held while it is written to; RunError if another process holds it.

    It is let go when the process ends, however it ends.
    """
    held = FileLock(Path(folder) / ".lock")
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise RunError(f"another process is at work in {folder}: wait for it, or choose another folder") from None
    except OSError as error:
        raise RunError(f"cannot write to {folder} ({error.strerror}): choose another folder") from None
    return held
