"""The page of reliability says what the tests noted."""

import json

import records


def test_the_tables_of_the_page_are_those_of_the_records():
    page = records.PAGE.read_text(encoding="utf-8")
    assert page == records.page(), "run python tests/records.py"
    for table in json.loads(records.RECORDS.read_text(encoding="utf-8")):
        assert f"<!-- table {table} -->" in page


def test_a_note_takes_the_place_of_the_one_before(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RECORDS", tmp_path / "r.json")
    monkeypatch.delenv("TALKING_RECORD", raising=False)
    records.note("kills", kills=1, runs=1)
    assert not records.RECORDS.exists()
    monkeypatch.setenv("TALKING_RECORD", "1")
    for kills, runs in ((1, 1), (2, 5), (1, 3)):
        records.note("kills", kills=kills, runs=runs)
    rows = json.loads(records.RECORDS.read_text())["kills"]
    assert [(row["kills"], row["runs"]) for row in rows] == [("1", "3"), ("2", "5")]
