"""Files are whole or absent, tables keep their schema, and text stays text."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.errors import ConfigError, HeldoutError, TableError
from leaderboard.io import (
    FAILURE_COLUMNS,
    SCORE_COLUMNS,
    as_plain,
    check_roles,
    read_failures,
    read_h5ad,
    read_json,
    read_parquet,
    read_scores,
    read_yaml,
    sha256_file,
    sha256_folder,
    write_failures,
    write_folder_then_rename,
    write_h5ad,
    write_json,
    write_parquet,
    write_scores,
    write_text,
    write_then_rename,
)

if TYPE_CHECKING:
    from anndata import AnnData

LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np, pandas as pd
import leaderboard.io as io
from leaderboard.errors import HeldoutError

{setup}
path = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    {write}
except HeldoutError as error:
    print("told:", error)
"""
WRITERS = {
    "text": ("", 'io.write_text(path, "x" * 100_000)'),
    "json": ("", "io.write_json(path, list(range(100_000)))"),
    "parquet": (
        'table = pd.DataFrame({"a": np.random.default_rng(0).random(100_000)})',
        "io.write_parquet(path, table)",
    ),
    "h5ad": (
        "import anndata\nadata = anndata.AnnData(np.random.default_rng(0).random((200, 100)))",
        "io.write_h5ad(path, adata)",
    ),
}


def scores(**changes: Any) -> pd.DataFrame:
    row = {
        "entry": "e", "board": "b", "fold": 0, "seed": 0, "metric": "m", "unit": "u",
        "stratum": "all", "value": 0.5, "n": 3, "status": "ok", "reason": "",
    }  # fmt: skip
    return pd.DataFrame([{**row, **changes}], columns=SCORE_COLUMNS)


def failure(**changes: Any) -> pd.DataFrame:
    row = {
        "entry": "e", "board": "b", "fold": 0, "seed": 0, "kind": "confusion", "unit": "u",
        "subject": "A", "position": 0, "key": "B", "value": 0.5, "n": 3,
    }  # fmt: skip
    return pd.DataFrame([{**row, **changes}], columns=FAILURE_COLUMNS)


def test_a_file_is_written_whole_and_no_other_is_left(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "a.txt", "one\ntwo\n")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == b"one\ntwo\n"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.txt"]


def fail_half_way(path: Path, error: BaseException) -> None:
    with write_then_rename(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_an_exception_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error):
        fail_half_way(path, error())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_system_error_while_writing_says_which_file_and_what_to_do(tmp_path: Path) -> None:
    told = r"a\.txt: could not be written \(No space left.*free disk space"
    with pytest.raises(HeldoutError, match=told):
        fail_half_way(tmp_path / "a.txt", OSError(28, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", list(WRITERS))
def test_a_file_beyond_the_size_limit_leaves_the_old_one_and_says_so(
    tmp_path: Path, root: Path, kind: str
) -> None:
    setup, write = WRITERS[kind]
    path = tmp_path / "a.out"
    path.write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(setup=setup, write=write), str(path)],
        capture_output=True, text=True, check=False, cwd=root,
    )  # fmt: skip
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    assert "told:" in done.stdout, done.stderr[-600:]
    assert "could not be written" in done.stdout
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4096


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with write_folder_then_rename(path) as temporary:
        (temporary / "new.txt").write_text("new")
    assert [p.name for p in path.iterdir()] == ["new.txt"]
    assert list(tmp_path.iterdir()) == [path]


def fail_half_way_in_a_folder(path: Path) -> None:
    with write_folder_then_rename(path) as temporary:
        (temporary / "new.txt").write_text("new")
        raise ValueError("stop")


def test_an_exception_leaves_the_old_folder_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with pytest.raises(ValueError, match="stop"):
        fail_half_way_in_a_folder(path)
    assert [p.name for p in path.iterdir()] == ["old.txt"]
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_share_a_temporary_name(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with write_then_rename(path) as one, write_then_rename(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the outer block ends last


def test_json_is_sorted_and_refuses_numbers_that_are_none(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, None]})
    assert (tmp_path / "a.json").read_text() == '{\n "a": [\n  1.5,\n  null\n ],\n "b": 1\n}\n'
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert read_json(tmp_path / "a.json") == {"a": [1.5, None], "b": 1}


@pytest.mark.parametrize("text", ["{", '{"a": 1', ""])
def test_broken_json_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.json: cannot be read as JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    "text",
    ["a: 1\na: 2\n", "x:\n  a: 1\n  b: 2\n  a: 3\n", "x: [{a: 1, a: 2}]\n"],
    ids=["top", "nested", "in a list"],
)
def test_a_yaml_key_written_twice_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"key written twice: \['a'\]"):
        read_yaml(tmp_path / "a.yaml")


