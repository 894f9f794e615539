"""The gallery in a real browser: from disk and from a server, with a video whose labels are known, and with many clips."""

import functools
import http.server
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from browser import chromium
from gallery_results import KEPT, REJECTED, UNMEASURED, make_results
from talking.clips import gates
from talking.core import tables
from talking.gallery import index, page
from talking.review import apply, decisions

CLIPS = 10_000


@pytest.fixture(scope="module")
def browser():
    with chromium.browser() as found:
        yield found


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    results = make_results(tmp_path_factory.mktemp("made in a folder with ü and #"))
    page.draw(results, results / "gallery", gates.Settings())
    return results


@pytest.fixture
def shown(browser, results):
    """The gallery, opened from disk."""
    with chromium.page(browser) as found:
        found.goto((results / "gallery/index.html").as_uri())
        found.wait_for_selector("body[data-ready]")
        yield found


def open_clip(shown, clip: str) -> None:
    shown.evaluate("clip => { location.hash = clip; }", clip)
    shown.wait_for_function("clip => player.clip?.clip === clip && video.readyState >= 2", arg=clip)


def count(shown) -> str:
    return shown.inner_text("#count")


PIXEL = """([picture, x, y]) => {
  const copy = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  copy.drawImage(eval(picture), x, y, 1, 1, 0, 0, 1, 1);
  return [...copy.getImageData(0, 0, 1, 1).data];
}"""


def colour(shown, picture: str, x: float, y: float) -> list[int]:
    """Return the red, green, blue and opacity of a pixel of a canvas or video."""
    return shown.evaluate(PIXEL, [picture, x, y])


def bar(shown, person: int, frame: int) -> list[int]:
    """Return the colour of a person's speaking bar at a frame of the clip of 50 frames."""
    return colour(shown, f"document.querySelectorAll('.bar canvas')[{person}]", 20 * frame + 10, 8)


def test_the_table_filters_sorts_and_searches(shown) -> None:
    assert count(shown) == "1 of 3"
    shown.click("[data-preset=all]")
    assert count(shown) == "3 of 3"
    shown.click("[data-preset=rejected]")
    assert count(shown) == "2 of 3"
    shown.click("[data-preset=all]")
    shown.evaluate("gallery.table.setHeaderFilterValue('off_screen_share', '>0.5')")
    assert count(shown) == "1 of 3" and shown.inner_text(".tabulator-row [tabulator-field=clip]") == REJECTED
    shown.evaluate("gallery.table.clearHeaderFilter()")
    shown.evaluate("gallery.table.setSort('off_screen_share', 'desc')")
    assert shown.locator(".tabulator-row [tabulator-field=clip]").all_inner_texts() == [REJECTED, KEPT, UNMEASURED]
    shown.fill("#search", "hello")
    shown.wait_for_function("document.querySelector('#count').textContent === '1 of 3'")
    shown.fill("#search", "p000002")
    shown.wait_for_function("document.querySelector('#count').textContent === '1 of 3'")
    shown.fill("#search", "nobody says this")
    shown.wait_for_function("document.querySelector('#count').textContent === '0 of 3'")


def test_a_clip_plays_and_its_labels_follow(shown) -> None:
    shown.click(".tabulator-row")
    shown.wait_for_function("player.clip && video.readyState >= 2")
    assert shown.evaluate("decodeURIComponent(location.hash)") == f"#{KEPT}"
    assert [[bar(shown, person, frame)[3] for frame in (5, 15)] for person in (0, 1)] == [[0, 0], [0, 255]]
    shown.keyboard.press("Space")
    shown.wait_for_function("player.frame > 20")
    shown.keyboard.press("Space")
    shown.wait_for_function("video.paused")
    state = "[player.frame, video.currentTime, parseFloat($('playhead').style.left), xOf(player.frame + 0.5)]"
    frame, time, head, x = shown.evaluate(state)
    assert abs(time * 25 - frame) < 2 and head == pytest.approx(x)


