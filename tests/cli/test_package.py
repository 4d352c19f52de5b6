"""minigan as a package: python -m minigan, what is installed, and what it needs of the system."""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from helpers import DEMO, ROOT, demo, load_demo, signals_restored

from minigan.cli.main import COMMANDS, main
from minigan.datasets.idx import SHA256
from minigan.gan.recipes import RECIPES, asdict, replace
from minigan.training.loop import train
from minigan.training.run_folder import RunError

MUST_CONTAIN = {
    "minigan/nn/dense.py",
    "minigan/export/page.html",
    "minigan/evaluation/classifier.npz",
    "minigan/evaluation/conv_classifier.npz",
    "minigan/training/pretrained.npz",
    "minigan/py.typed",
}


def python(*args, cwd, **env):
    """Python with these arguments, in a process of its own."""
    return subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )


def minigan(*args, cwd, **env):
    """python -m minigan with these arguments, in a process of its own."""
    return python("-m", "minigan", *args, cwd=cwd, **env)


def help_of_the_package(capsys, *args):
    """What python -m minigan prints with these arguments and --help, within this process."""
    with signals_restored():
        assert main([*args, "--help"], train, prog="python -m minigan") == 0
    return capsys.readouterr().out


def save_tiny_images(folder, labels=None):
    """tiny.npz: 16 images of 8 x 8."""
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8), dtype=np.uint8)
    np.savez(folder / "tiny.npz", images=images, **({} if labels is None else {"labels": labels}))


def is_installed(module):
    """Whether Python finds a module."""
    return importlib.util.find_spec(module) is not None


def flags(text):
    """The options in a --help."""
    return sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)))


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_both_programs_have_the_same_flags(command, tmp_path, capsys):
    args = [command] if command else []
    by_demo = demo(*args, "--help", cwd=tmp_path).stdout
    by_package = help_of_the_package(capsys, *args)
    ours, theirs = (
        text.partition("options:")[2].partition("other commands")[0]
        for text in (by_demo, by_package)
    )
    assert flags(ours) == flags(theirs) and "--help" in ours
    if not command:
        assert len(flags(ours)) > 18
        assert all(name in by_package for name in COMMANDS)


def test_the_package_lists_the_recipes(tmp_path):
    result = minigan("recipes", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(RECIPES)
    assert result.stdout == demo("recipes", cwd=tmp_path).stdout


def test_the_package_refuses_in_one_sentence(tmp_path):
    result = minigan("--epochs", 0, cwd=tmp_path)
    assert result.returncode == 2 and "argument --epochs: '0'" in result.stderr
    assert result.stderr.count("\n") == 1
    result = minigan("paint", cwd=tmp_path)
    assert result.returncode == 2 and "no command 'paint'" in result.stderr


def assert_it_trains(package, tmp_path):
    """The package in that folder, and no other one, trains in a folder without demo.py."""
    save_tiny_images(tmp_path)
    env = {"PYTHONPATH": str(package)}
    where = python("-c", "import minigan; print(minigan.__file__)", cwd=tmp_path, **env)
    assert where.stdout.startswith(str(package)), where
    args = ["--data", "tiny.npz", "--epochs", 1, "--batch-size", 8, "--out", "run"]
    result = minigan(*args, cwd=tmp_path, **env)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "model.npz").is_file()
    assert "python -m minigan sample run" in result.stdout
    for args in (
        ["sample", "run", "--count", 4, "--out", "a.png"],
        ["sample", "--count", 4],  # needs pretrained.npz
        ["export", "run", "--to", "html", "--out", "a.html"],  # needs page.html
    ):
        result = minigan(*args, cwd=tmp_path, **env)
        assert result.returncode == 0, result.stderr
    assert_it_says_where_mnist_is(tmp_path, env)


