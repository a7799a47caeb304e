"""The reader of R files, on tiny files that these tests write byte by byte, as R's save() does."""

import bz2
import gzip
import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdata
from scipy import sparse

from leaderboard.datasets._r import Array, Matrix, Node, counts_csr, read_r
from leaderboard.errors import ReadError

# ---------------------------------------------------------------- R's serialization, XDR, format 2

NULL = struct.pack(">i", 254)
NA = -(2**31)
IS_OBJECT, HAS_ATTRIBUTES, HAS_TAG = 1 << 8, 1 << 9, 1 << 10


def char(text: str | None, encoding: str = "utf-8") -> bytes:
    if text is None:
        return struct.pack(">ii", 9, -1)
    flag = {"utf-8": 1 << 3, "latin-1": 1 << 2}[encoding]
    data = text.encode(encoding)
    return struct.pack(">ii", 9 | flag << 12, len(data)) + data


def symbol(name: str) -> bytes:
    return struct.pack(">i", 1) + char(name)


def pairs(**items: bytes) -> bytes:
    tagged = [struct.pack(">i", 2 | HAS_TAG) + symbol(k) + v for k, v in items.items()]
    return b"".join(tagged) + NULL


def with_attributes(kind: int, body: bytes, attributes: dict[str, bytes]) -> bytes:
    flags = (
        kind | (HAS_ATTRIBUTES if attributes else 0) | (IS_OBJECT if "class" in attributes else 0)
    )
    return struct.pack(">i", flags) + body + (pairs(**attributes) if attributes else b"")


def strings(*texts: str | None, **attributes: bytes) -> bytes:
    body = struct.pack(">i", len(texts)) + b"".join(map(char, texts))
    return with_attributes(16, body, attributes)


def integers(*values: int, **attributes: bytes) -> bytes:
    return with_attributes(
        13, struct.pack(f">{len(values) + 1}i", len(values), *values), attributes
    )


def logicals(*values: int) -> bytes:
    return struct.pack(f">{len(values) + 2}i", 10, len(values), *values)


def reals(*values: float, **attributes: bytes) -> bytes:
    body = struct.pack(f">i{len(values)}d", len(values), *values)
    return with_attributes(14, body, attributes)


def vector(*items: bytes, **attributes: bytes) -> bytes:
    return with_attributes(19, struct.pack(">i", len(items)) + b"".join(items), attributes)


def named(**items: bytes) -> bytes:
    return vector(*items.values(), names=strings(*items))


def s4(name: str, **slots: bytes) -> bytes:
    return with_attributes(25, b"", {**slots, "class": strings(name)})


def environment(frame: bytes, *buckets: bytes) -> bytes:
    table = vector(*buckets) if buckets else NULL
    return struct.pack(">ii", 4, 0) + NULL + frame + table + NULL


def factor(levels: list[str], *codes: int) -> bytes:
    return integers(*codes, levels=strings(*levels), **{"class": strings("factor")})


def data_frame(row_names: bytes, **columns: bytes) -> bytes:
    return vector(
        *columns.values(),
        names=strings(*columns),
        **{"class": strings("data.frame"), "row.names": row_names},
    )


def saved(**objects: bytes) -> bytes:
    return b"RDX2\nX\n" + struct.pack(">iii", 2, 0x30501, 0x20300) + pairs(**objects)


NO_NAMES = vector(NULL, NULL)
GENE_NAMES = vector(strings("g1", "g2", "g3"), strings("c1", "c2"))
DENSE = np.array([[0, 5], [1, 0], [2, 7]])
"""Three genes in two cells: what every matrix below holds."""


def sparse_columns(dimnames: bytes = GENE_NAMES) -> bytes:
    return s4(
        "dgCMatrix",
        i=integers(1, 2, 0, 2),
        p=integers(0, 2, 4),
        x=reals(1, 2, 5, 7),
        Dim=integers(3, 2),
        Dimnames=dimnames,
    )


