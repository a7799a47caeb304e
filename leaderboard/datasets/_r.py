"""Read what a dataset needs out of an .rda file: vectors, factors, tables, matrices, assays.

``rdata.conversion`` gives up on closures and on old Bioconductor classes. Here ``rdata.parser``
only decodes the bytes into a tree, and a ``Node`` walks down it to the one object that a reader
asks for. Nothing of the file is evaluated, what is not asked for is not looked at, and an
environment that contains itself does no harm.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pandas as pd
from scipy import sparse

from leaderboard.errors import ReadError

if TYPE_CHECKING:
    from rdata.parser import RObject
else:  # rdata takes a second to import, and a node only carries its objects
    RObject = Any

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, int]
Values = sparse.csc_matrix | Array
Slots = Callable[[str], Array]
Builder = Callable[[Slots, Shape], Values]

_LATIN1 = 1 << 2  # flag of a string in ISO 8859-1; every other string is UTF-8 or ASCII
_TABLES = frozenset({"data.frame", "DataFrame", "DFrame"})
_EXACT_IN_FLOAT32 = 2**24

_MATRICES: Mapping[str, Builder] = {
    "dgCMatrix": lambda s, shape: sparse.csc_matrix((s("x"), s("i"), s("p")), shape),
    "dgRMatrix": lambda s, shape: sparse.csr_matrix((s("x"), s("j"), s("p")), shape).tocsc(),
    "dgTMatrix": lambda s, shape: sparse.coo_matrix((s("x"), (s("i"), s("j"))), shape).tocsc(),
    "dgeMatrix": lambda s, shape: s("x").reshape(shape, order="F"),
}
"""How each class of the R package Matrix is built from its slots."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A matrix as R holds it, with the names of its rows and columns where it has them."""

    entries: Values
    rows: "pd.Index[str] | None"
    columns: "pd.Index[str] | None"


