"""A GMT file is read as it stands, or refused with the line that is wrong."""

from pathlib import Path

import pytest

from leaderboard.errors import ReadError
from leaderboard.gene_sets import read_gmt


def written(folder: Path, content: bytes) -> Path:
    path = folder / "sets.gmt"
    path.write_bytes(content)
    return path


def test_sets_are_read_by_name_in_the_order_of_the_file(tmp_path: Path) -> None:
    content = b"two (GO:2)\thttps://example.org\tSTAT1\tHLA-A\n'one'\t\tC1orf112\n"
    found = read_gmt(written(tmp_path, content))
    assert list(found.items()) == [
        ("two (GO:2)", frozenset({"STAT1", "HLA-A"})),
        ("'one'", frozenset({"C1orf112"})),
    ]


def test_the_last_line_needs_no_end_and_windows_ends_are_ends(tmp_path: Path) -> None:
    plain = read_gmt(written(tmp_path, b"a\t\tX\nb\t\tY\n"))
    assert read_gmt(written(tmp_path, b"a\t\tX\nb\t\tY")) == plain
    assert read_gmt(written(tmp_path, b"a\t\tX\r\nb\t\tY\r\n")) == plain


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "got an empty file"),
        (b"\n \n", "got an empty file"),
        (b"a\t\tX\n\nb\t\tY\n", "line 2: expected a name, a description and at least one gene"),
        (b"a\t\tX\n\n", "line 2: expected a name"),
        (b"a\tdescription\n", "line 1: expected a name.*got 'a.tdescription'"),
        (b"a X Y\n", "line 1: expected a name.*got 'a X Y'"),
        (b"\t\tX\n", "line 1: expected a name"),
        (b"a\t\tX\t\tY\n", "line 1: '' is no gene symbol"),
        (b"a\t\tX\t\n", "line 1: '' is no gene symbol"),
        (b"a\t\tX Y\n", "line 1: 'X Y' is no gene symbol"),
        (b"a\t\tX \n", "line 1: 'X ' is no gene symbol"),
        (b"a\t\tX\tY\tX\n", "line 1: the gene 'X' is in the set 'a' twice"),
        (b"a\t\tX\nb\t\tY\na\t\tZ\n", "line 3: the set 'a' is there twice"),
        (b"a\t\t\xff\xfe\n", "cannot be read as UTF-8 text"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, content: bytes, told: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ReadError, match=told) as error:
        read_gmt(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"absent\.gmt: cannot be read"):
        read_gmt(tmp_path / "absent.gmt")
