"""The workbench of notebook 05 in a real browser: JupyterLab in headless Chromium, sliders moved, buttons clicked.

`make test-browser` installs Playwright (pip); the browser is the Chromium or Chrome found on PATH, or AVALIB_CHROMIUM.
Screenshots lie in outputs/runs/browser/ to be looked at.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import fake_predictions
import nbformat
import numpy as np
import pytest

from avalib.data.ava_csv import read_ava_csv, write_ava_csv

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "outputs" / "runs" / "browser"
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


def chromium():
    """The browser's path; a failure, not a skip, where there is none: this test was asked for."""
    names = [os.environ.get("AVALIB_CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "chrome"]
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    assert found, "no Chromium or Chrome on PATH: `apt install chromium`, or AVALIB_CHROMIUM=/path/to/it"
    return found


@pytest.fixture(scope="module")
def place(tiny, tmp_path_factory):
    """A folder with notebook 05 for two rows of noise over the tiny data set, and what it reads."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "data").mkdir()
    (folder / "data" / "tiny-seed0").symlink_to(tiny.root)
    truth = read_ava_csv(tiny.get_csv_path("val"), "ground_truth")
    for seed, name in enumerate(("slowonly_r50", "slowfast_r50")):
        path = folder / "runs" / "tiny" / name / "evaluate" / "detections.csv"
        path.parent.mkdir(parents=True)
        write_ava_csv(fake_predictions.detections(truth, seed), path)
    notebook = nbformat.read(ROOT / "notebooks" / "05_visualise.ipynb", 4)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    for name, value in {"dataset": "tiny", "output_dir": str(folder / "runs"), "seconds": 2}.items():
        parameters.source = re.sub(rf"(?m)^{name} = .*?  #", f"{name} = {value!r}  #", parameters.source)
    nbformat.write(notebook, folder / "05_visualise.ipynb")
    return folder


@pytest.fixture(scope="module")
def lab(place):
    """JupyterLab's address, serving that folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = {"JUPYTER_CONFIG_DIR": place / "config", "JUPYTER_DATA_DIR": place / "jupyter", "PYTHONPATH": ROOT}
    environment = os.environ | {key: str(path) for key, path in paths.items()} | {"AVALIB_DATA": str(place / "data")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1",
               "--IdentityProvider.token=look", f"--ServerApp.root_dir={place}"]  # fmt: skip
    with open(place / "lab.log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(command, env=environment, cwd=place, stdout=log, stderr=log)
    try:
        for _ in range(240):
            assert server.poll() is None, (place / "lab.log").read_text(encoding="utf-8")[-2000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token=look", timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/lab/tree/05_visualise.ipynb?token=look"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def page(lab):
    """The notebook open in the browser, all its cells run, its workbench on the screen."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1250})
        page.set_default_timeout(60_000)
        page.goto(lab)
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_selector("text=Python 3 (ipykernel) | Idle")
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_selector(".widget-image", state="attached", timeout=400_000)
        bench(page).scroll_into_view_if_needed()
        SHOTS.mkdir(parents=True, exist_ok=True)
        yield page
        browser.close()


def bench(page):
    return page.locator(".widget-image").first


def picture(page):
    return bench(page).get_attribute("src")


def changed(page, before, seconds=20):
    """Wait until the workbench shows another picture -> the seconds it took."""
    started = time.perf_counter()
    while picture(page) == before:
        assert time.perf_counter() - started < seconds, "the picture stayed as it was"
        time.sleep(0.005)
    return time.perf_counter() - started


def shot(page, name):
    bench(page).scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / f"{name}.png")


def handle(page, description):
    row = page.locator(".widget-inline-hbox", has=page.get_by_text(description, exact=True))
    return row.locator(".noUi-handle").first


def test_the_time_slider_moves_the_picture(page):
    slider, took = handle(page, "frame"), []
    slider.focus()
    for _ in range(8):
        before = picture(page)
        page.keyboard.press("ArrowRight")
        took.append(changed(page, before))
    shot(page, "1_slider")
    print(f"a step in the browser, key to picture: median {1000 * np.median(took):.0f} ms")
    assert page.get_by_text(re.compile(r"^90\d\.\d s$")).count() >= 1


def test_the_threshold_and_the_annotation(page):
    before = picture(page)
    handle(page, "frame").focus()
    page.keyboard.press("Home")
    changed(page, before)
    before = picture(page)
    handle(page, "score ≥").focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    changed(page, before)
    before = picture(page)
    page.locator(".widget-dropdown", has_text="annotation beside").locator("select").select_option(index=1)
    changed(page, before)
    shot(page, "2_threshold_annotation_under")


def test_a_person_a_row_and_a_jump(page):
    page.get_by_role("button", name=re.compile(r"^\s*person \d+")).first.click()
    page.get_by_text("does what when", exact=False).last.wait_for()
    before = picture(page)
    page.get_by_role("button", name="slowfast_r50", exact=True).click()
    changed(page, before)
    page.get_by_role("button", name="next mistake").click()
    page.get_by_text(re.compile(r"^1\. slowonly_r50, ")).wait_for()
    shot(page, "3_mistake")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_words_are_legible_in_both_themes(page, theme):
    """Every word of the workbench against the page behind it: contrast of 4.5 and more (WCAG AA)."""
    for name in ("Settings", "Theme", f"JupyterLab {theme}"):
        page.locator(".lm-MenuBar-itemLabel, .lm-Menu-itemLabel").get_by_text(name, exact=True).first.click()
    page.wait_for_selector(f'body[data-jp-theme-name="JupyterLab {theme}"]', state="attached")
    shot(page, f"4_{theme.lower()}")
    background = page.evaluate("getComputedStyle(document.body).getPropertyValue('--jp-layout-color0')")
    behind = page.evaluate(
        "c => { const d = document.createElement('div'); d.style.color = c; document.body.append(d);"
        "const out = getComputedStyle(d).color; d.remove(); return out }", background)  # fmt: skip
    words = page.get_by_text("people (click one)"), page.get_by_text("does what when", exact=False).last
    for word in words:
        assert contrast(word.evaluate("e => getComputedStyle(e).color"), behind) >= 4.5


def contrast(a, b):
    """WCAG 2's contrast of two css colours, 1..21."""
    light = []
    for colour in (a, b):
        c = np.array([float(v) for v in re.findall(r"[\d.]+", colour)[:3]]) / 255
        light.append(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])
    return (max(light) + 0.05) / (min(light) + 0.05)