def test_a_click_on_a_bar_and_on_a_word_seeks(shown) -> None:
    open_clip(shown, KEPT)
    bar = shown.locator(".bar canvas").first.bounding_box()
    shown.mouse.click(bar["x"] + bar["width"] * 0.5, bar["y"] + 5)
    shown.wait_for_function("player.frame === 25 && Math.floor(video.currentTime * 25) === 25")
    shown.click("#words span:text('hello')")
    assert shown.evaluate("[player.frame, document.querySelector('#words span.now').textContent]") == [15, "hello"]
    assert shown.locator("#words p").all_inner_texts() == ["0.6 s\np000002: hello", "0.8 s\noff screen: you"]
    for key, frame in ((".", 16), (",", 15), ("ArrowRight", 40), ("ArrowLeft", 15)):
        shown.keyboard.press(key)
        assert shown.evaluate("player.frame") == frame


def test_boxes_are_drawn_where_the_labels_say_and_can_be_switched_off(shown) -> None:
    open_clip(shown, KEPT)
    shown.evaluate("player.seek(30)")
    assert shown.evaluate("boxAt(player.clip.people[1].boxes, 30)") == [30, 40, 50, 60]
    assert colour(shown, "overlay", 40, 60)[3] and not colour(shown, "overlay", 40, 90)[3]
    shown.keyboard.press("b")
    assert not colour(shown, "overlay", 40, 60)[3]


def test_poses_are_those_of_the_clip(shown) -> None:
    open_clip(shown, KEPT)
    shown.keyboard.press("p")
    shown.wait_for_function("player.points")
    # In the made video every coordinate is the frame's number in the video.
    assert shown.evaluate("[player.points.values[0], player.points.values[15 * player.points.size + 7]]") == [20, 80]
    assert shown.evaluate("player.points.scale") == 0.5


def test_a_rejected_segment_plays_from_the_video_and_says_why(shown) -> None:
    open_clip(shown, REJECTED)
    assert shown.inner_text("#verdict .bad") == "Rejected: off_screen_share is 0.75, at most 0.5 passes."
    assert shown.evaluate("frameAt(video.currentTime)") == 0 and shown.evaluate("video.currentTime") == pytest.approx(
        2.4
    )
    shown.evaluate("player.seek(45)")
    shown.keyboard.press("Space")
    shown.wait_for_function("video.paused && player.frame === 49")
    open_clip(shown, UNMEASURED)
    assert "duration_s is 0.4, at least 5 passes; num_people is 0, at least 2 passes" in shown.inner_text("#verdict")
    assert shown.evaluate("player.clip.bystanders.length") == 2


def test_a_link_opens_its_clip_and_keys_go_through_the_table(browser, results) -> None:
    with chromium.page(browser) as shown:
        shown.goto(f"{(results / 'gallery/index.html').as_uri()}#{REJECTED}")
        shown.wait_for_function("clip => player.clip?.clip === clip", arg=REJECTED)
        shown.click("[data-preset=all]")
        for key, clip in (("j", UNMEASURED), ("k", REJECTED), ("k", KEPT), ("k", KEPT)):
            shown.keyboard.press(key)
            shown.wait_for_function("clip => player.clip?.clip === clip", arg=clip)
        shown.evaluate("location.hash = 'gone'")
        shown.wait_for_function("$('message').textContent === 'There is no clip gone.'")


@pytest.fixture
def reviewing(shown):
    """The gallery in a review of the kept clip."""
    open_clip(shown, KEPT)
    shown.keyboard.press("r")
    shown.fill("#who", "Ann")
    shown.keyboard.press("Escape")
    yield shown


def drag(shown, person: int, start: int, end: int) -> None:
    """Drag over a person's bar from one frame of the clip of 50 to another."""
    area = shown.locator(".bar canvas").nth(person).bounding_box()
    for frame, act in ((start, shown.mouse.down), (end, shown.mouse.up)):
        shown.mouse.move(area["x"] + area["width"] * (frame + 0.5) / 50, area["y"] + 5)
        act()


def saved(shown, tmp_path: Path) -> list[decisions.Decision]:
    """Return the decisions of the file that the page saves, as the workflow reads them."""
    with shown.expect_download() as download:
        shown.click("#save")
    download.value.save_as(tmp_path / "review.tsv")
    return decisions.read(tmp_path / "review.tsv")


