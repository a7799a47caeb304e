"""Genes whose direction an entry gets wrong in most of the perturbations that move them."""

from typing import Any

import pandas as pd
from scipy import special

from leaderboard.inference._paired import ALPHA, holm

TESTED = "genes tested"
"""``key`` of the row that holds how many genes were tested."""
N_SHOWN = 20


def direction_records(rows: pd.DataFrame) -> dict[str, Any] | None:
    """Return the genes that one entry turns round, with the sign test of each.

    Parameters
    ----------
    rows
        Rows of kind ``direction`` of one entry on one board: subject (gene), value (share of
        responders in which it is predicted in the wrong direction) and n (responders in which the
        gene surely moves and the entry gives a direction); one row has the key ``genes tested``.
        Of several seeds the first is taken, since seeds share every responder.

    Returns
    -------
    dict or None
        ``tested`` genes, ``significant`` ones and the first ``genes`` by p, each with one-sided
        exact sign test (would chance be wrong as often?) and Holm's p over all genes tested. None
        without rows.
    """
    rows = rows[rows["seed"] == rows["seed"].min()]
    tested = rows.loc[rows["key"] == TESTED, "value"]
    if tested.empty:
        return None
    n_tested = int(tested.iloc[0])
    genes = [
        _gene(str(name), float(share), int(n))
        for name, share, n in rows.loc[rows["key"] != TESTED, ["subject", "value", "n"]].itertuples(
            index=False
        )
    ]
    p = {str(g["gene"]): float(g["p"]) for g in genes}
    # Rows hold the smallest p of all genes tested; the rest only fill Holm's places.
    rest = {f"#{k}": 1.0 for k in range(n_tested - len(p))}
    adjusted = holm({**p, **rest})
    records = [{**g, "p_holm": adjusted[g["gene"]]} for g in genes]
    records.sort(key=lambda g: (g["p"], -g["share"], g["gene"]))
    return {
        "tested": n_tested,
        "significant": sum(g["p_holm"] <= ALPHA for g in records),
        "genes": records[:N_SHOWN],
    }


def _gene(name: str, share: float, n: int) -> dict[str, Any]:
    wrong = round(share * n)
    return {"gene": name, "wrong": wrong, "n": n, "share": share, "p": sign_test_p(wrong, n)}


def sign_test_p(wrong: int, n: int) -> float:
    """Probability that a guess of the direction is wrong ``wrong`` times or more in ``n``."""
    return float(special.bdtrc(wrong - 1, n, 0.5)) if wrong > 0 else 1.0