def assert_it_says_where_mnist_is(tmp_path, env):
    """Without MNIST the package says how to get it; with it, it trains and uses the classifier."""
    result = minigan("--epochs", 1, "--out", "digits", cwd=tmp_path, **env)
    assert result.returncode == 2 and "python -m minigan data says" in result.stderr
    result = minigan("data", cwd=tmp_path, **env)
    assert result.returncode == 1 and result.stdout.count("✗") == 4
    assert all(sha256 in result.stdout for sha256 in SHA256.values())
    assert "cvdf-datasets" in result.stdout and str(tmp_path / "mnist") in result.stdout
    (tmp_path / "mnist").mkdir()
    for path in (ROOT / "data").glob("*.gz"):
        shutil.copy(path, tmp_path / "mnist")
    result = minigan("data", cwd=tmp_path, **env)
    assert result.returncode == 0 and result.stdout.count("✓") == 4
    args = ["--recipe", "pytorch-mlp", "--epochs", 1, "--batch-size", 20_000, "--out", "digits"]
    result = minigan(*args, cwd=tmp_path, **env)
    assert result.returncode == 0, result.stderr
    assert "share_9" in (tmp_path / "digits" / "history.csv").read_text()  # by the classifier


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A copy of what a package is built from, so that nothing is built in the repository."""
    if not is_installed("setuptools"):
        pytest.skip("needs setuptools")
    folder = tmp_path_factory.mktemp("sources")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "minigan", folder / "minigan", ignore=ignore)
    for name in "demo.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE":
        shutil.copy(ROOT / name, folder)
    return folder


def files_of_the_package():
    """Every file of the package in the repository."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "minigan").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_built_package_is_complete_and_trains(sources, tmp_path):
    build = [
        "-c",
        "import setuptools; setuptools.setup()",
        "build",
        "--build-lib",
        tmp_path / "lib",
    ]
    result = python(*build, cwd=sources)
    assert result.returncode == 0, result.stderr
    built = tmp_path / "lib"
    names = {p.relative_to(built).as_posix() for p in built.rglob("*") if p.is_file()}
    assert MUST_CONTAIN <= names == files_of_the_package()
    assert_it_trains(built, tmp_path)


def can_build_wheels():
    """Whether pip and setuptools can: since 70.1 alone, before that with the package wheel."""
    if not (is_installed("setuptools") and is_installed("pip")):
        return False
    version = importlib.metadata.version("setuptools").split(".")
    return tuple(map(int, version[:2])) >= (70, 1) or is_installed("wheel")


