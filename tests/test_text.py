"""Tables and names on a terminal, by hand."""

from noisy_student.runtime.text import as_text, columns, shorten


def test_cells_stand_below_each_other_whatever_their_script():
    table = as_text([["class", "n", ""], ["猫猫", "12", "of all"], ["cafe\u0301", "3", ""]])
    assert table.split("\n") == [
        "class  n",
        "-----------------",
        "猫猫   12  of all",
        "cafe\u0301   3",
    ]


def test_names_are_cut_by_columns_and_stay_different():
    names = ["n" * 30 + "a", "n" * 30 + "b", "猫" * 20, "kotě"]
    assert shorten(names, 10) == ["0 nnnnnnn…", "1 nnnnnnn…", "猫猫猫猫…", "kotě"]
    assert [columns(name) for name in shorten(names, 10)] == [10, 10, 9, 4]
