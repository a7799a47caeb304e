"""Official dictionaries of Geneformer from their pickles, without running what is in them.

A pickle can run code when it is read. Convert a folder once, and read JSON from then on::

    python -m leaderboard.models._geneformer_pickles FOLDER OUT
"""

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np

from leaderboard.errors import CheckpointError, HeldoutError
from leaderboard.models._geneformer_dictionaries import NEEDED, Value, write_dictionary

PICKLES = {
    "token_dictionary": "token_dictionary",
    "gene_median": "gene_median_dictionary",
    "gene_name_id": "gene_name_id_dict",
    "ensembl_mapping": "ensembl_mapping_dict",
}
"""What we call a dictionary, and how the name of its pickle begins."""


class _NumberType:
    """Stands in for ``numpy.dtype``: the name of a plain number, and nothing that numpy runs."""

    def __init__(self, code: object, *_: object) -> None:
        if code not in {"f8", "f4", "i8", "i4", "i2", "u8", "u4", "u2"}:
            raise pickle.UnpicklingError(f"values of type {code!r:.40}")
        self.code = str(code)
        self.order = "<"

    def __setstate__(self, state: tuple[object, ...]) -> None:
        if state[1] not in ("<", ">"):
            raise pickle.UnpicklingError(f"byte order {state[1]!r:.40}")
        self.order = str(state[1])

    def number(self, data: object) -> Value:
        """Return the number that some bytes are."""
        kind = np.dtype(self.order + self.code)
        if type(data) is not bytes or len(data) != kind.itemsize:
            raise pickle.UnpicklingError("a number of the wrong size")
        found: Value = np.frombuffer(data, kind)[0].item()
        return found


class _DictionaryUnpickler(pickle.Unpickler):
    """Knows numbers, text and dictionaries; any other name in the file ends the reading."""

    def find_class(self, module: str, name: str) -> Any:
        """Return our stand-in for the two names that a numpy number is pickled with."""
        if (module, name) == ("numpy", "dtype"):
            return _NumberType
        if (module, name) in {
            ("numpy.core.multiarray", "scalar"),
            ("numpy._core.multiarray", "scalar"),
        }:
            return _NumberType.number
        raise pickle.UnpicklingError(f"asks for {module}.{name}")

    def persistent_load(self, _pid: object) -> Any:
        """Refuse what is kept outside the file."""
        raise pickle.UnpicklingError("asks for an object outside the file")


def read_pickled_dictionary(path: Path) -> dict[str, Value]:
    """Return an official dictionary: names to text or numbers. Nothing in the file can run.

    Raises
    ------
    CheckpointError
        If the file is broken or holds, or asks for, anything else.
    """
    try:
        with path.open("rb") as file:
            found = _DictionaryUnpickler(file).load()
    except Exception as error:  # a hostile pickle may raise anything
        raise CheckpointError(
            f"{path}: refused: {type(error).__name__}: {error}. Expected a pickled dictionary of "
            "names and numbers; fetch the official file again."
        ) from error
    plain = type(found) is dict and all(
        type(k) is str and type(v) in (str, int, float) for k, v in found.items()
    )
    if not plain or not found:
        raise CheckpointError(
            f"{path}: expected a dictionary of names to text or numbers, got something else. Fetch "
            "the official file again."
        )
    return dict(found)


def convert_dictionaries(folder: Path, out: Path) -> list[Path]:
    """Convert the official pickles of a folder to the JSON that we read; return what was written.

    Raises
    ------
    CheckpointError
        If one is missing, stands there twice, or is refused.
    """
    written = {}
    for name, beginning in PICKLES.items():
        found = sorted(folder.glob(f"{beginning}*.pkl"))
        if len(found) > 1 or (not found and name in NEEDED):
            raise CheckpointError(
                f"{folder}: expected one {beginning}*.pkl, got {len(found)}. Give a folder with "
                "the dictionaries of one model."
            )
        if found:
            written[out / f"{name}.json"] = read_pickled_dictionary(found[0])
    out.mkdir(parents=True, exist_ok=True)
    return [write_dictionary(path, values) for path, values in written.items()]


def main(arguments: list[str]) -> int:
    """Convert FOLDER to OUT, or say in one line why not."""
    if len(arguments) != 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        written = convert_dictionaries(Path(arguments[0]), Path(arguments[1]))
    except HeldoutError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