def test_yaml_without_duplicates_is_read_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('a: {b: 1, c: [x, "101"]}\nd: {b: 2}\n')
    assert read_yaml(tmp_path / "a.yaml") == {"a": {"b": 1, "c": ["x", "101"]}, "d": {"b": 2}}


@pytest.mark.parametrize(
    "content",
    [b"a: [1, 2", b"!!python/object/apply:os.system ['true']", b"a: \xff\xfe", b"? [a, b]\n: 1"],
    ids=["syntax", "python object", "not UTF-8", "key is a list"],
)
def test_yaml_that_cannot_be_read_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.yaml: cannot be read as YAML"):
        read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (read_json, ConfigError),
        (read_yaml, ConfigError),
        (read_parquet, TableError),
        (read_h5ad, TableError),
        (read_scores, TableError),
        (read_failures, TableError),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_missing_file_is_one_clear_error(
    tmp_path: Path, read: Callable[[Path], Any], error: type[HeldoutError]
) -> None:
    with pytest.raises(error, match=r"absent: cannot be read"):
        read(tmp_path / "absent")


@pytest.mark.parametrize("read", [read_parquet, read_h5ad], ids=lambda read: str(read.__name__))
def test_a_broken_binary_file_is_one_clear_error(
    tmp_path: Path, read: Callable[[Path], Any]
) -> None:
    (tmp_path / "broken").write_bytes(b"no such format")
    with pytest.raises(TableError, match="broken: cannot be read"):
        read(tmp_path / "broken")


def test_the_digest_of_a_folder_sees_names_and_contents_and_not_their_order(tmp_path: Path) -> None:
    for folder, names in (("one", "ab"), ("two", "ba")):
        for name in names:
            write_text(tmp_path / folder / "deep" / name, name)
    assert sha256_folder(tmp_path / "one") == sha256_folder(tmp_path / "two")
    (tmp_path / "two" / "deep" / "a").rename(tmp_path / "two" / "deep" / "c")
    assert sha256_folder(tmp_path / "one") != sha256_folder(tmp_path / "two")


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "a") == known


def table_of_profiles() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "perturbation": ["NA", "101", "a,b"],
            "fold": np.array([0, 1, 2], dtype="int16"),
            "G1": rng.random(3, dtype=np.float32),
            "ok": [True, False, True],
        }
    )


def test_equal_tables_give_equal_parquet_bytes(tmp_path: Path) -> None:
    table = table_of_profiles()
    other = table.copy()
    other.index = pd.Index([7, 8, 9])
    other["perturbation"] = other["perturbation"].astype("category")
    write_parquet(tmp_path / "a", table)
    write_parquet(tmp_path / "b", other)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_parquet_gives_back_text_numbers_and_their_types(tmp_path: Path) -> None:
    table = table_of_profiles()
    write_parquet(tmp_path / "a", table)
    back = read_parquet(tmp_path / "a")
    assert back["perturbation"].tolist() == ["NA", "101", "a,b"]
    assert back.dtypes.astype(str).to_dict() == {
        "perturbation": "object", "fold": "int16", "G1": "float32", "ok": "bool",
    }  # fmt: skip
    np.testing.assert_array_equal(back["G1"], table["G1"])
    assert list(read_parquet(tmp_path / "a", columns=["fold"])) == ["fold"]


