"""The workbench of notebook 05 in a real browser: JupyterLab in headless Chromium, sliders moved, buttons clicked.

`make test-browser` installs Playwright (pip); the browser is the Chromium or Chrome found on PATH, or AVALIB_CHROMIUM.
Screenshots are written to outputs/runs/browser/.
"""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import chromium
import fake_predictions
import nbformat
import numpy as np
import pytest

from avalib.data.ava_csv import read_ava_csv, write_ava_csv

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "outputs" / "runs" / "browser"
TOKEN = "test"
# A css color, such as a variable's value, as the browser computes it: rgb(…).
TO_COMPUTED_COLOR = """
color => {
    const element = document.createElement("div");
    element.style.color = color;
    document.body.append(element);
    const computed = getComputedStyle(element).color;
    element.remove();
    return computed;
}
"""


@pytest.fixture(scope="module")
def workplace(tiny, tmp_path_factory):
    """A folder with notebook 05 for random detections of two models on the tiny data set, and what it reads."""
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
    for name, value in {"dataset": "tiny", "output_dir": str(folder / "runs"), "seconds": 2, "explain_top": 0}.items():
        parameters.source = re.sub(rf"(?m)^{name} = .*?  #", f"{name} = {value!r}  #", parameters.source)
    nbformat.write(notebook, folder / "05_visualise.ipynb")
    return folder


@pytest.fixture(scope="module")
def lab(workplace):
    """JupyterLab's address, serving that folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = {"JUPYTER_CONFIG_DIR": workplace / "config", "JUPYTER_DATA_DIR": workplace / "jupyter", "PYTHONPATH": ROOT}
    paths["AVALIB_DATA"] = workplace / "data"
    environment = os.environ | {key: str(path) for key, path in paths.items()}
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--ip=127.0.0.1",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={workplace}",
    ]
    with open(workplace / "lab.log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(command, env=environment, cwd=workplace, stdout=log, stderr=log)
    try:
        for _ in range(240):
            assert server.poll() is None, (workplace / "lab.log").read_text(encoding="utf-8")[-2000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={TOKEN}", timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/lab/tree/05_visualise.ipynb?token={TOKEN}"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def page(lab):
    """The notebook open in the browser, all its cells run, its workbench on the screen."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find_chromium(), args=chromium.FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1250})
        page.set_default_timeout(60_000)
        page.goto(lab)
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_selector("text=Python 3 (ipykernel) | Idle")
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_selector(".widget-image", state="attached", timeout=400_000)
        get_image(page).scroll_into_view_if_needed()
        SHOTS.mkdir(parents=True, exist_ok=True)
        yield page
        browser.close()


def get_image(page):
    return page.locator(".widget-image").first


def get_picture(page):
    return get_image(page).get_attribute("src")


def wait_for_change(page, before, seconds=20):
    """Wait until the workbench shows another picture -> the seconds it took."""
    started = time.perf_counter()
    while get_picture(page) == before:
        assert time.perf_counter() - started < seconds, "the picture stayed as it was"
        time.sleep(0.005)
    return time.perf_counter() - started


def take_screenshot(page, name):
    get_image(page).scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / f"{name}.png")


def find_slider(page, description):
    line = page.locator(".widget-inline-hbox", has=page.get_by_text(description, exact=True))
    return line.locator(".noUi-handle").first


def test_the_time_slider_moves_the_picture(page):
    slider = find_slider(page, "frame")
    durations = []
    slider.focus()
    for _ in range(8):
        before = get_picture(page)
        page.keyboard.press("ArrowRight")
        durations.append(wait_for_change(page, before))
    take_screenshot(page, "1_slider")
    print(f"a step in the browser, key to picture: median {1000 * np.median(durations):.0f} ms")
    assert page.get_by_text(re.compile(r"^90\d\.\d s$")).count() >= 1


def test_the_threshold_and_the_annotation(page):
    before = get_picture(page)
    find_slider(page, "frame").focus()
    page.keyboard.press("Home")
    wait_for_change(page, before)
    before = get_picture(page)
    find_slider(page, "score ≥").focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    wait_for_change(page, before)
    before = get_picture(page)
    page.locator(".widget-dropdown", has_text="annotation beside").locator("select").select_option(index=1)
    wait_for_change(page, before)
    take_screenshot(page, "2_threshold_annotation_under")


def test_a_person_a_model_and_a_mistake(page):
    page.get_by_role("button", name=re.compile(r"^\s*person \d+")).first.click()
    page.get_by_text("does what when", exact=False).last.wait_for()
    before = get_picture(page)
    page.get_by_role("button", name="slowfast_r50", exact=True).click()
    wait_for_change(page, before)
    page.get_by_role("button", name="next mistake").click()
    page.get_by_text(re.compile(r"^1\. slowonly_r50, ")).wait_for()
    take_screenshot(page, "3_mistake")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_text_is_legible_in_both_themes(page, theme):
    """The workbench's text against the page behind it: a contrast of at least 4.5 (WCAG AA)."""
    for name in ("Settings", "Theme", f"JupyterLab {theme}"):
        page.locator(".lm-MenuBar-itemLabel, .lm-Menu-itemLabel").get_by_text(name, exact=True).first.click()
    page.wait_for_selector(f'body[data-jp-theme-name="JupyterLab {theme}"]', state="attached")
    take_screenshot(page, f"4_{theme.lower()}")
    background = page.evaluate("getComputedStyle(document.body).getPropertyValue('--jp-layout-color0')")
    background = page.evaluate(TO_COMPUTED_COLOR, background)
    for text in (page.get_by_text("people (click one)"), page.get_by_text("does what when", exact=False).last):
        assert chromium.compute_contrast(text.evaluate("e => getComputedStyle(e).color"), background) >= 4.5
