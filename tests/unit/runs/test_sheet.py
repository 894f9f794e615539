"""Sheets, good and bad: what a user may write, and the sentence for what not."""

from pathlib import Path

import pytest

from talking.core.errors import InputError
from talking.runs import sheet

HEADER = "video\tpath\tsource\tlicence"
ROW = "a\ta.mp4\tnews\tCC-BY-4.0"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "videos.tsv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_columns_in_any_order_and_optional_ones_filled(tmp_path):
    path = written(
        tmp_path,
        "licence\tvideo\tsplit\tsource\tpath\nCC0\ta\ttest\tnews\tx y.mp4\nMIT\tb-2\t\tweb\thttps://h/v.mp4?x=1\n",
    )
    frame = sheet.read_sheet(path)
    assert list(frame.columns) == ["video", "path", "source", "licence", "sha256", "url", "split", "duration_s"]
    assert frame.to_dict("list") == {
        "video": ["a", "b-2"],
        "path": ["x y.mp4", "https://h/v.mp4?x=1"],
        "source": ["news", "web"],
        "licence": ["CC0", "MIT"],
        "sha256": ["", ""],
        "url": ["", ""],
        "split": ["test", ""],
        "duration_s": ["", ""],
    }


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{HEADER}\r\n{ROW}\r\n\r\n",
        f"# a remark\n\n{HEADER}\n# don't read \"this\n{ROW}\n\n\t\t\t\n",
        f"{HEADER}\t\n{ROW}\t\n",
        f"{HEADER}\n a \t a.mp4\tnews\tCC-BY-4.0 ",
        f"{HEADER}\tsha256\n{ROW}\n",
    ],
)
def test_editors_leave_traces_that_do_not_matter(tmp_path, text):
    frame = sheet.read_sheet(written(tmp_path, text))
    assert frame[["video", "path", "source", "licence"]].to_numpy().tolist() == [["a", "a.mp4", "news", "CC-BY-4.0"]]


def test_ids_that_look_like_numbers_stay_text(tmp_path):
    frame = sheet.read_sheet(written(tmp_path, f"{HEADER}\n007\tNA\tnews\tnull\n"))
    assert frame.iloc[0].tolist()[:4] == ["007", "NA", "news", "null"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty"]),
        (f"{HEADER}\n", ["names no video"]),
        ("video,path,source,licence\na,b,c,d\n", ["commas", "tabs"]),
        ("video;path;source;licence\na;b;c;d\n", ["semicolons"]),
        ("video path  source  licence\na   b   c   d\n", ["spaces", "tab"]),
        ("video\tpath\tsource\n", ["lacks the column licence"]),
        (f"{HEADER}\tlicense\n", ["unknown column 'license'"]),
        (f"{HEADER}\tpath\n", ["path twice"]),
        (f"{HEADER}\n{ROW}\textra\n", ["line 2", "5 fields for 4"]),
        (f"{HEADER}\n{ROW}\nb\tb.mp4\tnews\n", ["line 3", "licence is empty"]),
        (f"{HEADER}\n\ta.mp4\tnews\tCC0\n", ["line 2", "video is empty"]),
        (f"{HEADER}\n../a\ta.mp4\tnews\tCC0\n", ["line 2", "'../a'"]),
        (f"{HEADER}\na/b\ta.mp4\tnews\tCC0\n", ["'a/b'"]),
        (f"{HEADER}\n..\ta.mp4\tnews\tCC0\n", ["'..'"]),
        (f"{HEADER}\n-a\ta.mp4\tnews\tCC0\n", ["'-a'"]),
        (f"{HEADER}\né\ta.mp4\tnews\tCC0\n", ["'é'"]),
        (f"{HEADER}\n{ROW}\n{ROW}\n", ["line 3", "already on line 2"]),
        (f"{HEADER}\n{ROW}\n\nA\tb.mp4\tnews\tCC0\n", ["line 4", "already on line 2"]),
        (f"{HEADER}\na\ta.mp4\tthe_news\tCC0\n", ["source 'the_news'"]),
        (f"{HEADER}\tsplit\n{ROW}\tvalid\n", ["split 'valid'", "train, test"]),
        (f"{HEADER}\tsha256\n{ROW}\t12ab\n", ["sha256 '12ab'", "64"]),
        (f"{HEADER}\na\tfile:///etc/passwd\tnews\tCC0\n", ["file:"]),
        (f"{HEADER}\na\tftp://h/a.mp4\tnews\tCC0\n", ["ftp:"]),
        (f"{HEADER}\na\trtsp://h/a\tnews\tCC0\n", ["rtsp:"]),
        (f"{HEADER}\na\thttp:///a.mp4\tnews\tCC0\n", ["not a whole URL"]),
        (f"{HEADER}\na\thttp://[::1/a.mp4\tnews\tCC0\n", ["not a whole URL"]),
        (f"{HEADER}\na\tfilm:../x\tnews\tCC0\n", ["film:../x"]),
        (f'{HEADER}\na\t"a.mp4\tnews\tCC0\n', ["line 2", "quote"]),
        (f"{HEADER}\nb\tb.mp4\tnews\tCC0\na\té.mp4\tnews\tCC0\n".encode("latin-1"), ["line 3", "UTF-8"]),
        (f"{HEADER}\n{ROW}\n".encode("utf-16"), ["UTF-8"]),
        (b"PK\x03\x04\0\0", ["not a text file"]),
    ],
)
def test_every_fault_is_one_sentence_with_sheet_line_and_advice(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        sheet.read_sheet(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message
    for word in words:
        assert word in message


def test_a_missing_sheet_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        sheet.read_sheet(tmp_path / "none.tsv")
    with pytest.raises(InputError, match="is a folder"):
        sheet.read_sheet(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "Interview: Anna.mp4",
        "{video}.mp4",
        "it's.mp4",
        "-x.mp4",
        'a "b" c.mp4',
        "100%.mp4",
        "../up.mp4",
        "/abs/olute.mp4",
    ],
)
def test_any_file_name_may_be_written(tmp_path, name):
    assert sheet.read_sheet(written(tmp_path, f"{HEADER}\na\t{name}\tnews\tCC0\n"))["path"].tolist() == [name]


def test_a_name_with_a_line_break_is_quoted(tmp_path):
    path = written(tmp_path, f'{HEADER}\na\t"two\nlines.mp4"\tnews\tCC0\nb\t\tnews\tCC0\n')
    with pytest.raises(InputError, match="line 4: the path is empty"):
        sheet.read_sheet(path)


def test_where_files_lie(tmp_path):
    path = written(tmp_path, f"{HEADER}\n{ROW}\n")
    assert sheet.file_of(path, "a", "sub/a.mp4") == tmp_path / "sub/a.mp4"
    assert sheet.file_of(path, "a", "/x/a.mp4") == Path("/x/a.mp4")
    assert sheet.file_of(path, "a", "HTTPS://h/a.mp4") == Path("results/downloads/a.bin")
    assert sheet.file_of(path, "a", "film:demo") == Path("results/films/demo.mp4")
    assert sheet.row_of(path, "a")["source"] == "news"
    with pytest.raises(InputError, match="no video b"):
        sheet.row_of(path, "b")