def test_an_empty_table_keeps_its_columns_in_parquet(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a", pd.DataFrame(columns=["fold", "unit", "stratum"]))
    back = read_parquet(tmp_path / "a")
    assert list(back) == ["fold", "unit", "stratum"]
    assert len(back) == 0


def test_h5ad_gives_back_counts_and_names(tmp_path: Path, atlas: "AnnData") -> None:
    write_h5ad(tmp_path / "a.h5ad", atlas.copy())
    back = read_h5ad(tmp_path / "a.h5ad")
    assert (back.X != atlas.X).nnz == 0
    assert list(back.obs_names) == list(atlas.obs_names)
    assert back.obs["cell_type"].astype(str).tolist() == atlas.obs["cell_type"].tolist()


def test_equal_score_tables_give_equal_bytes_whatever_the_order_of_rows(tmp_path: Path) -> None:
    table = pd.concat([scores(unit=u, value=v) for u, v in (("b", 1 / 3), ("a", 2.0), ("10", 1.0))])
    write_scores(tmp_path / "a.csv", table)
    write_scores(tmp_path / "b.csv", table.iloc[::-1])
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() == (
        b"entry,board,fold,seed,metric,unit,stratum,value,n,status,reason\n"
        b"e,b,0,0,m,10,all,1,3,ok,\n"
        b"e,b,0,0,m,a,all,2,3,ok,\n"
        b"e,b,0,0,m,b,all,0.3333333333,3,ok,\n"
    )


UNITS = ["NA", "101", "007", "nan", "null", "None", "1e5", "True", "a,b", 'a"b', "ä", " x", "a\nb"]


@pytest.mark.parametrize("unit", [*UNITS, "a\rb"])
def test_the_text_of_a_unit_survives(tmp_path: Path, unit: str) -> None:
    write_scores(tmp_path / "a.csv", scores(unit=unit))
    write_failures(tmp_path / "f.csv", failure(unit=unit, key=unit))
    assert read_scores(tmp_path / "a.csv")["unit"].tolist() == [unit]
    assert read_failures(tmp_path / "f.csv")[["unit", "key"]].to_numpy().tolist() == [[unit, unit]]


def test_a_blank_value_comes_back_as_missing_and_the_others_as_numbers(tmp_path: Path) -> None:
    table = pd.concat([scores(), scores(unit="v", value=None, status="undefined", reason="few")])
    write_scores(tmp_path / "a.csv", table)
    back = read_scores(tmp_path / "a.csv")
    assert back["value"].iloc[0] == 0.5
    assert np.isnan(back["value"].iloc[1])
    assert back["reason"].tolist() == ["", "few"]
    assert back[["fold", "seed", "n"]].dtypes.astype(str).tolist() == ["int64"] * 3


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (scores().drop(columns="n"), "expected the columns"),
        (scores().assign(seconds=1.0), "expected the columns"),
        (scores()[SCORE_COLUMNS[::-1]], "expected the columns"),
        (scores(status="fine"), r"unknown status \['fine'\]"),
        (pd.concat([scores(), scores(value=0.7)]), r"1 row\(s\) repeat a key"),
        (scores(value=None), "if and only if the status is ok"),
        (scores(value=0.0, status="undefined"), "if and only if the status is ok"),
        (scores(value=0.0, status="failed"), "if and only if the status is ok"),
        (scores(value=float("nan")), "if and only if the status is ok"),
    ],
    ids=[
        *("missing column", "unknown column", "other order", "status", "repeated key"),
        *("ok without value", "undefined is not 0", "failed is not 0", "NaN is no score"),
    ],
)
def test_a_broken_score_table_is_not_written(
    tmp_path: Path, table: pd.DataFrame, told: str
) -> None:
    with pytest.raises(TableError, match=told):
        write_scores(tmp_path / "a.csv", table)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_score_table_is_not_read(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.csv", scores())
    text = (tmp_path / "a.csv").read_text()
    (tmp_path / "a.csv").write_text(text.replace("ok", "fine"))
    with pytest.raises(TableError, match=r"a\.csv: unknown status"):
        read_scores(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text(text.replace("0.5", "half"))
    with pytest.raises(TableError, match=r"a\.csv: cannot be read as a table"):
        read_scores(tmp_path / "a.csv")


def test_an_infinite_score_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError):
        write_scores(tmp_path / "a.csv", scores(value=float("inf")))


def test_a_failure_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"unknown kind \['guess'\]"):
        write_failures(tmp_path / "f.csv", failure(kind="guess"))
    with pytest.raises(TableError, match="expected the columns"):
        write_failures(tmp_path / "f.csv", failure().drop(columns="key"))


def test_a_split_with_an_unknown_role_is_refused(tmp_path: Path) -> None:
    rows = pd.DataFrame({"cell_id": ["a"], "fold": [0], "role": ["train"]})
    check_roles(rows, tmp_path)
    with pytest.raises(TableError, match=r"unknown role \['tset'\]"):
        check_roles(rows.assign(role="tset"), tmp_path)
    with pytest.raises(TableError, match="expected the columns"):
        check_roles(rows.assign(donor="d"), tmp_path)


def test_constants_are_rounded_to_ten_digits_and_stay_json(tmp_path: Path) -> None:
    plain = as_plain({"a": 1 / 3, "b": {"c": (2 / 3, "x")}, "d": True, "e": None, "f": 3})
    assert plain == {
        "a": 0.3333333333,
        "b": {"c": [0.6666666667, "x"]},
        "d": True,
        "e": None,
        "f": 3,
    }
    write_json(tmp_path / "a.json", plain)
    assert read_json(tmp_path / "a.json") == plain
