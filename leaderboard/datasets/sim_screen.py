"""A simulated perturbation screen: singles and pairs, three contexts, every expectation known.

A perturbation clamps the log rate of its target, a regulator, and the clamp runs through the
network of the context. A pair is the sum of its singles in log rate, plus, where there is
epistasis, a part of that sum. ``states.parquet`` holds the expected shares before donor and batch
effects, which stand in ``gene.parquet``; donors and batches of cells are drawn uniformly.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy import sparse

from leaderboard.datasets._simulation import (
    CountLaw,
    Network,
    NetworkLaw,
    draw_barcodes,
    draw_counts,
    draw_genes,
    draw_network,
    effect_sizes,
    expected_log_profiles,
    generators,
    propagate,
    read_counts,
    read_parameters,
    shares,
    write_counts,
    write_truth,
)
from leaderboard.errors import ConfigError
from leaderboard.spec import CONTROL, Source

CONTEXTS = ("lineage_A", "lineage_B", "lineage_C")
DONORS = ("S1", "S2", "S3", "S4")
DEPTH = {"pool_1": 1.0, "pool_2": 0.8}
"""Library size of each batch, relative to the median."""
CONTEXT_SD = 0.35
"""Spread of a context's own log rates around the base."""
MODULE_SD = 0.15
"""Spread of the drive of a context's modules."""
WEAK = 0.3
"""Weight of a weak regulator, relative to a strong one."""


@dataclass(frozen=True, kw_only=True)
class Parameters(CountLaw):
    """Knobs of the screen, as in the dataset's record."""

    seed: int
    genes: int
    regulators: int
    modules: int
    singles: int
    doubles: int
    cells_per_condition: int
    """Cells of one perturbation in one context."""
    control_cells: int
    """Unperturbed cells of one context."""
    clamp_log_fold: float
    """Shift of a clamped regulator: positive activates, negative knocks down."""
    silent_fraction: float
    """Perturbed regulators without any target: their effect is zero."""
    weak_fraction: float
    epistasis_fraction: float
    """Pairs that depart from the sum of their singles, half of them each way."""
    epistasis_magnitude: float
    """The departure, as a part of that sum."""
    donor_sd: float
    batch_sd: float
    """Spread of donor and batch effects on a gene's log rate."""


def _simulate(folder: Path, parameters: Mapping[str, Any]) -> None:
    knobs = read_parameters(Parameters, parameters)
    rng = generators(knobs.seed, "genes", "network", "conditions", "contexts", "technical", "cells")
    genes = draw_genes(rng["genes"], knobs.genes, knobs)
    network = _draw_network(rng["network"], genes, knobs)
    network, conditions = _draw_conditions(rng["conditions"], network, knobs)
    genes["is_regulator"] = np.isin(np.arange(knobs.genes), network.regulators)
    genes = genes.join(_draw_technical(rng["technical"], knobs))
    states, effects = _draw_states(rng["contexts"], genes, network, conditions)
    obs, counts = _draw_cells(rng["cells"], states, genes, knobs)
    write_counts(folder, counts, obs, genes)
    tables = {"network": network.edges(genes["gene"]), "gene": genes, "states": states}
    facts = {"parameters": asdict(knobs), "depth": DEPTH, "library": "lognormal, by batch alone"}
    write_truth(folder, {**tables, "effects": effects}, facts)


def _draw_network(rng: np.random.Generator, genes: pd.DataFrame, knobs: Parameters) -> Network:
    law = NetworkLaw(
        regulators=knobs.regulators,
        modules=knobs.modules,
        pool=knobs.genes * 3 // 20,
        targets=knobs.genes // 10,
        weight=0.45,
        mates=4,
        mate_weight=0.2,
        hub_targets=knobs.genes // 5,
        hub_weight=0.6,
    )
    return draw_network(rng, genes["base_log_rate"].to_numpy(), law)


