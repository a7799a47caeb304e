"""Every number and word that a page prints is written here, and nowhere else."""

import math
import textwrap
from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
NO_BREAK = "\N{NO-BREAK SPACE}"
THREE_DECIMALS = 0.1
"""Ratios below this are written with more digits."""
TINY, NOTHING = 1e-5, 1e-12
"""Below the first a value is written with an exponent; below the second it is rounding error."""
UNITS = {
    "donor_id": ("donor", "donors"),
    "batch": ("batch", "batches"),
    "tissue": ("tissue", "tissues"),
    "time": ("time point", "time points"),
    "condition": ("condition", "conditions"),
    "perturbation": ("perturbation", "perturbations"),
    "cell_line": ("cell line", "cell lines"),
    "cell_type": ("cell type", "cell types"),
    "regulator": ("regulator", "regulators"),
    "gene_fold": ("fold of genes", "folds of genes"),
}
HELD_OUT = {
    "donor": "unseen donors",
    "batch": "unseen batches",
    "tissue": "unseen tissues",
    "time": "unseen time points",
    "condition": "unseen conditions",
    "perturbation": "unseen perturbations",
    "combination": "unseen combinations",
    "context": "unseen contexts",
    "whole": "nothing held out",
}


def number(value: float, digits: int = 3) -> str:
    """Write ``.879`` without the zero, with a true minus; what rounds to zero has no sign.

    Examples
    --------
    >>> number(0.8791), number(1.0), number(0.0)
    ('.879', '1.000', '.000')
    """
    text = f"{abs(value):.{digits}f}"
    sign = MINUS if value < 0 and float(text) != 0 else ""
    return sign + (text[1:] if text.startswith("0.") else text)


def signed(value: float, digits: int = 3) -> str:
    """Write a difference with its sign."""
    text = number(value, digits)
    return f"+{text}" if value > 0 and float(text) != 0 else text


def error_ratio(log_value: float) -> str:
    """Write exp of a stored log; small values keep two significant digits.

    Examples
    --------
    >>> error_ratio(0.0), error_ratio(-4.591)
    ('1.000', '.010')
    """
    value = math.exp(min(log_value, 700.0))
    if value >= 1000:
        return f"{value:.3g}"
    if value >= THREE_DECIMALS or value == 0:
        return number(value)
    return number(value, min(6, 1 - math.floor(math.log10(value))))


def fold_change(log_value: float) -> str:
    """Write exp of a difference of logs as a factor, as in *times 1.12*."""
    value = math.exp(min(log_value, 700.0))
    if value >= 1000:
        return f"{TIMES}{value:.3g}"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= THREE_DECIMALS else 3
    return TIMES + number(value, digits)


def measure(value: float) -> str:
    """Write a value of any size: three decimals, or two significant digits where that says more.

    Examples
    --------
    >>> measure(0.8791), measure(0.00123), measure(41.26), measure(20000.0)
    ('.879', '.0012', '41.3', '20,000')
    """
    size = abs(value)
    if size >= 1000:
        return count(value) if size < 1e6 else f"{value:.1e}".replace("-", MINUS)
    if size >= 10:
        return number(value, 1)
    if size < TINY:
        return number(value) if size < NOTHING else f"{value:.1e}".replace("-", MINUS)
    return number(value, max(3, 1 - math.floor(math.log10(size))))


def bracket(low: str, high: str) -> str:
    """Write an interval."""
    return f"[{low}, {high}]"


def ranks(low: int, high: int) -> str:
    """Write a rank set."""
    return str(low) if low == high else f"{low}\N{EN DASH}{high}"


def p_value(value: float) -> str:
    """Write a p value, never as zero or one."""
    if value < 0.001:
        return "p < .001"
    return "p > .999" if value > 0.999 else f"p = {number(value)}"


def probability(value: float) -> str:
    """Write a stated probability; only certainty is 1."""
    return "> .999" if 0.9995 <= value < 1 else number(value)


def percent(fraction: float) -> str:
    """Write a share; only all is 100 % and only none is 0 %."""
    whole = round(100 * fraction)
    if fraction > 0 and whole == 0:
        return f"< 1{NO_BREAK}%"
    if fraction < 1 and whole == 100:
        return f"> 99{NO_BREAK}%"
    return f"{whole}{NO_BREAK}%"


def count(value: float) -> str:
    """Write a whole number with thousands apart."""
    return f"{value:,.0f}".replace("-", MINUS)


def duration(seconds: float) -> str:
    """Write a time with one unit."""
    if seconds < 1:
        return f"< 1{NO_BREAK}s"
    if seconds < 120:
        return f"{seconds:.0f}{NO_BREAK}s"
    if seconds < 7200:
        return f"{seconds / 60:.0f}{NO_BREAK}min"
    return f"{seconds / 3600:.1f}{NO_BREAK}h"


def memory(megabytes: float) -> str:
    """Write an amount of memory."""
    if megabytes < 1000:
        return f"{megabytes:.0f}{NO_BREAK}MB"
    return f"{megabytes / 1000:.1f}{NO_BREAK}GB"


def digest(value: str) -> str:
    """Shorten a hash; short words stay whole, DVC's mark of a folder goes."""
    value = value.removesuffix(".dir")
    return value if len(value) <= 12 else f"{value[:6]}{ELLIPSIS}{value[-2:]}"


def listing(names: Sequence[str], most: int = 6) -> str:
    """Join names: ``A, B and C``; many end in ``and n more``."""
    shown = list(names[:most])
    if len(names) > most:
        shown = [*names[: most - 1], f"{len(names) - most + 1} more"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def first_words(sentence: str, most: int = 90) -> str:
    """Cut a sentence between two words, for a table; its own page has it whole.

    Examples
    --------
    >>> first_words("the file does not hold real cells", 20), first_words("short", 20)
    ('the file does not…', 'short')
    """
    return textwrap.shorten(sentence, most, placeholder=ELLIPSIS)


def unit_word(unit: str, n: int) -> str:
    """Name units of replication in the singular or plural."""
    one, many = UNITS.get(unit, (unit, f"{unit} values"))
    return one if n == 1 else many


def held_out(split_key: str) -> str:
    """Say in words what a split holds out, and on which variant of a dataset.

    Examples
    --------
    >>> held_out("perturbation-k562"), held_out("random-donor")
    ('unseen perturbations (K562)', 'cells dealt at random (twin of unseen donors)')
    """
    split, _, rest = split_key.partition("-")
    if split == "random":
        other, _, variant = rest.partition("-")
        words = ", ".join(filter(None, (_unseen(other), _variant(variant))))
        return f"cells dealt at random (twin of {words})" if rest else "cells dealt at random"
    return f"{_unseen(split)} ({_variant(rest)})" if rest else _unseen(split)


def _unseen(split: str) -> str:
    return HELD_OUT.get(split, split.replace("_", " "))


def _variant(name: str) -> str:
    """Write the variant of a board; what holds a digit names a cell line, in capitals."""
    words = name.replace("_", " ").replace("-", " ").split()
    return " ".join(w.upper() if any(c.isdigit() for c in w) else w for w in words)


def plural(n: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def folds(numbers: Sequence[int]) -> str:
    """Name the folds of a finding; a negative number stands for all of them."""
    if min(numbers) < 0:
        return "all folds"
    return f"{'fold' if len(numbers) == 1 else 'folds'} {', '.join(map(str, sorted(numbers)))}"