def assays_in_slot(counts: bytes) -> bytes:
    return s4("SimpleAssays", data=s4("SimpleList", listData=named(counts=counts)))


def assays_in_environment(counts: bytes) -> bytes:
    """Build the old class, whose environment holds the object that holds the environment.

    Symbols and environments are numbered as they come. In ``saved(x=experiment(...))`` the symbols
    ``x``, ``assays`` and ``.xData`` come first, so this environment is number 4.
    """
    number_4 = struct.pack(">i", 4 << 8 | 255)
    itself = s4("ShallowSimpleListAssays", **{".xData": number_4})
    data = s4("SimpleList", listData=named(counts=counts))
    fields = environment(NULL, pairs(**{".self": itself, ".->data": data}))
    return s4("ShallowSimpleListAssays", **{".xData": fields})


def experiment(assays: bytes) -> bytes:
    return s4("SummarizedExperiment", assays=assays)


def dense(matrix: Matrix) -> Array:
    entries = matrix.entries
    return entries if isinstance(entries, np.ndarray) else entries.toarray()


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], Node]:
    """Write one object named x, read the file, and stand on the object."""

    def read_object(x: bytes) -> Node:
        path = tmp_path / "tiny.rda"
        path.write_bytes(gzip.compress(saved(x=x)))
        return read_r(path).item("x")

    return read_object


Read = Callable[[bytes], Node]

# ------------------------------------------------------------------ what it reads


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_a_file_is_read_whatever_its_compression(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "tiny.RData"
    path.write_bytes(compress(saved(first=reals(1.5), second=strings("a"))))
    assert read_r(path).item("first").vector().tolist() == [1.5]
    assert read_r(path).item("second").strings() == ["a"]


def test_missing_values_stay_missing(read: Read) -> None:
    assert read(strings("a", None)).strings() == ["a", None]
    assert np.isnan(read(integers(3, NA)).vector()[1])
    assert np.isnan(read(logicals(1, NA)).vector()[1])
    assert np.isnan(read(reals(np.nan, 2)).vector()[0])


def test_whole_numbers_and_truth_values_keep_their_type(read: Read) -> None:
    assert np.asarray(read(integers(3, -4)).vector()).dtype == np.int32
    assert np.asarray(read(logicals(1, 0)).vector()).dtype == bool


def test_a_string_is_decoded_as_its_flag_says(read: Read) -> None:
    both = struct.pack(">ii", 16, 2) + char("naïve") + char("naïve", "latin-1")
    assert read(both).strings() == ["naïve", "naïve"]


def test_a_factor_keeps_all_levels_their_order_and_its_gaps(read: Read) -> None:
    cells = read(factor(["T", "B", "unused"], 2, NA, 1)).vector()
    assert isinstance(cells, pd.Categorical)
    assert list(cells.categories) == ["T", "B", "unused"]
    assert cells.codes.tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    "matrix",
    [
        pytest.param(sparse_columns(), id="dgCMatrix"),
        pytest.param(
            s4(
                "dgRMatrix",
                p=integers(0, 1, 2, 4),
                j=integers(1, 0, 0, 1),
                x=reals(5, 1, 2, 7),
                Dim=integers(3, 2),
                Dimnames=GENE_NAMES,
            ),
            id="dgRMatrix",
        ),
        pytest.param(
            s4(
                "dgTMatrix",
                i=integers(2, 0, 1, 2, 2),
                j=integers(1, 1, 0, 0, 1),
                x=reals(3, 5, 1, 2, 4),
                Dim=integers(3, 2),
                Dimnames=GENE_NAMES,
            ),
            id="dgTMatrix, where an entry in two parts is their sum",
        ),
        pytest.param(
            s4("dgeMatrix", x=reals(0, 1, 2, 5, 0, 7), Dim=integers(3, 2), Dimnames=GENE_NAMES),
            id="dgeMatrix",
        ),
        pytest.param(
            reals(0, 1, 2, 5, 0, 7, dim=integers(3, 2), dimnames=GENE_NAMES), id="plain matrix"
        ),
    ],
)
def test_every_kind_of_matrix_is_rows_by_columns_with_names(read: Read, matrix: bytes) -> None:
    found = read(matrix).matrix()
    np.testing.assert_array_equal(dense(found), DENSE)
    assert found.rows is not None
    assert found.columns is not None
    assert [list(found.rows), list(found.columns)] == [["g1", "g2", "g3"], ["c1", "c2"]]


