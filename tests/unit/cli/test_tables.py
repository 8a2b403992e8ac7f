"""Tables of the command line fit the terminal."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from amqptasks.cli.support.tables import lines, width

HEADERS = ("id", "task", "reason", "exception", "attempts")
ID = "0199a1b2-c3d4-7000-8000-00000000000a"
NAME = "shop.email.newsletter." + "x" * 38
ROW = (ID, NAME, "failed", "ConnectionError: ada@example.org does not answer within thirty seconds", "3")


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 250])
def test_print_table_keeps_every_line_within_the_terminal(columns: int):
    found = [line for _, line in lines(HEADERS, [ROW, ROW], columns)]
    assert max(map(cell_len, found)) <= columns


@pytest.mark.parametrize("columns", [80, 100, 250])
def test_print_table_leaves_ids_and_names_of_60_characters_whole(columns: int):
    text = "\n".join(line for _, line in lines(HEADERS, [ROW], columns))
    assert ID in text
    assert NAME in text
    assert "ConnectionError" in text


def test_print_table_is_one_line_a_row_where_there_is_room():
    found = list(lines(("name", "count"), [("a", "5"), ("bb", "10")], 80, right=("count",)))
    assert found == [(None, "name  count"), (0, "a         5"), (1, "bb       10")]


def test_print_table_measures_wide_letters_and_escapes_line_breaks():
    found = [line for _, line in lines(("name", "x"), [("\u6f22\u5b57", "1"), ("a\nb", "2")], 80)]
    assert found == ["name  x", "\u6f22\u5b57  1", "a\\nb  2"]


def test_print_table_gives_a_value_at_least_eight_columns_on_a_narrow_terminal():
    found = [line for _, line in lines(("id", "a-very-long-column"), [("x", "abcdefghijkl")], 12)]
    assert any(line.endswith("abcdefgh") for line in found)


def test_width_is_what_columns_says_also_in_a_pipe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert width() == 80
    monkeypatch.setenv("COLUMNS", "many")
    assert width() == 250