def _draw_conditions(
    rng: np.random.Generator, network: Network, knobs: Parameters
) -> tuple[Network, pd.DataFrame]:
    """Choose targets, their strength, pairs and epistasis.

    Returns the network with the weights of silent and weak regulators, and rows ``kind a b
    strength log_fold magnitude epistasis``; ``a`` and ``b`` are positions among the
    regulators, ``b`` is -1 in a single.
    """
    # The last regulator is the hub of every response, so it is no target itself.
    targets = rng.choice(len(network.regulators) - 1, knobs.singles, replace=False)
    n_silent = round(knobs.silent_fraction * knobs.singles)
    n_weak = round(knobs.weak_fraction * knobs.singles)
    strength = np.ones(knobs.singles)
    strength[:n_silent] = 0.0
    strength[n_silent : n_silent + n_weak] = WEAK
    weights = network.weights.copy()
    weights[targets] *= strength[:, None]
    singles = pd.DataFrame({"kind": "single", "a": targets, "b": -1, "strength": strength})
    singles["log_fold"] = np.round(knobs.clamp_log_fold * rng.uniform(0.8, 1.1, knobs.singles), 6)
    singles = singles.sort_values("a", ignore_index=True)
    pairs = np.array(list(combinations(singles["a"], 2)))
    pairs = pairs[np.sort(rng.choice(len(pairs), knobs.doubles, replace=False))]
    doubles = pd.DataFrame({"kind": "double", "a": pairs[:, 0], "b": pairs[:, 1]})
    n_epistatic = round(knobs.epistasis_fraction * knobs.doubles)
    direction = np.zeros(knobs.doubles)
    direction[:n_epistatic] = np.where(np.arange(n_epistatic) % 2, -1.0, 1.0)
    doubles["magnitude"] = knobs.epistasis_magnitude * rng.permutation(direction)
    conditions = pd.concat([singles, doubles], ignore_index=True).fillna({"magnitude": 0.0})
    names = np.array(["negative", "none", "positive"])
    conditions["epistasis"] = names[np.sign(conditions["magnitude"]).astype(int) + 1]
    return replace(network, weights=weights), conditions


def _draw_technical(rng: np.random.Generator, knobs: Parameters) -> pd.DataFrame:
    """Draw effects on the log rate: a column ``donor_id:<donor>`` or ``batch:<batch>`` each."""
    columns = {f"donor_id:{d}": rng.normal(0.0, knobs.donor_sd, knobs.genes) for d in DONORS}
    columns |= {f"batch:{b}": rng.normal(0.0, knobs.batch_sd, knobs.genes) for b in DEPTH}
    return pd.DataFrame(columns).round(6)