@pytest.mark.parametrize(
    "matrix", [sparse_columns(NO_NAMES), reals(0, 1, 2, 5, 0, 7, dim=integers(3, 2))]
)
def test_a_matrix_may_have_no_names(read: Read, matrix: bytes) -> None:
    found = read(matrix).matrix()
    assert (found.rows, found.columns) == (None, None)


@pytest.mark.parametrize("assays", [assays_in_slot, assays_in_environment])
def test_an_assay_is_found_in_new_and_in_old_experiments(
    read: Read, assays: Callable[[bytes], bytes]
) -> None:
    found = read(experiment(assays(sparse_columns()))).assay("counts")
    np.testing.assert_array_equal(dense(found), DENSE)


def test_an_environment_that_contains_itself_can_be_walked_in_circles(read: Read) -> None:
    assays = read(experiment(assays_in_environment(sparse_columns()))).slot("assays")
    for _ in range(3):
        assays = assays.slot(".xData").item(".self")
    data = assays.slot(".xData").item(".->data").slot("listData")
    np.testing.assert_array_equal(dense(data.item("counts").matrix()), DENSE)


def test_an_environment_gives_what_its_frame_and_its_hash_table_hold(read: Read) -> None:
    found = read(environment(pairs(a=reals(1)), pairs(b=reals(2)), NULL))
    assert [found.item("a").vector().tolist(), found.item("b").vector().tolist()] == [[1], [2]]


def test_a_data_frame_keeps_row_names_and_factors(read: Read) -> None:
    table = read(
        data_frame(strings("c1", "c2"), donor=integers(101, 107), kind=factor(["T", "B"], 2, 1))
    ).frame()
    assert list(table.index) == ["c1", "c2"]
    assert table["donor"].tolist() == [101, 107]
    assert table["kind"].tolist() == ["B", "T"]


def test_rows_without_names_are_numbered(read: Read) -> None:
    table = read(data_frame(integers(NA, -2), donor=integers(101, 107))).frame()
    assert list(table.index) == [0, 1]


def test_an_s4_table_is_a_data_frame_and_reads_only_the_columns_asked_for(read: Read) -> None:
    columns = named(kind=factor(["T"], 1, 1), design=reals(1, 0, 0, 1, dim=integers(2, 2)))
    table = read(s4("DFrame", rownames=strings("c1", "c2"), nrows=integers(2), listData=columns))
    assert table.frame(["kind"]).to_dict() == {"kind": {"c1": "T", "c2": "T"}}
    with pytest.raises(ReadError, match=r"listData\$design: expected a vector without dimensions"):
        table.frame()


def test_a_slot_that_is_null_means_no_row_names(read: Read) -> None:
    null_slot = symbol("\001NULL\001")
    table = read(s4("DataFrame", rownames=null_slot, listData=named(a=reals(1, 2)))).frame()
    assert list(table.index) == [0, 1]


def test_a_table_written_by_another_program_reads_the_same(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"n": [1.0, 2.5], "kind": pd.Categorical(["b", "a"])}, index=pd.Index(["x", "y"])
    )
    path = tmp_path / "other.rda"
    rdata.write_rda(path, {"table": table})
    pd.testing.assert_frame_equal(read_r(path).item("table").frame(), table)