def test_corrections_are_drawn_saved_and_read_by_the_workflow(reviewing, results, tmp_path) -> None:
    drag(reviewing, 0, 5, 24)
    assert reviewing.evaluate("review.range") == [5, 25]
    reviewing.keyboard.press("S")
    assert [bar(reviewing, 0, frame)[3] for frame in (4, 5, 24, 25)] == [0, 255, 255, 0]
    drag(reviewing, 1, 24, 40)
    reviewing.keyboard.press("X")
    assert [bar(reviewing, 1, frame)[3] for frame in (23, 24, 40, 41)] == [255, 0, 0, 255]
    found = saved(reviewing, tmp_path)
    assert [(d.video, d.start_s, d.end_s, d.field, d.value, d.who) for d in found] == [
        ("v", 0.6, 1.4, "speaking", "yes", "Ann"),
        ("v", 1.36, 2.04, "speaking", "no", "Ann"),
    ]
    tables_of = {name: tables.read(name, results / f"{place}/v.parquet") for name, place in PLACES.items()}
    faces = apply.Faces(tables_of["tracks"], tables_of["persons"], (160, 120))
    after = apply.speaking(tables_of["speaking"], found, faces)
    speaks = after[after["speaking"]].groupby("track")["frame"].apply(list)
    # The clip begins at frame 10 of the video; person 0 is track 5, person 1 track 3.
    assert speaks[5] == list(range(15, 35)) and speaks[3] == [*range(20, 34), *range(51, 70)]


PLACES = {"tracks": "tracks", "persons": "people", "speaking": "speaking"}


def test_every_kind_of_decision_is_saved(reviewing, tmp_path) -> None:
    reviewing.keyboard.press("K")
    reviewing.keyboard.press("R")
    reviewing.fill("#called", "p000009")
    reviewing.click("#rename")
    assert "Type a name" in reviewing.inner_text("#message")
    reviewing.select_option("#whom", "1")
    reviewing.fill("#called", "Anna B")
    reviewing.click("#rename")
    reviewing.fill("#from", "0.4")
    reviewing.fill("#to", "0.8")
    reviewing.keyboard.press("Tab")
    reviewing.click("#person")
    reviewing.click("#wrong-words")
    reviewing.fill("#text", 'said "so"\tand more')
    reviewing.click("#note")
    reviewing.fill("#text", "hello there")
    reviewing.click("#right-words")
    found = {(d.field, d.value): d for d in saved(reviewing, tmp_path)}
    assert set(found) == {
        ("decision", "keep"), ("labels", "right"), ("rename", "Anna B"), ("person", "Anna B"), ("words", ""),
        ("words", "hello there"), ("note", 'said "so"\tand more'),
    }  # fmt: skip
    assert (found["decision", "keep"].start_s, found["decision", "keep"].end_s) == (0.4, 2.4)
    assert (found["words", ""].start_s, found["words", ""].end_s) == (0.8, 1.2)
    face = found["rename", "Anna B"].face
    # Track 3 is where the box of the shown frame, the first, is: 30-50, 10-30 of 160 x 120.
    assert (face.seconds, face.x, face.y) == (0.4, 0.25, pytest.approx(20 / 120, abs=1e-4))
    assert reviewing.locator("#decisions li").count() == 7


def test_keys_of_the_review_are_for_an_open_clip_and_no_text(shown) -> None:
    # A page that throws fails the test.
    for key in "r[]SK":
        shown.keyboard.press(key)
    assert shown.evaluate("review.range") is None and shown.evaluate("review.here.length") == 0
    open_clip(shown, KEPT)
    shown.focus("#text")
    shown.keyboard.type("[x]")
    assert shown.input_value("#text") == "[x]" and shown.evaluate("review.range") is None
    shown.keyboard.press("Escape")
    shown.evaluate("player.seek(20)")
    shown.keyboard.press("[")
    assert shown.evaluate("review.range") == [20, 50]
    shown.evaluate("player.seek(30)")
    shown.keyboard.press("]")
    assert shown.evaluate("review.range") == [20, 31]


