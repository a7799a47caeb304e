"""A simulated atlas: types on a tree, donors, batches, tissues, times, a disease, some proteins.

Whatever tells two states apart by biology is a shift in the activity of regulators that runs
through one network: so the network is recoverable in principle. Donors and batches also shift
single genes. ``states.parquet`` holds the expected shares of every state with its donor and batch.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from leaderboard.datasets._simulation import (
    CountLaw,
    Network,
    NetworkLaw,
    draw_barcodes,
    draw_counts,
    draw_genes,
    draw_network,
    effect_sizes,
    generators,
    propagate,
    read_counts,
    read_parameters,
    shares,
    write_counts,
    write_truth,
)
from leaderboard.spec import CONTROL, Source

TYPES = ("A1", "A2", "A3", "B1", "B2", "C1", "C2", "C3", "D1", "D2")
"""Leaves of the tree: the letter is the branch."""
RARE = ("C3", "D2")
COMMON_FRACTION = (0.22, 0.16, 0.08, 0.14, 0.10, 0.14, 0.06, 0.10)
"""Mean composition of the other types, in their order."""
CONCENTRATION = 25.0
"""Of the Dirichlet over donors: the standard deviation of a fraction of .2 is .08."""
TISSUES = ("tissue_1", "tissue_2")
TIMES = ("day_0", "day_3", "day_7")
FACTOR_SD = 0.9
"""Spread of the activity shift of a tissue, of the last time point and of the disease."""


@dataclass(frozen=True, kw_only=True)
class Parameters(CountLaw):
    """Knobs of the atlas, as in the dataset's record."""

    seed: int
    cells: int
    genes: int
    regulators: int
    modules: int
    proteins: int
    donors: int
    batches: int
    rare_fraction: float
    """Expected fraction of each rare type, in every donor."""
    branch_sd: float
    """Spread of regulator activity between branches of the tree."""
    sibling_sd: float
    """The same between the types of one branch: small is hard."""
    state_sd: float
    """The same between states of one type: donor x tissue x time."""
    donor_sd: float
    """Spread of a donor's effect on a gene's log rate; half of it again by cell type."""
    batch_sd: float
    protein_noise: float
    """Spread of a protein between cells of one state, in log units."""


def _simulate(folder: Path, parameters: Mapping[str, Any]) -> None:
    knobs = read_parameters(Parameters, parameters)
    rng = generators(
        knobs.seed, "genes", "network", "donors", "activity", "technical", "cells", "proteins"
    )
    genes = draw_genes(rng["genes"], knobs.genes, knobs)
    network = _draw_network(rng["network"], genes, knobs)
    genes["is_regulator"] = np.isin(np.arange(knobs.genes), network.regulators)
    donors = _draw_donors(rng["donors"], knobs)
    axes = _list_axes(donors)
    response, effects = _draw_response(rng["activity"], axes, donors, network, knobs)
    technical = _draw_technical(rng["technical"], axes, donors, knobs)
    expected = shares(genes["base_log_rate"].to_numpy() + response + technical)
    states = _name(axes, donors)
    state = _draw_cells(rng["cells"], donors, knobs)
    obs = _describe(states.iloc[state]).set_index(draw_barcodes(rng["cells"], knobs.cells))
    depth = obs["batch"].map(donors.set_index("batch")["depth"].to_dict()).to_numpy(float)
    dispersion = genes["dispersion"].to_numpy()
    counts = draw_counts(rng["cells"], knobs, depth, state, expected, dispersion)
    table = pd.DataFrame(expected, columns=genes["gene"].to_numpy())
    proteins = _draw_proteins(rng["proteins"], table, states, state, knobs)
    genes["has_protein"] = genes["gene"].isin(proteins["protein"].columns)
    write_counts(folder, counts, obs, genes, proteins)
    tables = {"network": network.edges(genes["gene"]), "gene": genes, "effects": effects}
    facts = {"parameters": asdict(knobs), "library": "lognormal, by batch alone"}
    facts["depth"] = dict(sorted(zip(donors["batch"], donors["depth"], strict=True)))
    write_truth(folder, {**tables, "states": states.join(table)}, facts)


def _draw_network(rng: np.random.Generator, genes: pd.DataFrame, knobs: Parameters) -> Network:
    law = NetworkLaw(
        regulators=knobs.regulators,
        modules=knobs.modules,
        pool=knobs.genes // 10,
        targets=knobs.genes // 30,
        weight=0.6,
        mates=1,
        mate_weight=0.3,
    )
    return draw_network(rng, genes["base_log_rate"].to_numpy(), law)