# ------------------------------------------------------------------ what it refuses


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"gone\.rda: expected an R file .* got none"):
        read_r(tmp_path / "gone.rda")


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, bytes])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(
    tmp_path: Path, compress: Callable[[bytes], bytes], kept: float
) -> None:
    path = tmp_path / "short.rda"
    whole = compress(saved(x=sparse_columns(), y=strings("a", "b"), z=reals(*range(50))))
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ReadError, match=r"short\.rda: expected a file of R's save\(\).*damaged"):
        read_r(path)


@pytest.mark.parametrize(
    "junk",
    [b"", b"<html>challenge</html>", saved()[:-4] + struct.pack(">i", 199), saved(x=NULL) + b"!"],
)
def test_bytes_that_are_no_r_file_are_refused(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "junk.rda"
    path.write_bytes(junk)
    with pytest.raises(ReadError, match="cannot be decoded"):
        read_r(path)


def test_a_missing_object_is_told_with_the_place_and_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "tiny.rda"
    path.write_bytes(saved(a=named(counts=reals(1), genes=reals(2))))
    with pytest.raises(ReadError, match=r"^tiny\.rda: expected \$b, got a "):
        read_r(path).item("b")
    with pytest.raises(ReadError, match=r"^tiny\.rda\$a: expected \$cells, got counts, genes "):
        read_r(path).item("a").item("cells")
    with pytest.raises(ReadError, match=r"^tiny\.rda\$a: expected @assays, got names "):
        read_r(path).item("a").assay("counts")


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (Node.strings, "a character vector"),
        (Node.vector, "numbers, strings or a factor"),
        (Node.frame, r"a data\.frame or a DataFrame"),
        (Node.matrix, "one of dgCMatrix, dgRMatrix, dgTMatrix, dgeMatrix"),
    ],
)
def test_an_object_of_another_kind_is_refused(
    read: Read, method: Callable[[Node], object], expected: str
) -> None:
    with pytest.raises(ReadError, match=rf"^tiny\.rda\$x: expected {expected}, got S4 Seurat"):
        method(read(s4("Seurat", version=integers(3))))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        pytest.param(
            reals(1, 2, 3, dim=integers(2, 2)), r"expected a matrix of \[2 2\]", id="too few values"
        ),
        pytest.param(
            s4(
                "dgCMatrix",
                i=integers(0, 99),
                p=integers(0, 1, 2),
                x=reals(1, 1),
                Dim=integers(3, 2),
                Dimnames=NO_NAMES,
            ),
            r"expected a matrix of \[3 2\]",
            id="a row that does not exist",
        ),
        pytest.param(reals(1, dim=integers(1, 1, 1)), "expected two dimensions", id="3 dimensions"),
        pytest.param(reals(1, 2), "expected a matrix, got REAL", id="no dimensions"),
    ],
)
def test_a_broken_matrix_is_refused(read: Read, broken: bytes, message: str) -> None:
    with pytest.raises(ReadError, match=message):
        read(broken).matrix()


def test_a_factor_with_a_code_beyond_its_levels_is_refused(read: Read) -> None:
    with pytest.raises(ReadError, match="expected a factor"):
        read(factor(["T"], 1, 2)).vector()


def test_columns_of_different_length_are_refused(read: Read) -> None:
    with pytest.raises(ReadError, match="expected columns of one length"):
        read(data_frame(integers(NA, -2), a=reals(1, 2), b=reals(1))).frame()


# ------------------------------------------------------------------ counts


def test_counts_become_sorted_csr_float32_without_zeros() -> None:
    counts = counts_csr(np.array([[0.0, 3.0, 1.0], [0.0, 0.0, 2.0]]), "here")
    assert isinstance(counts, sparse.csr_matrix)
    assert counts.dtype == np.dtype(np.float32)
    assert counts.nnz == 3
    assert counts.has_canonical_format


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan, np.inf, 2.0**24 + 1])
def test_what_float32_cannot_count_is_no_count(value: float) -> None:
    with pytest.raises(ReadError, match=r"here: expected counts, .* 1 other value"):
        counts_csr(np.array([[1.0, value]]), "here")
