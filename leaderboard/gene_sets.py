"""Gene sets in the GMT format: one set a line, name, description and genes between tabs."""

from pathlib import Path

from leaderboard.errors import ReadError


def read_gmt(path: Path) -> dict[str, frozenset[str]]:
    """Return every set's genes by its name, in the order of the file.

    Raises
    ------
    ReadError
        If the file is not text, is empty, has a line that is no set, names a set twice, or lists a
        gene twice in one set. Nothing is repaired: a wrong line is a wrong file.
    """
    sets: dict[str, frozenset[str]] = {}
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path}, line {number}"
        name, genes = _gene_set(line, where)
        if name in sets:
            raise ReadError(f"{where}: the set {name!r} is there twice. Check where it came from.")
        sets[name] = frozenset(genes)
    return sets


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ReadError(f"{path}: cannot be read as UTF-8 text ({error}).") from error
    if not text.strip():
        raise ReadError(f"{path}: expected gene sets, one a line, got an empty file.")
    return text.removesuffix("\n").split("\n")


def _gene_set(line: str, where: str) -> tuple[str, list[str]]:
    name, *rest = line.split("\t")
    genes = rest[1:]
    if not name.strip() or not genes:
        raise ReadError(
            f"{where}: expected a name, a description and at least one gene between tabs, got "
            f"{line[:60]!r}."
        )
    wrong = [gene for gene in genes if len(gene.split()) != 1 or gene != gene.strip()]
    if wrong:
        raise ReadError(f"{where}: {wrong[0]!r} is no gene symbol (empty, or with spaces).")
    if len(set(genes)) < len(genes):
        twice = next(gene for gene in genes if genes.count(gene) > 1)
        raise ReadError(f"{where}: the gene {twice!r} is in the set {name!r} twice.")
    return name, genes