@pytest.mark.long
@pytest.mark.skipif(not can_build_wheels(), reason="needs pip, and setuptools with wheel")
def test_an_installed_clone_is_found_from_the_folder_above(sources, tmp_path):
    """There, a clone called minigan has the name of the package."""
    shutil.copytree(sources, tmp_path / "minigan")
    options = ["--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    install = ["install", "-e", "minigan", "--no-build-isolation", *options, "--target", "site"]
    result = python("-m", "pip", *install, cwd=tmp_path, PYTHONPATH="")
    assert result.returncode == 0, result.stderr
    code = "import site; site.addsitedir('site'); import minigan; print(minigan.__file__)"
    # -S and PYTHONPATH: with its packages, but without a minigan that this Python has installed
    packages = os.pathsep.join(path for path in sys.path if path.endswith("-packages"))
    result = python("-S", "-c", code, cwd=tmp_path, PYTHONPATH=packages)
    assert result.stdout.strip() == str(tmp_path / "minigan" / "minigan" / "__init__.py"), result


@pytest.mark.long
@pytest.mark.skipif(not can_build_wheels(), reason="needs pip, and setuptools with wheel")
def test_the_wheel_is_complete_and_trains_where_it_is_installed(sources, tmp_path):
    options = ["--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", ".", "--no-build-isolation", *options, "-w", tmp_path / "wheels"]
    result = python("-m", "pip", *build, cwd=sources)
    assert result.returncode == 0, result.stderr
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    assert MUST_CONTAIN <= names == files_of_the_package()  # demo.py is not among them
    install = ["install", wheel, *options, "--target", tmp_path / "installed"]
    result = python("-m", "pip", *install, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert_it_trains(tmp_path / "installed", tmp_path)


WITHOUT_POSIX = """
import ctypes, json, os, signal, sys
import filelock, matplotlib.backends.backend_agg, matplotlib.figure, numpy, PIL.Image, threadpoolctl
import tqdm

# what Windows has
KEPT = {"SIGINT", "SIGTERM", "SIGABRT", "SIGFPE", "SIGILL", "SIGSEGV", "SIG_DFL", "SIG_IGN"}
for name in [name for name in vars(signal) if name.startswith("SIG") and name not in KEPT]:
    delattr(signal, name)
for name in "alarm setitimer pause pthread_kill pthread_sigmask sigwait".split():
    if hasattr(signal, name):
        delattr(signal, name)
for name in (  # but uname: ctypes.util needs it on Linux
    "fork forkpty getloadavg getpgid getuid killpg mkfifo nice pread pwrite sched_getaffinity"
    " sched_setaffinity setsid statvfs sync sysconf wait3 wait4"
).split():
    if hasattr(os, name):
        delattr(os, name)
for name in "fcntl", "grp", "pwd", "resource", "termios":
    sys.modules[name] = None  # importing it is an ImportError


def no_library(name, *args, plain=ctypes.CDLL, **options):
    if name is None:
        raise TypeError("as on Windows")
    return plain(name, *args, **options)


ctypes.CDLL = no_library
os.environ["LOKY_MAX_CPU_COUNT"] = "2"  # loky warns of a missing sched_getaffinity, on Linux only
from minigan.cli.main import main
from minigan.training.loop import train

for args in json.loads(sys.argv[1]):
    if status := main(args, train):
        sys.exit(status)
"""


def test_it_needs_nothing_that_only_posix_has(tmp_path):
    save_tiny_images(tmp_path)
    args = ["--data", "tiny.npz", "--epochs", 1, "--batch-size", 8, "--out", "run"]
    commands = [
        args,
        ["--resume", "run", "--epochs", 2],
        ["sample", "run", "--count", 4, "--out", "a.png"],
        ["evaluate", "run", "--count", 100],
    ]
    words = json.dumps([list(map(str, args)) for args in commands])
    result = python("-c", WITHOUT_POSIX, words, cwd=tmp_path)
    steps = result.stderr.splitlines()
    assert result.returncode == 0 and all(line.startswith("... ") for line in steps), result.stderr
    assert (tmp_path / "run" / "metrics.json").is_file()


WITHOUT_A_MODULE = """
import runpy, sys

_, missing, program, *args = sys.argv
missing = missing.split(",")


class Missing:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())
sys.argv = [program, *args]
run = runpy.run_path if program.endswith(".py") else runpy.run_module
run(program, run_name="__main__")
"""


@pytest.mark.parametrize(
    "module, program",
    [("numpy", DEMO), ("tqdm", DEMO), ("PIL", "minigan"), ("matplotlib", DEMO)],
)
def test_a_missing_module_is_named_in_one_sentence(module, program, tmp_path):
    save_tiny_images(tmp_path)
    args = ["toy", "--steps", 1] if module == "matplotlib" else ["recipes"]
    result = python("-c", WITHOUT_A_MODULE, module, program, *args, cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.count("\n") == 1, result.stderr
    assert f"No module named {module!r}" in result.stderr and "install" in result.stderr


@pytest.mark.long
def test_without_what_a_gpu_machine_may_lack_a_run_is_trained(tmp_path):
    """filelock, threadpoolctl and loky: a note, and one thread or all cores."""
    save_tiny_images(tmp_path)
    args = ["--data", "tiny.npz", "--batch-size", 4, "--epochs", 1, "--out", "run"]
    missing = "filelock,threadpoolctl,loky"
    result = python("-c", WITHOUT_A_MODULE, missing, DEMO, *args, cwd=tmp_path)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert "note: filelock is not installed" in result.stdout
    for more in ["--resume", "run"], ["evaluate", "run", "--count", 100], ["inspect", "run"]:
        result = python("-c", WITHOUT_A_MODULE, missing, DEMO, *more, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    result = python("-c", WITHOUT_A_MODULE, missing, DEMO, *args, "--threads", 2, cwd=tmp_path)
    assert result.returncode == 2 and "pip install threadpoolctl" in result.stderr


def test_a_run_does_not_start_without_the_module_that_its_end_needs(tmp_path):
    save_tiny_images(tmp_path)
    args = ["--data", "tiny.npz", "--batch-size", 4, "--epochs", 1, "--out", "run"]
    result = python("-c", WITHOUT_A_MODULE, "matplotlib", DEMO, *args, cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.count("\n") == 1, result.stderr
    assert "No module named 'matplotlib'" in result.stderr
    assert "pip install matplotlib" in result.stderr
    assert not (tmp_path / "run").exists()


def test_conditional_leaves_out_all_dropout_and_says_so(tmp_path):
    save_tiny_images(tmp_path, labels=np.arange(16, dtype=np.uint8) % 2)
    from minigan.training.sampling import load_networks

    args = ["--data", "tiny.npz", "--recipe", "goodfellow-2014", "--epochs", 1, "--batch-size", 16]
    for out, more in ("with", []), ("without", ["--conditional"]):
        result = demo(*args, *more, "--out", out, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        noted = "note: --conditional trains without dropout" in result.stdout
        D = load_networks(tmp_path / out)[3]
        dropouts = [layer for layer in D.layers if type(layer).__name__ == "Dropout"]
        assert (noted, len(dropouts)) == ((False, 3) if out == "with" else (True, 0))


def test_without_docstrings_the_help_still_works():
    result = subprocess.run(
        [sys.executable, "-OO", DEMO, "--help"], capture_output=True, text=True, check=True
    )
    assert "None" not in result.stdout and "recipes" in result.stdout


def test_demo_main_takes_the_arguments(capsys):
    with signals_restored():
        assert load_demo().main(["recipes"]) == 0
        assert "pytorch-mlp" in capsys.readouterr().out
        assert load_demo().main(["nothing"]) == 2


def test_an_old_conditional_maxout_run_is_resumed_with_a_note(monkeypatch):
    from minigan.cli import arguments, train

    recipe = replace(RECIPES["goodfellow-2014"], conditional=True, dropout=0.0)
    settings = {"recipe": asdict(recipe), "format": 2, "seed": 0, "backend": "numpy", "data": "x"}
    settings |= {"digits": False, "height": 28, "width": 28, "names": ["a"], "shares": [1.0]}
    words = {"history": []}
    monkeypatch.setattr(train, "load_run", lambda folder: (dict(settings), ({}, words), []))
    parser = arguments.Parser()
    train.add_arguments(parser)
    [note] = train.training_options(parser.parse_args(["--resume", "run"])).notes
    assert "dropout" in note
    settings["format"] = 3
    assert train.training_options(parser.parse_args(["--resume", "run"])).notes == []


def test_a_run_is_resumed_on_another_backend_with_a_note(monkeypatch):
    from minigan.cli import arguments, train

    settings = {"recipe": asdict(RECIPES["dense"]), "format": 3, "seed": 0, "backend": "cupy"}
    settings |= {"data": "x", "digits": False, "height": 28, "width": 28}
    words = {"history": []}
    monkeypatch.setattr(train, "load_run", lambda folder: (dict(settings), ({}, words), []))
    parser = arguments.Parser()
    train.add_arguments(parser)

    def resume(*args):
        return train.training_options(parser.parse_args(["--resume", "run", *args]))

    options = resume("--backend", "numpy")
    assert options.backend == options.settings["backend"] == "numpy"
    assert len(options.notes) == 1 and "other noise" in options.notes[0]
    monkeypatch.setattr(train, "load_backend", lambda name: None)
    assert resume().notes == [] and resume().backend == "cupy"

    def no_gpu(name):
        raise train.BackendError("there is no GPU")

    monkeypatch.setattr(train, "load_backend", no_gpu)
    with pytest.raises(RunError, match="there is no GPU; or add --backend numpy to go on without"):
        resume()
