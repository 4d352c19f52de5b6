"""The order of the tests, their long form, and fixtures.

A test with the argument `xp` runs on NumPy, on the fake CuPy, and on CuPy where there is a GPU; a
test with `device` runs on the last two. `-m gpu` selects the tests that use a GPU. With
MINIGAN_REQUIRE_GPU=1 a missing GPU is a failure instead of a skip.
"""

import os

# NumPy's BLAS reads this when NumPy is imported. No test needs more than one thread, and two
# threads beside another busy process are several times slower than one.
for name in "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS":
    os.environ[name] = "1"

import fake_cupy  # noqa: E402
import helpers  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from minigan.backend import BackendError, load_backend  # noqa: E402

collect_ignore = ["stand_in"]  # importing it would make the fake CuPy `cupy`
REQUIRE_GPU = os.environ.get("MINIGAN_REQUIRE_GPU") == "1"
LONG_FILES = ("docs/answers.md",)  # doctests, which cannot be marked
ALLOWED_SKIPS = (  # with --no-skips: the beginnings of the reasons why a test may be skipped
    "no GPU: ",
    "a GPU draws other random numbers",
    "could not import 'cupy",  # or a part of it
    "could not import 'torch'",  # which is not one of minigan's packages
    "could not import 'datasets.arrow_dataset'",  # nor this
    "this Pillow does not write",
    "network namespaces",
)


def pytest_addoption(parser):
    group = parser.getgroup("minigan")
    group.addoption(
        "--long", action="store_true", help="also run the tests marked `long`, and more examples"
    )
    group.addoption(
        "--no-skips",
        action="store_true",
        help="fail if a test is skipped for a reason that is not in ALLOWED_SKIPS of conftest.py",
    )


def pytest_configure(config):
    helpers.LONG = config.getoption("--long")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """A run of all tests uses two processes; `-n 0` makes it one.

    A run of chosen tests uses one: starting two takes longer than most of them.
    """
    is_worker = "PYTEST_XDIST_WORKER" in os.environ  # or within one of its tests
    options = config.option
    chosen = options.keyword or options.markexpr or options.usepdb or options.collectonly
    if getattr(options, "numprocesses", 0) is None and is_whole(config):
        if not (is_worker or chosen):
            options.numprocesses, options.dist = 2, "worksteal"


def is_whole(config):
    """Whether pytest was called without naming a file."""
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS


def is_derivative(item):
    """Whether a test compares a derivative with central differences: its name says so."""
    return "central_differences" in item.nodeid


def rank(item):
    """The derivatives come first, those of single layers before those of whole networks: whatever
    else fails may follow from a wrong one.
    """
    order = ["tests/nn/test_layers.py", "tests/nn/", "tests/"] if is_derivative(item) else []
    found = [i for i, folder in enumerate(order) if item.nodeid.startswith(folder)]
    return min(found, default=9)


def pytest_collection_modifyitems(config, items):
    """Leave out the long tests, and sort the others."""
    if not config.getoption("--long"):
        long = {
            item
            for item in items
            if item.get_closest_marker("long") or item.nodeid.startswith(LONG_FILES)
        }
        config.hook.pytest_deselected(items=list(long))
        helpers.LEFT_OUT = len(long)
        items[:] = [item for item in items if item not in long]
    items.sort(key=rank)
    if "PYTEST_XDIST_WORKER" in os.environ:  # the second worker starts in the middle
        count, half = sum(map(is_derivative, items)), len(items) // 2
        first, rest = items[:count], items[count:]
        cut = half - len(first[::2])
        items[:] = [*first[::2], *rest[:cut], *first[1::2], *rest[cut:]]


def wrong_derivatives(reports):
    """What assert_derivatives said, in all failed reports."""
    return [
        line.removeprefix("E").removeprefix("       AssertionError:").strip()
        for report in reports
        if is_derivative(report)
        for line in report.longreprtext.splitlines()
        if line.startswith("E ") and "Likely cause: " in line
    ]


def pytest_terminal_summary(terminalreporter, config):
    """Which derivatives are wrong, with the likely cause; forbidden skips; what was left out."""
    stats = terminalreporter.stats
    wrong = wrong_derivatives(stats.get("failed", []))
    if wrong:
        terminalreporter.section("wrong derivatives")
        for line in wrong:
            terminalreporter.line(line)
    if config.getoption("--no-skips"):
        for nodeid, reason in forbidden_skips(stats.get("skipped", [])):
            terminalreporter.line(f"skipped, which --no-skips forbids: {nodeid}: {reason}")
    # the workers of a whole run do not report what they leave out
    if not config.getoption("--long") and (helpers.LEFT_OUT or is_whole(config)):
        terminalreporter.line("Long tests were left out: python -m pytest --long runs them, too.")


def forbidden_skips(reports):
    """[(test, reason)] of the skips that --no-skips forbids."""
    skips = [(report.nodeid, report.longrepr[2].removeprefix("Skipped: ")) for report in reports]
    return [(nodeid, why) for nodeid, why in skips if not why.startswith(ALLOWED_SKIPS)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and session.config.getoption("--no-skips") and session.exitstatus == 0:
        if forbidden_skips(reporter.stats.get("skipped", [])):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def load_module(name):
    """numpy, the fake CuPy, or CuPy itself; without a GPU the test is skipped."""
    if name == "numpy":
        return np
    if name == "fake":
        return fake_cupy
    try:
        return load_backend("cupy")
    except BackendError as error:
        if REQUIRE_GPU:
            pytest.fail(f"MINIGAN_REQUIRE_GPU=1, but {error}")
        pytest.skip(f"no GPU: {error}")


ON_A_GPU = pytest.param("cupy", marks=pytest.mark.gpu)


@pytest.fixture(params=["numpy", "fake", ON_A_GPU])
def xp(request):
    return load_module(request.param)


@pytest.fixture(params=["fake", ON_A_GPU])
def device(request):
    return load_module(request.param)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param
