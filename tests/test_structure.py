"""The structure of the package: imports between parts, unique names, and signatures."""

import ast
import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigan
from minigan import moved

FOLDER = Path(minigan.__file__).parent
PATHS = {
    ".".join(["minigan", *path.relative_to(FOLDER).with_suffix("").parts]).removesuffix(
        ".__init__"
    ): path
    for path in sorted(FOLDER.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in PATHS.items()}
MODULES = [name for name, path in PATHS.items() if path.stem not in ("__init__", "__main__")]
CIRCLES = [  # inner circles first: no module imports from a later line
    {"minigan.moved"},
    {"minigan.backend"},
    {"minigan.rng", "minigan.console"},
    {"minigan.nn"},
    {"minigan.gan"},
    {"minigan.datasets"},
    {"minigan.figures", "minigan.accel"},
    {"minigan.training"},
    {"minigan.evaluation", "minigan.export"},
    {"minigan.api"},
    {"minigan.cli"},
    {"minigan.__main__"},
]
CORE = {"minigan.moved", "minigan.backend", "minigan.rng", "minigan.nn", "minigan.gan"}


def part_of(module):
    """The part of the package that a module belongs to: minigan.nn of minigan.nn.dense."""
    return ".".join(module.split(".")[:2])


def imports(tree, functions=True):
    """Every module that a tree imports, those within functions included if wanted."""
    for node in ast.walk(tree) if functions else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in PATHS else node.module


def circle(module):
    """Which circle a module of the package is in."""
    return next(i for i, parts in enumerate(CIRCLES) if part_of(module) in parts)


def outward(trees):
    """(module, what it imports from a circle farther out), for every such import."""
    return [
        (name, wanted)
        for name, tree in trees.items()
        for wanted in imports(tree)
        if name != "minigan" and wanted.startswith("minigan.") and circle(wanted) > circle(name)
    ]


# ---- Imports ----


def test_every_part_is_in_a_circle():
    assert {part_of(name) for name in PATHS} - {"minigan"} == set().union(*CIRCLES)


def test_no_import_runs_outwards():
    assert outward(TREES) == []
    planted = {"minigan.nn.dense": ast.parse("def f():\n    from minigan.training import loop")}
    assert outward(planted) == [("minigan.nn.dense", "minigan.training.loop")]


def cycle(wanted):
    """A circle of imports in {module: modules that it imports}, or None."""
    done, path = set(), []

    def visit(name):
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done or name not in wanted:
            return None
        path.append(name)
        found = next((c for other in sorted(wanted[name]) if (c := visit(other))), None)
        path.pop()
        done.add(name)
        return found

    return next((c for name in wanted if (c := visit(name))), None)


def test_no_imports_form_a_circle():
    wanted = {name: {m for m in imports(TREES[name]) if m in MODULES} for name in MODULES}
    assert sum(map(len, wanted.values())) > 100
    assert cycle(wanted) is None
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def foreign(module):
    """What a module imports from outside of the standard library and of the package."""
    roots = {wanted.partition(".")[0] for wanted in imports(TREES[module])}
    return roots - {"minigan"} - set(sys.stdlib_module_names)


def test_the_core_imports_numpy_and_nothing_else():
    core = [name for name in MODULES if part_of(name) in CORE]
    assert len(core) > 25
    for name in core:
        assert foreign(name) <= {"numpy"}, name
    nn = [name for name in core if part_of(name) == "minigan.nn"]
    assert not [n for n in nn if any(w.startswith("minigan.gan") for w in imports(TREES[n]))]


def test_no_framework_anywhere():
    frameworks = {"torch", "tensorflow", "jax", "keras", "autograd"}
    assert {name for name in PATHS if foreign(name) & frameworks} == set()


def test_the_layers_are_light():
    code = (
        "import sys; from minigan.nn import Dense, LeakyReLU, Tanh, Sigmoid, Dropout, Adam,"
        " Sequential, bce_with_logits; import minigan; from minigan import Dense as card;"
        " assert card is Dense; print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(loaded.stdout.split())
    assert not loaded & {"matplotlib", "PIL", "tqdm", "filelock", "threadpoolctl", "minigan.gan"}
    assert "numpy" in loaded


def test_lazy_names_are_loaded_on_first_use():
    from minigan.api import GAN
    from minigan.datasets.batches import batches

    assert minigan.GAN is GAN and minigan.batches is batches
    assert set(minigan.LAZY) < set(minigan.__all__)
    assert all(hasattr(minigan, name) for name in minigan.__all__)


# ---- Old names ----


def test_an_old_import_says_where_it_is_now():
    for old, new in moved.MODULES.items():
        with pytest.raises(ImportError, match=re.escape(new)):
            importlib.import_module(f"minigan.{old}")
        for target in new.split(" or "):
            importlib.import_module(target)
    for package, members in moved.MEMBERS.items():
        for old, new in members.items():
            module, _, name = new.rpartition(".")
            if old not in vars(importlib.import_module(f"minigan.{package}")):
                with pytest.raises(ImportError, match=re.escape(new)):
                    getattr(importlib.import_module(f"minigan.{package}"), old)
            target = sys.modules.get(module) or importlib.import_module(
                module if module in PATHS else module.rpartition(".")[0]
            )
            assert hasattr(target, name) or hasattr(
                getattr(target, module.rpartition(".")[2]), name
            )
    with pytest.raises(ModuleNotFoundError, match="No module named 'minigan.nothing'"):
        importlib.import_module("minigan.nothing")


# ---- One name, one thing ----


def definitions(tree):
    """Every name that a module defines at its top level."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def test_no_name_means_two_things():
    homes = {}
    for module in MODULES:
        for name in set(definitions(TREES[module])):
            homes.setdefault(name, []).append(module)
    common = {"__all__", "__getattr__"}
    twice = {
        name: found
        for name, found in homes.items()
        if name not in common and len([m for m in found if part_of(m) != "minigan.cli"]) > 1
    }
    assert len(homes) > 300 and twice == {}


def functions(tree):
    """Every function and method of a module: (name, node, whether it is public and top-level)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node.name, node, node in tree.body and not node.name.startswith("_")


@pytest.mark.parametrize("module", MODULES)
def test_signatures(module):
    """At most five positional arguments; rng comes last; public functions are annotated."""
    for name, node, public in functions(TREES[module]):
        arguments, keywords = node.args.posonlyargs + node.args.args, node.args.kwonlyargs
        positional = [a.arg for a in arguments if a.arg not in ("self", "cls")]
        assert len(positional) <= 5, f"{name} has {len(positional)} positional arguments"
        names = [a.arg for a in keywords]
        assert "rng" not in names or names[-1] == "rng", f"rng is not the last argument of {name}"
        decorated = any(getattr(d, "id", "") == "fused" for d in node.decorator_list)
        if public and not decorated and part_of(module) != "minigan.cli":
            bare = [a.arg for a in arguments + keywords if a.annotation is None]
            assert not bare, f"{name} does not say what {bare} are"
            assert node.returns is not None, f"{name} does not say what it returns"


# ---- The tutorial ----

ORDER = re.findall(
    r"^ {4}((?:\w+/)?\w+) {3,}\w", minigan.__doc__.partition("The letters")[0], re.MULTILINE
)


def test_the_reading_order_names_every_module_once():
    listed = ["minigan." + name.replace("/", ".") for name in ORDER]
    assert sorted(listed) == sorted(m for m in MODULES if part_of(m) != "minigan.cli")


@pytest.mark.parametrize("module", [name for name in PATHS if name != "minigan.__main__"])
def test_everything_public_is_described(module):
    assert ast.get_docstring(TREES[module]), "the module says what it is"
    for node in TREES[module].body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


BEATS = ["The idea", "Forward", "Backward", "Shapes"]
LAYERS = [
    module
    for module in MODULES
    if module.startswith("minigan.nn.")
    and any(
        isinstance(n, ast.ClassDef) and "Layer" in [getattr(b, "id", "") for b in n.bases]
        for n in TREES[module].body
    )
]


@pytest.mark.parametrize(
    "module", [*LAYERS, "minigan.nn.layer", "minigan.nn.losses", "minigan.gan.losses"]
)
def test_a_layer_has_idea_forward_backward_shapes_and_an_example(module):
    text = ast.get_docstring(TREES[module])
    places = [
        re.search(
            rf"^{beat}|^Forward and backward" if beat == "Backward" else f"^{beat}", text, re.M
        )
        for beat in BEATS
    ]
    assert all(places), [beat for beat, place in zip(BEATS, places) if not place]
    assert [p.start() for p in places] == sorted(p.start() for p in places)
    assert doctest.DocTestParser().get_examples(text)


def test_the_layers_are_found():
    assert len(LAYERS) >= 10 and "minigan.nn.dense" in LAYERS and "minigan.nn.sequential" in LAYERS


def test_no_example_is_skipped():
    for module in MODULES:
        for test in doctest.DocTestFinder().find(importlib.import_module(module)):
            assert not [e for e in test.examples if doctest.SKIP in e.options], test.name
