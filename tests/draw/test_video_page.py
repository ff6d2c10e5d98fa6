"""The web page of a video: its data, and, in headless Chromium, boxes, search, clicks, both themes, no network."""

import base64
import json
import re

import chromium
import numpy as np
import page_inputs
import pytest

from avalib.draw.video_page import write_video_page
from avalib.video.video_error import VideoError

IS_STILL = "video.readyState >= 2 && !video.seeking"
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
# the bounds of the pixels of a color on the canvas, in fractions of it
FIND_COLOR = """
([red, green, blue]) => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let [left, top, right, bottom] = [1e9, 1e9, -1, -1];
    for (let i = 0; i < pixels.length; i += 4) {
        if (pixels[i] !== red || pixels[i + 1] !== green || pixels[i + 2] !== blue || pixels[i + 3] !== 255) continue;
        const x = (i / 4) % canvas.width;
        const y = Math.floor(i / 4 / canvas.width);
        left = Math.min(left, x); right = Math.max(right, x + 1);
        top = Math.min(top, y); bottom = Math.max(bottom, y + 1);
    }
    return [left / canvas.width, top / canvas.height, right / canvas.width, bottom / canvas.height];
}
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return page_inputs.write_box_video(tmp_path_factory.mktemp("film") / "a b#1.mp4")


def read_data(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])


def test_a_small_video_is_inside_the_page(film, tmp_path):
    text = write_video_page(tmp_path / "page.html", film, page_inputs.build_detections()).read_text(encoding="utf-8")
    encoded = re.search(r'src="data:video/mp4;base64,([^"]+)"', text)[1]
    assert base64.b64decode(encoded) == film.read_bytes()


def test_a_large_video_is_referenced_relative_to_the_page(film):
    path = write_video_page(film.parent / "pages" / "page.html", film, page_inputs.build_detections(), embed_mb=0)
    assert 'src="./../a%20b%231.mp4"' in path.read_text(encoding="utf-8")


def test_the_page_has_the_boxes_and_segments_of_the_table(film, tmp_path):
    data = read_data(write_video_page(tmp_path / "page.html", film, page_inputs.build_detections()))
    assert data["duration_s"] == page_inputs.SECONDS
    assert data["keyframes"][4]["people"][0]["labels"] == [[12, 0.9], [64, 0.812], [14, 0.35]]
    np.testing.assert_allclose(data["keyframes"][4]["people"][0]["box"], page_inputs.compute_box(4), atol=5e-5)
    fights = [segment for segment in data["segments"] if segment["action_id"] == 64]
    assert fights == [{"person_id": 1, "action_id": 64, "start_s": 3.5, "stop_s": 5.5, "score": 0.812}]


def test_low_scores_and_labels_beyond_top_k_are_left_out(film, tmp_path):
    table = page_inputs.build_detections()
    data = read_data(write_video_page(tmp_path / "page.html", film, table, score_threshold=0.6, top_k=1))
    assert {segment["action_id"] for segment in data["segments"]} == {12, 64, 80}
    assert all(len(p["labels"]) <= 1 for keyframe in data["keyframes"] for p in keyframe["people"])


def test_no_text_of_others_becomes_html(film, tmp_path):
    title = "</title><script>alert(1)</script>{{DATA}}"
    table = page_inputs.build_detections()
    table["action"] = table["action"].replace("stand", "</script><script>alert(2)</script>")
    text = write_video_page(tmp_path / "page.html", film, table, title=title).read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "<img" not in text
    assert text.count("</script>") == 2
    assert "{{DATA}}</h1>" in text


def test_a_table_without_rows_gives_a_page(film, tmp_path):
    data = read_data(write_video_page(tmp_path / "page.html", film, page_inputs.build_detections().iloc[:0]))
    assert (data["keyframes"], data["segments"], data["lanes"]) == ([], [], [])


def test_a_file_that_is_no_video_leaves_no_page(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"text")
    with pytest.raises(VideoError, match="v.mp4"):
        write_video_page(tmp_path / "page.html", tmp_path / "v.mp4", page_inputs.build_detections())
    assert not (tmp_path / "page.html").exists()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find_chromium(), args=chromium.FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=["embedded", "linked"])
def page(request, browser, film):
    """The page open from its file; page.requested: the addresses that it loaded; page.faults: errors of its script."""
    path = film.parent / "pages" / f"{request.param}.html"
    embed_mb = 20 if request.param == "embedded" else 0
    write_video_page(path, film, page_inputs.build_detections(), embed_mb=embed_mb)
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.requested = []
    page.faults = []
    page.on("request", lambda sent: page.requested.append(sent.url))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
    page.goto(path.as_uri())
    wait_until(page, IS_STILL)
    yield page
    page.close()


def wait_until(page, condition):
    """Wait until an expression is true; Playwright's own waiting needs eval, which the page's policy forbids."""
    for _ in range(1500):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"after 30 s: not {condition}")


def get_time(page):
    wait_until(page, IS_STILL)
    return page.evaluate("video.currentTime")


@pytest.mark.browser
def test_search_finds_the_seconds_and_a_click_jumps_there(page):
    page.fill("#search", "fight")
    assert page.locator("#count").inner_text() == "1 stretch, 2.0 s"
    rows = page.locator("#rows tr:visible")
    assert rows.all_inner_texts() == ["0:03.5 – 0:05.5\t1\tfight/hit (a person)\t0.81"]
    assert page.locator(".lane:visible .name").all_inner_texts() == ["fight/hit (a person)"]
    rows.first.click()
    assert get_time(page) == 3.5
    page.fill("#search", "2 stand")
    page.press("#search", "Enter")
    assert get_time(page) == 0
    page.fill("#search", "swim")
    assert page.locator("#count").inner_text() == "nothing matches"
    assert page.faults == []


@pytest.mark.browser
def test_boxes_lie_on_the_playing_video(page):
    for time_s in (2.0, 4.4):
        page.evaluate("seconds => seek(seconds)", time_s)
        assert get_time(page) == time_s
        page.evaluate(DRAWN)
        # person 1's color, #4090FF: the line of two pixels lies half outside of the box
        bounds = page.evaluate(FIND_COLOR, [0x40, 0x90, 0xFF])
        np.testing.assert_allclose(bounds, page_inputs.compute_box(time_s), atol=0.006)
    before = get_time(page)
    page.evaluate("video.muted = true; video.play()")
    wait_until(page, f"video.currentTime > {before} + 0.5")
    moved = page.evaluate(FIND_COLOR, [0x40, 0x90, 0xFF])
    assert moved[0] > bounds[0] + 0.01


@pytest.mark.browser
def test_the_timeline_jumps(page):
    page.locator(".lane", has_text="fight").locator(".bar").click()
    assert get_time(page) == 3.5
    track = page.locator(".lane", has_text="fight").locator(".track")
    width = track.bounding_box()["width"]
    track.click(position={"x": 0.25 * width, "y": 5})
    assert abs(get_time(page) - 2) < 0.05


@pytest.mark.browser
def test_names_are_text_and_nothing_but_files_is_loaded(page):
    assert page.locator("img").count() == 0
    assert page.locator(".name", has_text="<img src=x onerror=alert(1)>").count() == 1
    assert all(address.startswith(("file:", "data:")) for address in page.requested)


@pytest.mark.browser
def test_a_video_that_the_browser_cannot_play_is_said(browser, film):
    path = write_video_page(film.parent / "moved.html", film, page_inputs.build_detections(), embed_mb=0)
    page = browser.new_page()
    path.write_text(path.read_text(encoding="utf-8").replace("./a%20b%231.mp4", "./none.mp4"), encoding="utf-8")
    page.goto(path.as_uri())
    page.locator("#fault", has_text="can't play a b#1.mp4").wait_for()
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_legible_in_both_themes(browser, film, theme):
    path = write_video_page(film.parent / "themes.html", film, page_inputs.build_detections())
    page = browser.new_page(color_scheme=theme)
    page.goto(path.as_uri())
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for selector in ("h1", "#count", "th", "td", ".name"):
        color = page.locator(selector).first.evaluate("element => getComputedStyle(element).color")
        assert chromium.compute_contrast(color, background) >= 4.5, selector
    page.close()