def read_r(path: Path) -> "Node":
    """Decode a file of saved objects; ``read_r(path).item(name)`` is one of them."""
    from rdata.parser import parse_file

    if not path.is_file():
        raise ReadError(f"{path.name}: expected an R file at {path}, got none. Fetch it first.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags and file endings that no reader looks at
            tree = parse_file(path).object
    except Exception as error:  # bad bytes can break the parser anywhere
        raise ReadError(
            f"{path.name}: expected a file of R's save(), got bytes that cannot be decoded "
            f"({type(error).__name__}: {error}). Likely cut short or damaged: fetch it again."
        ) from error
    return Node(where=path.name, tree=tree)


def counts_csr(values: Any, where: str) -> sparse.csr_matrix:
    """Turn cells x genes into CSR float32: whole numbers, sorted indices, no stored zeros."""
    counts = sparse.csr_matrix(values, dtype=np.float64)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    data = counts.data
    wrong = data[~((data > 0) & (data == np.rint(data)) & (data <= _EXACT_IN_FLOAT32))]
    if wrong.size:
        raise ReadError(
            f"{where}: expected counts, whole and not negative, got {wrong.size} other value(s), "
            f"the first {wrong[0]:g}. Likely a normalised assay."
        )
    return sparse.csr_matrix(counts, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Node:
    """An object in the tree, and where it is in R's own notation: ``file$object@slot$item``."""

    where: str
    tree: RObject

    def item(self, name: str) -> "Node":
        """Get an element of a list, a data frame, an environment or the file by its name."""
        return self._child(_members(self.tree), name, "$")

    def slot(self, name: str) -> "Node":
        """Get a slot of an S4 object or an attribute of any other one."""
        return self._child(_attributes(self.tree), name, "@")

    def assay(self, name: str) -> Matrix:
        """Get an assay of a SummarizedExperiment or of one of its subclasses.

        The list of assays is a slot, or, in objects of older Bioconductor releases, a field of a
        reference class, which lies in an environment.
        """
        assays = self.slot("assays")
        is_old = "data" not in _attributes(assays.tree)
        data = assays.slot(".xData").item(".->data") if is_old else assays.slot("data")
        return data.slot("listData").item(name).matrix()

    def strings(self) -> list[str | None]:
        """Read a character vector; NA is None."""
        if _kind(self.tree) != "STR":
            self._refuse("a character vector")
        return _strings(self.tree)

    def vector(self) -> "Array | pd.Categorical":
        """Read an atomic vector: strings as objects, a factor as a categorical, NA as missing."""
        if "dim" in _attributes(self.tree):
            self._refuse("a vector without dimensions")
        return self._atoms()

    def matrix(self) -> Matrix:
        """Read a plain matrix or one of the classes of the R package Matrix."""
        attributes = _attributes(self.tree)
        if _kind(self.tree) == "S4":
            values, names = self._build(self._class_builder(), "Dim"), attributes.get("Dimnames")
        elif "dim" in attributes:
            values, names = self._build(self._reshaped, "dim"), attributes.get("dimnames")
        else:
            self._refuse("a matrix")
        rows, columns = [_index(x) for x in names.value] if names else (None, None)
        return Matrix(entries=values, rows=rows, columns=columns)

    def frame(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read a data.frame or an S4 DataFrame; rows without names are numbered from 0.

        Name the columns where others hold no vectors.
        """
        if not _TABLES & set(self._classes()):
            self._refuse("a data.frame or a DataFrame")
        is_s4 = _kind(self.tree) == "S4"
        body = self.slot("listData") if is_s4 else self
        wanted = list(_members(body.tree)) if columns is None else columns
        names = _attributes(self.tree).get("rownames" if is_s4 else "row.names")
        try:
            return pd.DataFrame(
                {name: body.item(name).vector() for name in wanted},
                index=_index(names) if names else None,
            )
        except ValueError as error:
            raise ReadError(f"{self.where}: expected columns of one length, got {error}") from error

    def _child(self, children: "Mapping[str, RObject]", name: str, mark: str) -> "Node":
        if name not in children:
            held = ", ".join(sorted(children)[:10]) or "nothing that has a name"
            raise ReadError(f"{self.where}: expected {mark}{name}, got {held} ({self._what()}).")
        return Node(where=f"{self.where}{mark}{name}", tree=children[name])

    def _classes(self) -> list[str]:
        declared = _attributes(self.tree).get("class")
        return [name or "" for name in _strings(declared)] if declared else []

    def _what(self) -> str:
        return " ".join([_kind(self.tree), *self._classes()])

    def _refuse(self, expected: str) -> NoReturn:
        raise ReadError(f"{self.where}: expected {expected}, got {self._what()}.")

    def _atoms(self) -> "Array | pd.Categorical":
        kind = _kind(self.tree)
        if kind == "STR":
            return np.array(_strings(self.tree), dtype=object)
        if kind not in {"INT", "REAL", "LGL"}:
            self._refuse("numbers, strings or a factor")
        values: Array = self.tree.value
        if "levels" in _attributes(self.tree):
            return self._factor(np.ma.filled(values, 0))
        return np.ma.filled(values.astype(float), np.nan) if np.ma.is_masked(values) else values

    def _factor(self, codes: Array) -> "pd.Categorical":
        levels = pd.Index([level or "" for level in self.slot("levels").strings()])
        try:
            is_ordered = "ordered" in self._classes()
            factor = pd.Categorical.from_codes(
                (codes.astype(int) - 1).tolist(), levels, ordered=is_ordered
            )
        except ValueError as error:
            raise ReadError(f"{self.where}: expected a factor, got {error}") from error
        return factor

    def _slot_vector(self, name: str) -> Array:
        return np.asarray(self.slot(name).vector())

    def _class_builder(self) -> Builder:
        name = next(iter(self._classes()), "")
        if name not in _MATRICES:
            self._refuse(f"one of {', '.join(_MATRICES)}")
        return _MATRICES[name]

    def _reshaped(self, _slots: Slots, shape: Shape) -> Array:
        return np.asarray(self._atoms()).reshape(shape, order="F")

    def _build(self, build: Builder, dim: str) -> Values:
        size = self._slot_vector(dim)
        if size.size != 2:
            self._refuse("two dimensions")
        try:
            values = build(self._slot_vector, (int(size[0]), int(size[1])))
            if not isinstance(values, np.ndarray):
                values.check_format(full_check=True)  # an index out of range would crash scipy
        except ValueError as error:
            raise ReadError(f"{self.where}: expected a matrix of {size}, got {error}") from error
        return values


def _kind(tree: RObject) -> str:
    return str(tree.info.type.name)


def _resolve(tree: RObject) -> RObject:
    return tree.referenced_object or tree


def _text(char: RObject) -> str | None:
    if char.value is None:
        return None
    encoding = "latin-1" if char.info.gp & _LATIN1 else "utf-8"
    # A broken byte stays visible and apart from every other one, so names remain distinct.
    return str(char.value.decode(encoding, errors="backslashreplace"))


def _strings(tree: RObject) -> list[str | None]:
    return [_text(char) for char in tree.value]


def _index(tree: RObject) -> "pd.Index[str] | None":
    return pd.Index([x or "" for x in _strings(tree)]) if _kind(tree) == "STR" else None


def _pairs(tree: RObject) -> "Iterator[tuple[str, RObject]]":
    while _kind(tree) == "LIST":
        value, rest = tree.value
        if tree.tag is not None:
            yield _text(_resolve(tree.tag).value) or "", _resolve(value)
        tree = rest


def _attributes(tree: RObject) -> "dict[str, RObject]":
    return dict(_pairs(tree.attributes)) if tree.attributes is not None else {}


def _members(tree: RObject) -> "dict[str, RObject]":
    kind = _kind(tree)
    if kind == "VEC":
        names = _attributes(tree).get("names")
        keys = [name or "" for name in _strings(names)] if names else []
        return dict(zip(keys, map(_resolve, tree.value), strict=False))
    if kind == "ENV":
        parts = [tree.value.frame, *(tree.value.hash_table.value or [])]
        return {name: value for part in parts for name, value in _pairs(part)}
    return dict(_pairs(tree))