def _draw_donors(rng: np.random.Generator, knobs: Parameters) -> pd.DataFrame:
    """Rows ``donor_id batch condition depth weight`` + a fraction for each type.

    Every batch holds both conditions. The last donor was run in two batches, hence two rows: the
    bridge without which donor and batch would be nested.
    """
    i = np.append(np.arange(knobs.donors), knobs.donors - 1)
    batch = i % knobs.batches
    batch[-1] = (batch[-1] + 1) % knobs.batches
    weight = rng.uniform(0.6, 1.4, knobs.donors)
    weight[-1] /= 2.0
    depth = np.round(rng.uniform(0.7, 1.3, knobs.batches), 3)
    common = rng.dirichlet(CONCENTRATION * np.array(COMMON_FRACTION), knobs.donors)
    fractions = pd.DataFrame(knobs.rare_fraction, index=range(knobs.donors), columns=list(TYPES))
    fractions[[t for t in TYPES if t not in RARE]] = common * (
        1.0 - len(RARE) * knobs.rare_fraction
    )
    donors = pd.DataFrame(
        {
            "donor_id": [f"D{d + 1:02d}" for d in i],
            "batch": [f"batch_{b + 1}" for b in batch],
            "condition": np.where((i + i // knobs.batches) % 2, "disease", CONTROL),
            "depth": depth[batch],
            "weight": weight[i] / weight[i].sum(),
        }
    )
    return donors.join(fractions.iloc[i].reset_index(drop=True))


def _list_axes(donors: pd.DataFrame) -> Int[np.ndarray, "states 4"]:
    """Positions (row of ``donors``, type, tissue, time) of every state, in that order."""
    sizes = (len(donors), len(TYPES), len(TISSUES), len(TIMES))
    return np.indices(sizes).reshape(len(sizes), -1).T


def _name(axes: Int[np.ndarray, "states 4"], donors: pd.DataFrame) -> pd.DataFrame:
    """Rows ``cell_type donor_id batch tissue time condition``."""
    donor, cell_type, tissue, time = axes.T
    return pd.DataFrame(
        {
            "cell_type": np.array(TYPES)[cell_type],
            "donor_id": donors["donor_id"].to_numpy()[donor],
            "batch": donors["batch"].to_numpy()[donor],
            "tissue": np.array(TISSUES)[tissue],
            "time": np.array(TIMES)[time],
            "condition": donors["condition"].to_numpy()[donor],
        }
    )


def _draw_response(
    rng: np.random.Generator,
    axes: Int[np.ndarray, "states 4"],
    donors: pd.DataFrame,
    network: Network,
    knobs: Parameters,
) -> tuple[Float[np.ndarray, "states genes"], pd.DataFrame]:
    """Shift of every log rate by what drives the regulators in each state; effects of factors."""
    n = len(network.regulators)
    donor, cell_type, tissue, time = axes.T
    types = _draw_types(rng, n, knobs)
    is_disease = (donors["condition"] == "disease").to_numpy(float)
    factors = {
        "tissue": (tissue.astype(float), _sparse_shift(rng, n)),
        "time": (time / (len(TIMES) - 1), _sparse_shift(rng, n)),
        "condition": (is_disease[donor], _sparse_shift(rng, n)),
    }
    activity = types[cell_type] + rng.normal(0.0, knobs.state_sd, (len(axes), n))
    for level, shift in factors.values():
        activity += level[:, None] * shift
    effects = [
        _measure(network, knobs.genes, types, shift).assign(factor=factor)
        for factor, (_, shift) in factors.items()
    ]
    return _respond(network, activity, knobs.genes), pd.concat(effects, ignore_index=True)


def _draw_types(
    rng: np.random.Generator, n: int, knobs: Parameters
) -> Float[np.ndarray, "types regulators"]:
    """Activity of each regulator in each type: that of its branch and a little of its own."""
    branch = np.unique([t[0] for t in TYPES], return_inverse=True)[1]
    of_branch = rng.normal(0.0, knobs.branch_sd, (branch.max() + 1, n))
    of_branch *= rng.random(of_branch.shape) < 0.4
    own = rng.normal(0.0, knobs.sibling_sd, (len(TYPES), n))
    own *= rng.random(own.shape) < 0.2
    return of_branch[branch] + own


def _sparse_shift(rng: np.random.Generator, n: int) -> Float[np.ndarray, " regulators"]:
    return rng.normal(0.0, FACTOR_SD, n) * (rng.random(n) < 0.15)


def _respond(
    network: Network, activity: Float[np.ndarray, "states regulators"], n_genes: int
) -> Float[np.ndarray, "states genes"]:
    drive = np.zeros((len(activity), n_genes))
    drive[:, network.regulators] = activity
    return propagate(network, drive)


def _measure(
    network: Network,
    n_genes: int,
    types: Float[np.ndarray, "types regulators"],
    shift: Float[np.ndarray, " regulators"],
) -> pd.DataFrame:
    """Size of one factor's full effect in each type, in natural log units of the rate."""
    effect = _respond(network, types + shift, n_genes) - _respond(network, types, n_genes)
    return pd.DataFrame({"cell_type": TYPES, **effect_sizes(effect)})


def _draw_technical(
    rng: np.random.Generator,
    axes: Int[np.ndarray, "states 4"],
    donors: pd.DataFrame,
    knobs: Parameters,
) -> Float[np.ndarray, "states genes"]:
    """Effects on single genes: of the donor, of the donor in one type, of the batch."""
    donor, donor_of_row = np.unique(donors["donor_id"], return_inverse=True)
    batch, batch_of_row = np.unique(donors["batch"], return_inverse=True)
    everywhere = rng.normal(0.0, knobs.donor_sd, (len(donor), knobs.genes))
    by_type = rng.normal(0.0, knobs.donor_sd / 2.0, (len(donor), len(TYPES), knobs.genes))
    of_batch = rng.normal(0.0, knobs.batch_sd, (len(batch), knobs.genes))
    row, cell_type = axes[:, 0], axes[:, 1]
    effect = by_type[donor_of_row[row], cell_type]
    effect += everywhere[donor_of_row[row]] + of_batch[batch_of_row[row]]
    return np.asarray(effect)


def _draw_cells(
    rng: np.random.Generator, donors: pd.DataFrame, knobs: Parameters
) -> Int[np.ndarray, " cells"]:
    """Draw the state of every cell; each donor has its own composition."""
    donor = rng.choice(len(donors), knobs.cells, p=donors["weight"].to_numpy())
    cumulative = donors[list(TYPES)].to_numpy().cumsum(axis=1)[donor]
    # The last bound is left out, as rounding may leave it just below one.
    cell_type = (rng.random(knobs.cells)[:, None] > cumulative[:, :-1]).sum(axis=1)
    tissue = rng.integers(len(TISSUES), size=knobs.cells)
    time = rng.integers(len(TIMES), size=knobs.cells)
    sizes = (len(donors), len(TYPES), len(TISSUES), len(TIMES))
    return np.ravel_multi_index((donor, cell_type, tissue, time), sizes)


def _describe(obs: pd.DataFrame) -> pd.DataFrame:
    """Columns of ``obs`` that follow from the state."""
    disease = np.where(obs["condition"] == CONTROL, "normal", "simulated disease")
    return obs.assign(disease=disease, library=obs["batch"], assay="simulated")


def _draw_proteins(
    rng: np.random.Generator,
    expected: pd.DataFrame,
    states: pd.DataFrame,
    state: Int[np.ndarray, " cells"],
    knobs: Parameters,
) -> dict[str, pd.DataFrame]:
    """Surface proteins (cells x proteins), log units, named by their gene; and without noise.

    A protein follows the log expected count of its gene in 10,000, with a slope of its own, a
    translation that depends on the type, and noise of the cell: no counts, so no dropout.
    """
    log_expected = pd.DataFrame(np.log1p(10_000.0 * expected))
    # Genes that differ most between states: the ones antibodies are made for.
    varied = sorted(log_expected.var().nlargest(5 * knobs.proteins).index)
    names = sorted(rng.choice(varied, knobs.proteins, replace=False))
    translation = rng.normal(0.0, 0.5, (len(TYPES), knobs.proteins))
    slope = rng.uniform(0.4, 1.0, knobs.proteins)
    cell_type = np.searchsorted(TYPES, states["cell_type"])
    mean = slope * log_expected[names].to_numpy() + translation[cell_type]
    noise = rng.normal(0.0, knobs.protein_noise, (len(state), knobs.proteins))
    expected_of_cell = pd.DataFrame(mean[state], columns=names)
    return {"protein": expected_of_cell + noise, "protein_mean": expected_of_cell}


def _true_states(folder: Path) -> pd.DataFrame:
    """Average the log shares of a type's states, so that donors, batches and factors cancel."""
    states = pd.read_parquet(folder / "states.parquet")
    genes = pd.read_parquet(folder / "gene.parquet", columns=["gene"])["gene"]
    logs = pd.DataFrame(np.log(states[list(genes)].to_numpy()), columns=list(genes))
    return logs.groupby(states["cell_type"], sort=True).mean().reset_index()


SOURCE = Source(name="sim_atlas", read=read_counts, simulate=_simulate, true_states=_true_states)