def _draw_states(
    rng: np.random.Generator, genes: pd.DataFrame, network: Network, conditions: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Shares (``perturbation cell_type`` + genes) and effects, of all conditions and contexts."""
    labels = _labels(network, conditions, genes["gene"])
    states, effects = [], []
    for context in CONTEXTS:
        own = genes["base_log_rate"].to_numpy() + rng.normal(0.0, CONTEXT_SD, len(genes))
        drive = np.zeros(len(genes))
        drive[network.regulators], scale = _draw_context(rng, network)
        baseline, delta = _respond(network, conditions, drive, scale)
        log_rates = own + baseline + np.vstack([np.zeros(len(genes)), delta])
        table = pd.DataFrame(shares(log_rates), columns=genes["gene"].to_numpy())
        table.insert(0, "perturbation", [CONTROL, *labels["perturbation"]])
        table.insert(1, "cell_type", context)
        states.append(table)
        delta[_targets(network, conditions)] = 0.0
        effects.append(labels.assign(cell_type=context, **effect_sizes(delta)))
    by = ["perturbation", "cell_type"]
    all_states = pd.concat(states).sort_values(by, ignore_index=True)
    return all_states, pd.concat(effects).sort_values(by, ignore_index=True)


def _draw_context(
    rng: np.random.Generator, network: Network
) -> tuple[Float[np.ndarray, " regulators"], Float[np.ndarray, " regulators"]]:
    """Draw what drives each regulator in a context, and how strongly it acts there."""
    n_modules = network.module.max() + 1
    scale = rng.uniform(0.6, 1.2, n_modules)[network.module]
    level = rng.normal(0.0, MODULE_SD, n_modules)
    # Levels that cancel at the hub: at rest it must not be saturated, or it could not respond.
    load = np.bincount(network.module, network.sign * scale, n_modules)
    level -= load * (load @ level) / (load @ load)
    return network.sign * level[network.module], scale


def _respond(
    network: Network,
    conditions: pd.DataFrame,
    drive: Float[np.ndarray, " genes"],
    scale: Float[np.ndarray, " regulators"],
) -> tuple[Float[np.ndarray, " genes"], Float[np.ndarray, "conditions genes"]]:
    """Log rates of a context without perturbation, and the shift under each condition."""
    baseline = propagate(network, drive[None, :], scale=scale)[0]
    singles = conditions[conditions["kind"] == "single"]
    clamp = np.full((len(singles), len(drive)), np.nan)
    row, position = _targets(network, singles)
    clamp[row, position] = baseline[position] + singles["log_fold"]
    delta = propagate(network, np.tile(drive, (len(singles), 1)), clamp=clamp, scale=scale)
    delta -= baseline
    doubles = conditions[conditions["kind"] == "double"]
    of = {a: i for i, a in enumerate(singles["a"])}
    total = delta[doubles["a"].map(of)] + delta[doubles["b"].map(of)]
    extra = doubles["magnitude"].to_numpy()[:, None] * total
    # A clamped gene stays clamped: epistasis is about what the two do to the others.
    extra[_targets(network, doubles)] = 0.0
    return baseline, np.vstack([delta, total + extra])


def _labels(network: Network, conditions: pd.DataFrame, genes: pd.Series) -> pd.DataFrame:
    """Name each condition by the symbols of its targets."""
    symbols = genes.to_numpy()[network.regulators]
    # Position -1 is the empty second target of a single.
    a, b = (np.append(symbols, "")[conditions[column]] for column in ("a", "b"))
    is_double = conditions["kind"] == "double"
    names = np.where(is_double, [f"{x}+{y}" for x, y in zip(a, b, strict=True)], a)
    return conditions.assign(perturbation=names, a=a, b=b)


def _targets(
    network: Network, conditions: pd.DataFrame
) -> tuple[Int[np.ndarray, " clamps"], Int[np.ndarray, " clamps"]]:
    """Index of every clamped gene among conditions x genes."""
    row, column = np.nonzero(conditions[["a", "b"]].to_numpy() >= 0)
    return row, network.regulators[conditions[["a", "b"]].to_numpy()[row, column]]


def _cell_shares(
    states: pd.DataFrame, genes: pd.DataFrame
) -> Float[np.ndarray, "states donors batches genes"]:
    """Add the effects of every donor and batch to the expected shares."""
    log_share = np.log(states[genes["gene"]].to_numpy())
    donor = genes[[f"donor_id:{d}" for d in DONORS]].to_numpy().T
    batch = genes[[f"batch:{b}" for b in DEPTH]].to_numpy().T
    return shares(log_share[:, None, None] + donor[None, :, None] + batch)


def _draw_cells(
    rng: np.random.Generator, states: pd.DataFrame, genes: pd.DataFrame, knobs: Parameters
) -> tuple[pd.DataFrame, sparse.csr_matrix]:
    """Draw the cells in random order, each with a donor and a batch drawn uniformly."""
    is_control = states["perturbation"] == CONTROL
    n_cells = np.where(is_control, knobs.control_cells, knobs.cells_per_condition)
    row = rng.permutation(np.repeat(np.arange(len(states)), n_cells))
    donor = rng.integers(len(DONORS), size=len(row))
    batch = rng.integers(len(DEPTH), size=len(row))
    obs = states[["perturbation", "cell_type"]].iloc[row].set_index(draw_barcodes(rng, len(row)))
    obs["donor_id"] = np.array(DONORS)[donor]
    obs["batch"] = np.array(list(DEPTH))[batch]
    obs["library"] = obs["batch"]
    obs["assay"] = "simulated"
    obs["condition"] = np.where(obs["perturbation"] == CONTROL, CONTROL, "perturbed")
    depth = np.array(list(DEPTH.values()))[batch]
    by_cell = _cell_shares(states, genes).reshape(-1, len(genes))
    state = (row * len(DONORS) + donor) * len(DEPTH) + batch
    return obs, draw_counts(rng, knobs, depth, state, by_cell, genes["dispersion"].to_numpy())


def _true_profiles(folder: Path, context_column: str, target_sum: float) -> pd.DataFrame:
    """Exact mean profiles, averaged over what the context leaves open, uniformly as drawn."""
    contexts = {"cell_type", "donor_id", "batch"}
    if context_column not in contexts:
        raise ConfigError(
            f"sim_screen: {context_column!r} is no context of its true profiles; "
            f"use one of {', '.join(sorted(contexts))} as the board's `context`."
        )
    facts = json.loads((folder / "simulation.json").read_text(encoding="utf-8"))
    knobs = read_parameters(Parameters, facts["parameters"])
    genes = pd.read_parquet(folder / "gene.parquet")
    states = pd.read_parquet(folder / "states.parquet")
    by_cell = _cell_shares(states, genes)
    tables = []
    for j, (batch, depth) in enumerate(DEPTH.items()):
        profiles = expected_log_profiles(
            by_cell[:, :, j].reshape(-1, len(genes)),
            genes["dispersion"].to_numpy(),
            knobs,
            depth=depth,
            target_sum=target_sum,
        )
        keys = states[["perturbation", "cell_type"]].loc[np.repeat(states.index, len(DONORS))]
        keys = keys.assign(donor_id=np.tile(DONORS, len(states)), batch=batch)
        columns = {"perturbation": keys["perturbation"], "context": keys[context_column]}
        table = pd.DataFrame(profiles, columns=genes["gene"].to_numpy())
        tables.append(pd.DataFrame(columns).reset_index(drop=True).join(table))
    grouped = pd.concat(tables).groupby(["perturbation", "context"], observed=True)
    return grouped.mean().reset_index()


SOURCE = Source(
    name="sim_screen", read=read_counts, simulate=_simulate, true_profiles=_true_profiles
)
