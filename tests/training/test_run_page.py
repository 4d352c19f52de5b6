"""index.html, the page of a run: what it holds, when it is written, and how Chromium shows it."""

import csv
import json
import re
import signal
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from browser import Browser, Replaced
from helpers import SMALL, small, train_small
from PIL import Image

from minigan.gan.losses import GAN_LOSSES
from minigan.gan.recipes import asdict, replace
from minigan.training import run as run_module
from minigan.training import run_page, state
from minigan.training.run_folder import RunError
from minigan.training.run_page import Progress, RunPage, open_in_browser


def model_of(folder):
    """The data in the page of a run."""
    page = (folder / "index.html").read_text(encoding="utf-8")
    return json.loads(re.search(r"const model = (.*);\n", page)[1])


def train(folder, *args, **options):
    assert train_small(folder, *args, **options) == 0
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "a", replace(SMALL, dropout=0.25))


# ---- What the page holds ----


def test_the_page_of_a_finished_run(finished):
    model = model_of(finished)
    assert (model["state"], model["name"]) == ("done", "a")
    assert (model["step"], model["steps"], model["stepsPerEpoch"]) == (8, 8, 4)
    with open(finished / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert model["epochs"] == [1, 2] and [f["epoch"] for f in model["frames"]] == [0, 1, 2]
    for name, values in model["history"].items():
        assert values == pytest.approx([float(row[name]) for row in rows], rel=1e-4), name
    assert model["diagnoses"][-1] == model["diagnosis"] == "too early to tell: 8 steps"
    assert ["batch size", "20"] in model["settings"] and ["dropout", "0.25"] in model["settings"]
    assert "momentum" not in dict(model["settings"])  # it is the default
    assert "clusters" not in dict(model["settings"])
    assert all(str(finished) in command for command, _ in model["commands"])


def test_the_clusters_that_there_are_are_shown(tmp_path):
    train(tmp_path / "run", replace(small("dense"), clusters=256, epochs=1))
    assert ["clusters", "1"] in model_of(tmp_path / "run")["settings"]  # of 90 images


def test_the_page_loads_nothing(finished):
    page = (finished / "index.html").read_text(encoding="utf-8")
    addresses = re.findall(r"\w+://[^\s\"']+", page)
    assert set(addresses) == {"http://www.w3.org/2000/svg"}  # a name, which is not loaded
    assert "default-src 'none'" in page and not re.search(r"<script [^>]*src|<link [^>]*css", page)


def test_the_pictures_are_those_in_samples(finished):
    src = model_of(finished)["frames"][-1]["src"]
    shown = np.asarray(run_page.Image.open(run_page.io.BytesIO(decode(src))).convert("L"))
    with Image.open(finished / "samples" / "epoch-0002.png") as picture:
        saved = np.asarray(picture)[::2, ::2]
    assert shown.shape == saved.shape
    assert abs(shown.astype(float) - saved).mean() < 5


def decode(src):
    kind, _, text = src.partition(",")
    assert kind == "data:image/jpeg;base64"
    return run_page.base64.b64decode(text)


def test_no_name_ends_the_script(tmp_path):
    folder = train(tmp_path / "<!-- <script>", replace(SMALL, name="<!--<script>"))
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count("<script>") == page.count("</script>") == 1 and "<!-- <" not in page
    assert model_of(folder)["name"] == folder.name


@pytest.mark.parametrize("loss", GAN_LOSSES)
def test_every_loss_has_its_curves(loss):
    charts = run_page.chart_settings(loss, 1.0, {"fd": 0.5})
    columns = [name for chart in charts for name in chart["columns"]]
    names = ["ordered", "difference"] if GAN_LOSSES[loss].paired else ["score_real", "score_fake"]
    assert columns == ["fd", "loss_D", "loss_G", *names]
    assert [line["value"] for line in charts[0]["lines"]] == [0.5]
    lines = {
        name: [line["value"] for line in chart["lines"]]
        for chart in charts
        for name in chart["columns"]
    }
    if GAN_LOSSES[loss].paired:
        assert (lines["ordered"], lines["difference"]) == ([0.5], [0.0])
    else:
        assert lines["score_real"] == [0.5]
        probability = "probability" in charts[2]["words"]
        assert probability == GAN_LOSSES[loss].score_is_probability


def test_modes_have_a_curve_where_they_are_counted():
    charts = run_page.chart_settings("relativistic", 1.0, {"fd": 0.5, "modes": 865})
    assert [[*chart["columns"]] for chart in charts][:2] == [["fd"], ["modes"]]
    assert [line["value"] for line in charts[1]["lines"]] == [865]


def test_a_run_on_pairs_shows_only_what_has_a_meaning(tmp_path):
    folder = train(tmp_path / "a", replace(SMALL, loss="relativistic"))
    model = model_of(folder)
    assert "score_real" not in model["history"]
    for chart in model["charts"]:
        assert all(name in model["history"] for name in chart["columns"])


def test_real_images_have_a_line_if_there_are_enough(tmp_path):
    assert "fd" not in model_of(train(tmp_path / "few"))["real"]
    images = np.random.default_rng(1).integers(0, 256, (2500, 6, 5), dtype=np.uint8)
    recipe = replace(SMALL, epochs=1)
    model = model_of(train(tmp_path / "many", recipe, images))
    assert 0 < model["real"]["fd"] < model["history"]["fd"][0]
    assert model["charts"][0]["lines"][0]["value"] == model["real"]["fd"]


def a_page(folder, *, epochs, size=(28, 28), channels=(), images=100):
    """(a RunPage, its history) of a long run whose samples are noise, which JPEG cannot shorten."""
    recipe = replace(SMALL, epochs=epochs)
    settings = dict(
        recipe=asdict(recipe), height=size[0], width=size[1], seed=0, digits=False, n_images=60_000
    )
    settings |= dict(data="x", backend="numpy", versions=dict(minigan="", numpy="", python=""))
    settings["channels"] = 3 if channels else 1
    (folder / "samples").mkdir(parents=True)
    rng = np.random.default_rng(0)
    history = []
    for epoch in range(epochs + 1):
        path = folder / "samples" / f"epoch-{epoch:04}.png"
        if epoch < 5:
            shape = (10 * (size[0] + 2) + 2, 10 * (size[1] + 2) + 2, *channels)
            noise = rng.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(noise.repeat(2, 0).repeat(2, 1)).save(path, compress_level=1)
        else:
            path.hardlink_to(folder / "samples" / f"epoch-{epoch % 5:04}.png")
        if epoch:
            names = [f"share_{i}" for i in range(10)] + ["fd", "loss_D", "loss_G"]
            row = {name: float(x) for name, x in zip(names, rng.random(13))}
            history.append({"epoch": epoch, **row})
    return RunPage(folder, settings, describe=lambda i: f"row {i} " + 90 * "x", real={}), history


@pytest.mark.parametrize(
    "epochs, size, channels",
    [(1, 28, ()), (12, 28, ()), (59, 28, ()), (60, 28, ()), (700, 28, ()), (61, 40, (3,))],
)
def test_the_page_has_at_most_5_megabytes_and_60_epochs(tmp_path, epochs, size, channels):
    size = size, size
    page, history = a_page(tmp_path / "a", epochs=epochs, size=size, channels=channels)
    content = page.render(history, Progress(1, 2, 1, 0.0, 0.0), every=1.0)
    assert len(content) <= 5_000_000
    model = json.loads(re.search(rb"const model = (.*);\n", content)[1])
    shown = [frame["epoch"] for frame in model["frames"]]
    assert min(epochs + 1, 31) <= len(shown) <= 60
    assert shown[0] == 0 and shown[-1] == epochs
    assert len(set(np.diff(shown[:-1]))) <= 1  # evenly
    assert set(shown[1:]) <= set(model["epochs"]) and len(model["epochs"]) <= 560
    again = page.render(history, Progress(1, 2, 1, 0.0, 0.0), every=1.0)
    assert abs(len(again) - len(content)) < 100


def test_the_sample_grids_of_a_growing_run_are_encoded_once(tmp_path, monkeypatch):
    page, history = a_page(tmp_path / "a", epochs=150, size=(3, 3))
    read, plain = [], run_page.read_sample_grid
    monkeypatch.setattr(run_page, "read_sample_grid", lambda path: read.append(path) or plain(path))
    for n in range(1, 151):
        page.render(history[:n], Progress(1, 2, 1, 0.0, 0.0), every=1.0)
    assert len(read) == len(set(read)) == 151


def test_a_missing_sample_grid_is_left_out(finished, tmp_path):
    page, history = a_page(tmp_path / "a", epochs=3)
    (tmp_path / "a/samples/epoch-0001.png").unlink()
    (tmp_path / "a/samples/epoch-0003.png").write_bytes(b"half a picture")
    content = page.render(history, Progress(1, 2, 1, 0.0, 0.0), every=1.0)
    model = json.loads(re.search(rb"const model = (.*);\n", content)[1])
    assert [frame["epoch"] for frame in model["frames"]] == [0, 2]
    assert model["epochs"] == [1, 2, 3]


# ---- How a run ends ----


class PowerCut(BaseException):
    """The process is killed: nothing can be written any more."""


def stop_at(monkeypatch, step, error):
    plain = state.TrainingState.train_step

    def train_step(gan):
        if gan.t == step:
            raise error
        return plain(gan)

    monkeypatch.setattr(state.TrainingState, "train_step", train_step)


def test_a_killed_run_is_resumed(tmp_path, monkeypatch):
    folder = tmp_path / "a"
    with monkeypatch.context() as patched:
        stop_at(patched, 5, PowerCut())
        with pytest.raises(PowerCut):
            train_small(folder, checkpoint_every=1e-9)
    model = model_of(folder)  # from the beginning: the page of a run that seems to go on
    assert model["state"] == "running" and "--resume" in model["commands"][0][0]
    train(folder, resume=True)
    model = model_of(folder)
    assert model["state"] == "done" and model["epochs"] == [1, 2] and len(model["frames"]) == 3
    assert "--resume" in model["commands"][-1][0] and "--epochs 4" in model["commands"][-1][0]


def test_a_run_that_fails_says_why(tmp_path, monkeypatch):
    folder = tmp_path / "a"
    stop_at(monkeypatch, 5, RunError("step 5: a loss is NaN"))
    with pytest.raises(RunError):
        train_small(folder)
    model = model_of(folder)
    assert (model["state"], model["message"]) == ("failed", "step 5: a loss is NaN")
    assert (folder / "log.txt").read_text().splitlines()[-1] == "stopped: step 5: a loss is NaN"


def test_a_diverged_run_says_why_also_at_its_last_step(tmp_path, monkeypatch):
    plain = state.TrainingState.train_step

    def train_step(gan):
        losses = plain(gan)
        if gan.t == 8:
            gan.D.theta[:] = np.nan
        return losses

    monkeypatch.setattr(state.TrainingState, "train_step", train_step)
    with pytest.raises(RunError, match="diverged"):
        train_small(tmp_path / "a")
    model = model_of(tmp_path / "a")
    assert model["state"] == "failed" and "learning-rate" in model["message"]
    json.dumps(model, allow_nan=False)


def test_a_run_that_cannot_be_finished_says_why(tmp_path, monkeypatch):
    def save_figures(run):
        raise RunError("the disk is full")

    monkeypatch.setattr(run_module.Run, "save_figures", save_figures)
    with pytest.raises(RunError, match="disk"):
        train_small(tmp_path / "a")
    model = model_of(tmp_path / "a")
    assert (model["state"], model["message"], model["step"]) == ("failed", "the disk is full", 8)


def test_an_interrupted_run(tmp_path, monkeypatch):
    plain = state.TrainingState.train_step

    def train_step(gan):
        losses = plain(gan)
        if gan.t == 6:
            signal.raise_signal(signal.SIGTERM)
        return losses

    monkeypatch.setattr(state.TrainingState, "train_step", train_step)
    assert train_small(tmp_path / "a") == 143
    model = model_of(tmp_path / "a")
    assert (model["state"], model["step"]) == ("interrupted", 6)
    assert "--resume" in model["commands"][0][0]


def test_a_second_ctrl_c_is_on_the_page(tmp_path, monkeypatch):
    stop_at(monkeypatch, 5, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train_small(tmp_path / "a")
    assert model_of(tmp_path / "a")["state"] == "failed"


def test_a_page_that_cannot_be_written_does_not_end_a_run(tmp_path, monkeypatch, capsys):
    plain = run_page.write_atomically

    def write(path, how):
        if path.name == "index.html":
            raise PermissionError(13, "used by a browser")
        plain(path, how)

    monkeypatch.setattr(run_page, "write_atomically", write)
    train(tmp_path / "a")
    assert "index.html could not be written (used by a browser)" in capsys.readouterr().out
    assert (tmp_path / "a/model.npz").is_file() and not (tmp_path / "a/index.html").exists()


# ---- When it is written ----


class Clock:
    """A clock in whose time a page and the figures take a chosen time."""

    def __init__(self):
        self.now, self.page_cost, self.figures_cost = 1000.0, 0.0, 0.0
        self.pages, self.figures = [], []

    def perf_counter(self):
        return self.now

    def time(self):
        return self.now

    def draw(self):
        self.figures.append(self.now)
        self.now += self.figures_cost


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(run_page, "time", clock)

    def render(page, history, progress, *, every):
        clock.pages.append(clock.now)
        clock.now += clock.page_cost
        return b""

    monkeypatch.setattr(RunPage, "render", render)
    return clock


def go_on(clock, page, seconds, epoch=1.0):
    end = clock.now + seconds
    while clock.now < end:
        clock.now += epoch
        page.update([], Progress(0, 1, 1, 0.0, 0.0), clock.draw)


def test_the_page_is_written_every_ten_seconds_and_the_figures_every_minute(tmp_path, clock):
    page = RunPage(tmp_path, {}, describe=str, real={})
    clock.page_cost, clock.figures_cost = 0.01, 0.3
    go_on(clock, page, 600)
    assert np.diff(clock.pages).min() >= 10 and np.diff(clock.pages).max() < 12
    assert np.diff(clock.figures).min() >= 60 and np.diff(clock.figures).max() < 62


@pytest.mark.parametrize("page_cost, figures_cost", [(0.3, 0.3), (0.02, 5.0), (3.0, 20.0)])
def test_both_take_a_hundredth_of_the_time(tmp_path, clock, page_cost, figures_cost):
    page = RunPage(tmp_path, {}, describe=str, real={})
    clock.page_cost, clock.figures_cost = page_cost, figures_cost
    go_on(clock, page, 20_000)
    spent = len(clock.pages) * page_cost + len(clock.figures) * figures_cost
    assert page.page.spent + page.figures.spent == pytest.approx(spent)
    assert spent <= 0.01 * 20_000
    assert len(clock.pages) > 3 and len(clock.figures) > 3  # neither starves


def test_a_long_epoch_is_no_reason_to_seem_dead(tmp_path, clock):
    page = RunPage(tmp_path, {}, describe=str, real={})
    for _ in range(1000):
        clock.now += 1
        page.update([], Progress(0, 1, 1, 0.0, 0.0), None)
    assert np.diff(clock.pages).max() < 62 and not clock.figures


# ---- Opening it ----


def test_open(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(run_page.webbrowser, "open", opened.append)
    monkeypatch.setattr(
        run_page, "threading", SimpleNamespace(Thread=lambda target, daemon: Start(target))
    )
    for name in "DISPLAY", "WAYLAND_DISPLAY", "BROWSER":
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(run_page.sys, "platform", "linux")
    path = tmp_path / "a b" / "index.html"
    assert "no screen" in open_in_browser(path) and not opened
    monkeypatch.setenv("DISPLAY", ":0")
    assert open_in_browser(path) == f"opening {path.as_uri()}"
    assert opened == [path.as_uri()] and "%20" in opened[0]


class Start:
    """A thread that runs at once."""

    def __init__(self, target):
        self.start = target


# ---- In a browser ----


def write_page(folder, changes):
    """Change the data in the page of a run."""
    page = (folder / "index.html").read_text(encoding="utf-8")
    model = {**model_of(folder), **changes}
    text = json.dumps(model).replace("<", "\\u003c")
    page = re.sub(r"const model = .*;\n", lambda _: f"const model = {text};\n", page)
    (folder / "index.html").write_text(page, encoding="utf-8")


STATE = """({
  position: +$("epoch").value, newest: +$("epoch").max, image: $("grid").src,
  chosen: $("chosen").textContent, status: $("status").textContent, title: document.title,
  notice: $("notice").hidden ? "" : $("notice").textContent,
  focus: document.activeElement.id, scroll: scrollY,
  theme: document.documentElement.dataset.theme ?? "",
  background: getComputedStyle(document.body).backgroundColor,
  readouts: [...document.querySelectorAll("[data-column]")].map(o => o.textContent),
  polylines: document.querySelectorAll("polyline").length,
  charts: document.querySelectorAll("#charts svg[role=img]").length,
  bars: document.querySelectorAll("#classes-drawing rect").length,
  commands: [...document.querySelectorAll("#commands code")].map(c => c.textContent),
  unnamed: [...document.querySelectorAll("button, input, select, svg[role], img")].filter(e =>
    e.checkVisibility() && !(e.textContent.trim() || e.getAttribute("aria-label") || e.alt
      || e.labels?.length)).length,
  wide: [...document.querySelectorAll("body *")].filter(e => !e.closest("svg")
    && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80)),
  overflow: document.documentElement.scrollWidth - innerWidth,
  overlaps: overlaps(),
})"""
OVERLAPS = """function overlaps() {  // texts of a chart that cover each other or are outside of it
  const found = [], right = document.documentElement.clientWidth;
  for (const svg of document.querySelectorAll("main svg[role=img]")) {
    const box = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")];
    texts.forEach((text, i) => {
      const r = text.getBoundingClientRect();
      if (r.right > right || r.left < 0 || r.top < box.top - 4 || r.bottom > box.bottom + 4)
        found.push(text.textContent);
      for (const other of texts.slice(i + 1)) {
        const s = other.getBoundingClientRect();
        if (r.left < s.right && s.left < r.right && r.top + 3 < s.bottom && s.top + 3 < r.bottom)
          found.push([text.textContent, other.textContent]);
      }
    });
  }
  return found;
}"""
SOON = "new Promise(done => setTimeout(done, 3000))"


def look(browser):
    for _ in range(20):
        with suppress(Replaced):
            browser.run(OVERLAPS)
            seen, complaints = browser.run(STATE), browser.complaints()
            break
    assert complaints == []
    assert seen["unnamed"] == 0 and seen["wide"] == [] and seen["overlaps"] == []
    assert seen["overflow"] <= 0
    return seen


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of several kinds: {name: folder}."""
    folder = tmp_path_factory.mktemp("kinds")
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    colours = rng.integers(0, 256, (90, 8, 8, 3), dtype=np.uint8)
    train(folder / "one epoch", replace(SMALL, epochs=1))
    train(folder / "many epochs", replace(SMALL, epochs=100))
    train(folder / "pairs", replace(SMALL, loss="relativistic"))
    train(folder / "hinge", replace(SMALL, loss="hinge"))
    conditional = replace(SMALL, conditional=True)
    train(folder / "conditional", conditional, labels=labels, names=["a", "b", "two words"])
    train(folder / "colour", replace(small("default-conv"), clusters=0, epochs=2), colours)
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.long
@pytest.mark.parametrize("width, dark", [(390, False), (1280, True), (390, True), (1280, False)])
def test_every_kind_of_run_in_a_browser(browser, runs, width, dark):
    for name, folder in runs.items():
        browser.open(folder / "index.html", width=width, dark=dark)
        seen, model = look(browser), model_of(folder)
        assert seen["status"].startswith("Finished") and seen["notice"] == ""
        assert seen["charts"] == (4 if name == "pairs" else 3)
        assert seen["polylines"] == len(
            [column for chart in model["charts"] for column in chart["columns"]]
        )
        assert seen["position"] == seen["newest"] == len(model["frames"]) - 1
        assert seen["image"] == model["frames"][-1]["src"]
        assert all(seen["readouts"]) and seen["bars"] == 0
        red = int(re.match(r"rgb\((\d+)", seen["background"])[1])
        assert red < 50 if dark else red > 200


@pytest.mark.long
def test_the_slider_and_the_keyboard(browser, runs):
    browser.open(runs["many epochs"] / "index.html")
    model = model_of(runs["many epochs"])
    last = look(browser)
    browser.run('$("epoch").focus()')
    browser.press("ArrowLeft", 37)
    browser.press("ArrowLeft", 37)
    seen = look(browser)
    assert seen["position"] == last["newest"] - 2
    frame = model["frames"][-3]
    assert seen["image"] == frame["src"] and f"epoch {frame['epoch']}:" in seen["chosen"]
    row = model["epochs"].index(frame["epoch"])
    assert float(seen["readouts"][1]) == pytest.approx(model["history"]["loss_D"][row], rel=0.01)
    browser.press("Home", 36)
    seen = look(browser)
    assert seen["position"] == 0 and "before training" in seen["chosen"].lower()
    for name in "next", "play":
        browser.press("Tab", 9)
        assert look(browser)["focus"] == name
    browser.run('$("next").click(); $("next").click(); $("previous").click()')
    assert look(browser)["position"] == 1
    browser.run('$("play").click()')
    browser.run("new Promise(done => setTimeout(done, 1500))")
    assert look(browser)["position"] >= 3
    browser.run('$("play").click()')


@pytest.fixture
def training(runs):
    """A run that seems to go on, whose page reloads itself every second."""
    folder = runs["many epochs"]
    page = (folder / "index.html").read_bytes()
    now = round(1000 * run_page.time.time())
    write_page(
        folder,
        dict(
            state="running",
            written=now,
            left=75.0,
            step=200,
            elapsed=100.0,
            reload=1,
            commands=model_of(folder)["commands"][::-1],
        ),
    )
    yield folder
    (folder / "index.html").write_bytes(page)


def wait_for(browser, condition, seconds=60):
    for _ in range(10 * seconds):
        with suppress(Replaced):
            if browser.run(condition):
                return
        run_page.time.sleep(0.1)
    raise AssertionError(condition)


@pytest.mark.long
def test_a_reload_keeps_what_the_reader_has_chosen(browser, training):
    browser.open(training / "index.html", height=500)
    browser.run('$("theme").value = "dark"; $("theme").onchange()')
    browser.run('$("epoch").focus({preventScroll: true}); choose(7); scrollTo(0, 333)')
    before = look(browser)
    wait_for(browser, "window.history.state?.scroll[1] === 333")
    assert (before["position"], before["scroll"], before["theme"]) == (7, 333, "dark")
    for how in browser.reload, lambda: wait_for(browser, "window.seen !== 1"):
        browser.run("window.seen = 1")
        how()
        wait_for(browser, "$('grid').complete")
        after = look(browser)
        for name in "position", "image", "focus", "scroll", "theme", "background":
            assert after[name] == before[name], name
        assert after["focus"] == "epoch"


@pytest.mark.long
def test_the_newest_samples_are_shown_as_they_come(browser, training):
    model = model_of(training)
    names = "epochs", "frames", "diagnoses", "history"
    short = {name: model[name][:-1] for name in names[:-1]}
    short["history"] = {name: values[:-1] for name, values in model["history"].items()}
    write_page(training, short)
    browser.open(training / "index.html")
    seen = look(browser)
    assert (
        seen["status"].startswith("Training: epoch 51 of 100") and "about 1 min" in seen["status"]
    )
    assert seen["position"] == seen["newest"] == len(model["frames"]) - 2
    write_page(training, {name: model[name] for name in names} | {"step": 204})
    wait_for(browser, "model.step === 204")
    seen = look(browser)
    assert seen["position"] == seen["newest"] == len(model["frames"]) - 1
    write_page(training, dict(state="done"))
    wait_for(browser, "model.state === 'done'")
    wait_for(browser, "document.readyState === 'complete'")
    browser.run("window.seen = 1; " + SOON)
    assert browser.run("window.seen") == 1  # it no longer reloads itself


@pytest.mark.long
def test_nothing_is_reloaded_under_the_readers_hands(browser, training):
    browser.open(training / "index.html")
    for begin, end in (
        ("dispatchEvent(new Event('pointerdown'))", "dispatchEvent(new Event('pointerup'))"),
        ("getSelection().selectAllChildren($('commands'))", "getSelection().removeAllRanges()"),
    ):
        browser.run(f"window.seen = 1; {begin}")
        browser.run(SOON)
        assert browser.run("window.seen") == 1
        browser.run(end)
        wait_for(browser, "window.seen !== 1")
        wait_for(browser, "document.readyState === 'complete'")


@pytest.mark.long
def test_the_page_of_a_killed_run_stops_reloading_itself(browser, training):
    now = round(1000 * run_page.time.time())
    write_page(training, dict(written=now - 601_000))
    browser.open(training / "index.html")
    seen = look(browser)
    assert "killed or paused" in seen["notice"] and "--resume" in seen["commands"][0]
    browser.run("window.seen = 1; " + SOON)
    assert browser.run("window.seen") == 1
    now = round(1000 * run_page.time.time())
    write_page(training, dict(written=now, stale=15))  # and one that was open all the time
    browser.open(training / "index.html")
    assert look(browser)["notice"] == ""
    wait_for(browser, "!$('notice').hidden")
    browser.run("window.seen = 1; " + SOON)
    assert browser.run("window.seen") == 1


@pytest.mark.long
@pytest.mark.parametrize("width", [390, 1280])
def test_an_interrupted_and_a_diverged_run_say_so(browser, training, width):
    write_page(training, dict(state="interrupted", step=202))
    browser.open(training / "index.html", width=width)
    seen = look(browser)
    assert "50 of 100 epochs and 2 steps" in seen["status"] and "interrupted" in seen["notice"]
    message = "step 202: a loss is NaN or infinite: " + "x" * 200
    write_page(training, dict(state="failed", message=message))
    browser.open(training / "index.html", width=width)
    assert message in look(browser)["notice"]
    one = {name: values[:1] for name, values in model_of(training)["history"].items()}
    huge = {**one, "fd": [3.2e11], "loss_D": [-1.5e8], "loss_G": [2.5e-7]}
    write_page(training, dict(history=huge, epochs=[1]))
    browser.open(training / "index.html", width=width)
    look(browser)
    write_page(training, dict(history={}, epochs=[], diagnoses=[], diagnosis="", frames=[]))
    browser.open(training / "index.html", width=width)
    seen = look(browser)
    assert seen["polylines"] == 0 and seen["title"].startswith("epoch 50")


@pytest.mark.long
def test_the_shares_of_the_digits(browser, training):
    model = model_of(training)
    shares = {f"share_{i}": [0.1] * (len(model["epochs"]) - 1) + [i / 45] for i in range(10)}
    real = {f"share_{i}": 0.1 for i in range(10)}
    write_page(training, dict(history=model["history"] | shares, real=real | {"fd": 0.5}))
    for width in 390, 1280:
        browser.open(training / "index.html", width=width)
        assert look(browser)["bars"] == 20
        bars = "[...document.querySelectorAll('#classes-drawing rect')]"
        heights = browser.run(f"{bars}.map(bar => +bar.getAttribute('height'))")
        np.testing.assert_allclose(
            np.array(heights[::2]) / heights[1], np.arange(10) / 4.5, atol=1e-6
        )
