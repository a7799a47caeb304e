"""Opaque cell ids: real ones leak labels (``...-b_cells``, ``ctrl_...``)."""

import hashlib
from collections.abc import Iterable

import pandas as pd


def opaque_ids(real_ids: Iterable[str], key: str) -> "pd.Series[str]":
    """Return a keyed hash of every real id, indexed by it and sorted by the hash.

    Sorting by the hash shuffles the cells. The key is public (release, board, fold): the hash hides
    labels that ids carry, it does not hide which cell is meant.
    """
    ids = pd.Index(real_ids).astype(str)
    secret = hashlib.sha256(key.encode()).digest()
    hashed = [hashlib.blake2b(i.encode(), key=secret, digest_size=12).hexdigest() for i in ids]
    return pd.Series(hashed, index=ids, name="cell_id").sort_values(kind="stable")