def test_a_review_outlives_the_page_and_can_be_deleted_and_opened(reviewing, tmp_path) -> None:
    reviewing.keyboard.press("D")
    assert reviewing.inner_text(".tabulator-row [tabulator-field=decisions]") == "drop"
    saved(reviewing, tmp_path)
    reviewing.reload()
    reviewing.wait_for_function("clip => player.clip?.clip === clip", arg=KEPT)
    assert reviewing.text_content("#decided") == "1 decision" and reviewing.input_value("#who") == "Ann"
    reviewing.keyboard.press("r")
    reviewing.click("#decisions button")
    assert reviewing.inner_text("#decided") == "0 decisions"
    text = (tmp_path / "review.tsv").read_text()
    (tmp_path / "other.tsv").write_text(text.replace("drop", "keep").replace("Ann", "Bo"))
    reviewing.set_input_files("#open", tmp_path / "other.tsv")
    reviewing.wait_for_function("document.querySelector('#decided').textContent === '1 decision'")
    assert reviewing.inner_text(".tabulator-row [tabulator-field=decisions]") == "keep"
    assert [(d.value, d.who) for d in saved(reviewing, tmp_path)] == [("keep", "Bo")]
    (tmp_path / "odd.tsv").write_text("a\tb\n")
    reviewing.set_input_files("#open", tmp_path / "odd.tsv")
    reviewing.wait_for_function("document.querySelector('#message').textContent.includes('is no review file')")


def test_what_the_run_was_reviewed_by_is_shown(browser, results, tmp_path) -> None:
    row = decisions.Decision(
        "v", 0.8, 1.2, "speaking", "yes", decisions.Face(0.8, 0.375, 0.25), "Bo", "2026-11-28T10:00:00"
    )
    rows = tables.read("dataset", results / "dataset/clips.parquet").assign(state="kept", rejected_by="", start_s=0.4)
    rows["expected_error"] = index.expected_error(rows)
    page.write_table(tmp_path, rows, {KEPT: ""}, gates.Settings(), [row])
    (tmp_path / "data" / f"{KEPT}.js").write_bytes((results / "gallery/data" / f"{KEPT}.js").read_bytes())
    with chromium.page(browser, ignore=["video.mp4", "ERR_FILE_NOT_FOUND"]) as shown:
        shown.goto(f"{(tmp_path / 'index.html').as_uri()}#{KEPT}")
        shown.wait_for_selector("[tabulator-field=decisions] >> text=speaking")
        shown.wait_for_function("player.clip")
        assert shown.evaluate("player.clip.people[0].speak") == [[10, 20]]


def test_it_works_from_a_server_that_cannot_send_parts_of_files(browser, results) -> None:
    handler = functools.partial(_Quiet, directory=results)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, chromium.page(browser) as shown:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shown.goto(f"http://127.0.0.1:{server.server_port}/gallery/index.html#{REJECTED}")
        shown.wait_for_function("player.clip && video.readyState >= 2 && video.currentTime > 2")
        shown.evaluate("player.seek(20)")
        shown.wait_for_function("!video.seeking && Math.floor(video.currentTime * 25) === 80")
        # A white bar 12 px wide moves a pixel a frame through the video.
        assert [min(colour(shown, "video", x, 60)[:3]) > 230 for x in (76, 86, 96)] == [False, True, False]
        server.shutdown()


def test_ten_thousand_clips_are_shown_within_two_seconds(browser, results, tmp_path) -> None:
    """The processor time of the page itself counts, as other tests run beside."""
    rows = many_rows(tables.read("dataset", results / "dataset/clips.parquet"))
    words = {
        clip: f"word{i} and some more words as people say them in a clip of half a minute" * 6
        for i, clip in enumerate(rows["clip"])
    }
    page.write_table(tmp_path, rows, words, gates.Settings())
    with chromium.page(browser) as shown:
        client = shown.context.new_cdp_session(shown)
        client.send("Performance.enable", {"timeDomain": "threadTicks"})
        shown.goto((tmp_path / "index.html").as_uri(), wait_until="commit")
        shown.wait_for_selector(".tabulator-row")
        used = {m["name"]: m["value"] for m in client.send("Performance.getMetrics")["metrics"]}["TaskDuration"]
        assert used < 2, used
        shown.wait_for_function("gallery.texts")
        shown.fill("#search", "word7777")
        shown.wait_for_function("document.querySelector('#count').textContent.startsWith('1 of')", timeout=2000)


def many_rows(one: pd.DataFrame) -> pd.DataFrame:
    """Return a row of the data set many times over, with other numbers."""
    rng = np.random.default_rng(0)
    rows = pd.concat([one] * CLIPS, ignore_index=True).assign(state="kept", rejected_by="")
    for name in rows:
        if rows[name].dtype.kind == "f":
            rows[name] = rng.random(CLIPS)
    rows["clip"] = [f"s_v{i}_000000to000100" for i in range(CLIPS)]
    rows["start_s"], rows["expected_error"] = 0.0, index.expected_error(rows)
    return rows


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""
