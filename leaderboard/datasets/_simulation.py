"""Parts that the simulators share: genes, network, negative binomial counts, exact expectations.

The law of a count, in both simulators: a cell of library size ``L`` in a state with log rates
``r`` has ``share = softmax(r)`` and counts ``k_g ~ NB(mean L share_g, variance mean + dispersion_g
mean^2)``, independent over genes. So rates are renormalised: shares sum to one, and a rate that
rises lowers every other share. ``L`` is lognormal and depends on nothing but the batch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.polynomial.chebyshev import chebvander
from scipy import sparse
from scipy.stats import norm

from leaderboard.datasets._gene_property import attach_property
from leaderboard.datasets._network import attach_network
from leaderboard.errors import ConfigError

if TYPE_CHECKING:
    from anndata import AnnData

P = TypeVar("P")
Genes = Float[np.ndarray, " genes"]
States = Float[np.ndarray, "states genes"]
Scale = Float[np.ndarray, " regulators"] | float

SATURATION = 2.0  # log units: no regulator moves a target any further
STEPS = 3  # regulator to target, to that one's target, and once more
LOG_RATE_SD = 1.7  # of the genes' base log rates
STEP = 0.4  # largest step of both trapezoid rules: their error is then near 1e-9
N_NODES = 16  # of Chebyshev, in a gene's log share
CHUNK = 2000  # cells drawn at a time: bounds memory


def read_parameters(kind: type[P], parameters: Mapping[str, Any]) -> P:
    """Check the knobs of a simulator against the fields of its record and build it."""
    known = {f.name: f.type for f in fields(kind)}  # type: ignore[arg-type]
    problems = [f"unknown parameter {name!r}" for name in parameters if name not in known]
    problems += [f"missing parameter {name!r}" for name in known if name not in parameters]
    for name in sorted(set(known) & set(parameters)):
        value, wanted = parameters[name], known[name]
        if isinstance(value, bool) or not isinstance(value, int if wanted is int else (int, float)):
            problems.append(f"{name} is {value!r}, not a number of type {wanted.__name__}")  # type: ignore[union-attr]
    if problems:
        raise ConfigError(
            f"{kind.__name__}: {'; '.join(problems)}. It takes {', '.join(known)}: "
            "fix `parameters` of the dataset's record in data/datasets.yaml."
        )
    return kind(**parameters)


def generators(seed: int, *parts: str) -> dict[str, np.random.Generator]:
    """One generator a part, so that a knob of one part moves no draw of another."""
    return dict(zip(parts, np.random.default_rng(seed).spawn(len(parts)), strict=True))


@dataclass(frozen=True, kw_only=True)
class CountLaw:
    """What turns shares into counts."""

    library_median: float
    """Counts of the median cell of a batch of depth one."""
    library_sigma: float
    """Standard deviation of the log library size."""
    dispersion_floor: float
    dispersion_slope: float
    """dispersion = (floor + slope / mean count) x lognormal scatter: rare genes are noisier."""


def draw_genes(rng: np.random.Generator, n_genes: int, law: CountLaw) -> pd.DataFrame:
    """Draw what every state shares: rows ``gene gene_id base_log_rate base_share dispersion``."""
    # Clipped, so that no seed gives a cell's counts to a handful of genes.
    log_rate = np.clip(rng.normal(0.0, LOG_RATE_SD, n_genes), -2.2 * LOG_RATE_SD, 2.2 * LOG_RATE_SD)
    share = shares(log_rate)
    trend = law.dispersion_floor + law.dispersion_slope / (law.library_median * share)
    genes = pd.DataFrame({"gene": [f"SIM{i + 1:04d}" for i in range(n_genes)]})
    genes["gene_id"] = [f"SIMG{i + 1:011d}" for i in range(n_genes)]
    genes["base_log_rate"], genes["base_share"] = log_rate, share
    genes["dispersion"] = np.round(trend * np.exp(rng.normal(0.0, 0.2, n_genes)), 6)
    return genes


@dataclass(frozen=True, kw_only=True)
class NetworkLaw:
    """How a network is wired."""

    regulators: int
    modules: int
    pool: int
    """Genes that the regulators of one module choose their targets from."""
    targets: int
    weight: float
    mates: int
    """Regulators of the same module that a regulator also acts on."""
    mate_weight: float
    activators: float = 0.8
    """Chance that a regulator raises its module's programme rather than lowers it."""
    hub_targets: int = 0
    """Above zero: the last regulator is a hub that all others raise, with that many targets."""
    hub_weight: float = 0.0
    """Mean weight on the hub: what all perturbations have in common."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A signed network of regulators and their targets, in modules."""

    regulators: Int[np.ndarray, " regulators"]
    """Positions among the genes, rising."""
    module: Int[np.ndarray, " regulators"]
    sign: Float[np.ndarray, " regulators"]
    """+1: raises its module's programme and is raised by it; -1: the opposite."""
    weights: Float[np.ndarray, "regulators genes"]
    """Shift of a target's log rate per log unit of the regulator."""

    def edges(self, genes: pd.Series) -> pd.DataFrame:
        """Non-zero weights as sorted rows ``regulator target weight``."""
        row, column = np.nonzero(self.weights)
        names = genes.to_numpy()
        ends = {"regulator": names[self.regulators[row]], "target": names[column]}
        return pd.DataFrame({**ends, "weight": self.weights[row, column]})


def draw_network(rng: np.random.Generator, log_rate: Genes, law: NetworkLaw) -> Network:
    """Wire regulators to targets: mates share targets, and move each other coherently."""
    n, n_genes = law.regulators, len(log_rate)
    # Well expressed genes, as a clamped regulator must be measurable.
    low, high = np.quantile(log_rate, [0.6, 0.97])
    eligible = np.flatnonzero((log_rate > low) & (log_rate < high))
    if n > len(eligible):
        raise ConfigError(f"{n} regulators need more genes than {n_genes}: raise `genes`.")
    if law.modules > n:
        raise ConfigError(
            f"{law.modules} modules need as many regulators, not {n}: lower `modules`."
        )
    regulators = np.sort(rng.choice(eligible, n, replace=False))
    module = rng.permutation(np.arange(n) % law.modules)
    sign = np.where(rng.random(n) < law.activators, 1.0, -1.0)
    others = np.setdiff1d(np.arange(n_genes), regulators)
    pools = [rng.choice(others, law.pool, replace=False) for _ in range(law.modules)]
    # One sign a module and gene: mates that share a target must agree on its direction.
    pattern = rng.choice([-1.0, 1.0], (law.modules, n_genes))
    weights = np.zeros((n, n_genes))
    for r in range(n):
        m = module[r]
        targets = rng.choice(pools[m], law.targets, replace=False)
        strength = law.weight * rng.uniform(0.5, 1.5, law.targets)
        weights[r, targets] = sign[r] * pattern[m, targets] * strength
        mates = np.flatnonzero((module == m) & (np.arange(n) != r))
        mates = rng.choice(mates, min(law.mates, len(mates)), replace=False)
        weights[r, regulators[mates]] = sign[r] * sign[mates] * law.mate_weight
    if law.hub_targets:
        weights[-1] = 0.0
        targets = rng.choice(others, law.hub_targets, replace=False)
        weights[-1, targets] = law.weight * rng.choice([-1.0, 1.0], law.hub_targets)
        weights[:-1, regulators[-1]] = law.hub_weight * rng.uniform(0.0, 2.0, n - 1)
    return Network(regulators=regulators, module=module, sign=sign, weights=np.round(weights, 6))


def propagate(
    network: Network, drive: States, *, clamp: States | None = None, scale: Scale = 1.0
) -> States:
    """Shift of every log rate once what drives the regulators has run through the network.

    ``clamp`` fixes a gene at a value and is NaN where it is free; ``scale`` multiplies what each
    regulator does. The response of a target saturates.
    """
    held = np.full_like(drive, np.nan) if clamp is None else clamp
    weights = network.weights * np.reshape(scale, (-1, 1))
    shift = np.where(np.isnan(held), drive, held)
    for _ in range(STEPS):
        response = SATURATION * np.tanh(shift[:, network.regulators] @ weights / SATURATION)
        shift = np.where(np.isnan(held), drive + response, held)
    return np.round(shift, 9)  # the bits beyond are those of one BLAS, not of the law


def shares(log_rates: Float[np.ndarray, "*states genes"]) -> Float[np.ndarray, "*states genes"]:
    """Normalise rates to the expected share of each gene among a cell's counts."""
    # Rounded, so that the last bits of BLAS and of vector units reach no draw.
    rates: Float[np.ndarray, "*states genes"] = np.exp(np.round(log_rates, 6))
    rates /= rates.sum(axis=-1, keepdims=True)
    return rates.round(12)


def draw_counts(
    rng: np.random.Generator,
    law: CountLaw,
    depth: Float[np.ndarray, " cells"],
    state: Int[np.ndarray, " cells"],
    state_shares: States,
    dispersion: Genes,
) -> sparse.csr_matrix:
    """Draw counts as gamma-mixed Poisson, float32 CSR (cells x genes); depth is the batch's."""
    log_size = rng.normal(0.0, law.library_sigma, len(state))
    library = np.round(law.library_median * depth * np.exp(log_size), 6)
    blocks = []
    for start in range(0, len(library), CHUNK):
        part = slice(start, start + CHUNK)
        mean = library[part, None] * state_shares[state[part]]
        rate = rng.standard_gamma(1.0 / dispersion, mean.shape) * (dispersion * mean)
        blocks.append(sparse.csr_matrix(rng.poisson(rate).astype(np.float32)))
    return sparse.csr_matrix(sparse.vstack(blocks))


def draw_barcodes(rng: np.random.Generator, n: int) -> pd.Index:
    """Distinct 16-letter barcodes that say nothing about their cell."""
    codes = rng.choice(4**16, n, replace=False)
    letters = np.array(list("ACGT"))[(codes[:, None] >> 2 * np.arange(16)) & 3]
    return pd.Index(["".join(row) + "-1" for row in letters], name="cell_id")


def read_counts(folder: Path) -> "AnnData":
    """Read ``counts.h5ad`` of a simulated dataset, and the network that was kept as truth.

    The property that gene embeddings are probed for is to be a regulator.
    """
    from anndata import read_h5ad

    adata = read_h5ad(folder / "counts.h5ad")
    network = pd.read_parquet(folder / "network.parquet")
    genes = pd.read_parquet(folder / "gene.parquet")
    network["sign"] = np.sign(network["weight"])
    attach_network(adata, network, genes.loc[genes["is_regulator"], "gene"])
    attach_property(adata, genes.rename(columns={"is_regulator": "has_property"}))
    return adata


def write_counts(
    folder: Path,
    counts: sparse.csr_matrix,
    obs: pd.DataFrame,
    genes: pd.DataFrame,
    proteins: Mapping[str, pd.DataFrame] | None = None,
) -> None:
    """Write ``counts.h5ad``; each table of ``proteins`` (cells x proteins) becomes an ``obsm``."""
    from anndata import AnnData

    var = pd.DataFrame({"gene_id": genes["gene_id"].to_numpy()}, index=genes["gene"].to_numpy())
    adata = AnnData(counts, obs=obs, var=var)
    for key, table in (proteins or {}).items():
        adata.obsm[key] = table.to_numpy(np.float32)
        adata.uns["protein_names"] = table.columns.to_numpy(str)
    adata.write_h5ad(folder / "counts.h5ad", compression="gzip", compression_opts=1)


def effect_sizes(effect: States) -> dict[str, Any]:
    """Columns that sum up shifts of the log rate, in natural log units."""
    rms = np.sqrt(np.mean(effect**2, axis=1))
    return {"effect_rms": rms, "n_genes_moved": (np.abs(effect) > 0.1).sum(axis=1)}


def write_truth(folder: Path, tables: Mapping[str, pd.DataFrame], facts: Mapping[str, Any]) -> None:
    """Write each table as ``<name>.parquet`` and the rest as ``simulation.json``."""
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    (folder / "simulation.json").write_bytes(json.dumps(facts, indent=1, sort_keys=True).encode())


def expected_log_profiles(
    state_shares: States, dispersion: Genes, law: CountLaw, *, depth: float, target_sum: float
) -> States:
    """Integrate log1p(count / panel total x target sum) over counts and library sizes, exactly.

    From log x = integral of (exp(-t) - exp(-t x)) / t dt follows, given the library size L,
    E log1p(k S / T) = integral of M(t) (1 - m((1 + S) t) / m(t)) / t dt, with M and m the Laplace
    transforms of the total T and of the gene's own count k, closed forms of L (1 - exp(-t)). Both
    integrals, over y = log(1 - exp(-t)) and over log L, are trapezoid sums of one step, so that M
    is needed on one grid of L (1 - exp(-t)) only. The gene's own factor is a smooth function of
    its log share: it is expanded in Chebyshev polynomials once and evaluated for every state.
    """
    step = min(STEP, law.library_sigma)
    i = np.arange(-int(6.0 * law.library_sigma / step), int(6.0 * law.library_sigma / step) + 1)
    log_l = np.log(depth * law.library_median) + i * step
    y = np.arange(np.log(1e-3 / target_sum) - log_l[-1], np.log(0.5), step)
    grid = np.exp(log_l[0] + y[0] + step * np.arange(len(i) + len(y) - 1))
    over = dispersion * state_shares
    log_total = [-(np.log1p(over * a) @ (1.0 / dispersion)) for a in grid]
    t = -np.log1p(-np.exp(y))
    weight_y = step * np.exp(y) / ((1.0 - np.exp(y)) * t)
    # What lies left of the grid is a geometric series, as the integrand is linear in exp(y) there.
    weight_y[0] /= -np.expm1(-step)
    weight_l = norm.pdf(i * step / law.library_sigma) * step / law.library_sigma
    at_l, at_y = (index.ravel() for index in np.indices((len(i), len(y))))
    weights = (weight_l[at_l] * weight_y[at_y])[:, None] * np.exp(log_total)[at_l + at_y]
    kept = weights.max(axis=1) > 1e-13
    own = np.exp(log_l[at_l] + y[at_y])[kept]
    scaled = -np.exp(log_l[at_l]) * np.expm1(-(1.0 + target_sum) * t[at_y])
    return _expand(np.log(state_shares), dispersion, np.stack([own, scaled[kept]]), weights[kept])


def _expand(
    log_share: States,
    dispersion: Genes,
    rates: Float[np.ndarray, "2 nodes"],
    weights: Float[np.ndarray, "nodes states"],
) -> States:
    """Sum over nodes of weight x (1 - m(scaled) / m(own)), gene by gene."""
    z = np.cos(np.pi * (np.arange(N_NODES) + 0.5) / N_NODES)
    to_coefficients = np.linalg.inv(chebvander(z, N_NODES - 1))
    low, high = log_share.min(axis=0) - 0.01, log_share.max(axis=0) + 0.01
    expected = np.empty_like(log_share)
    for g, alpha in enumerate(dispersion):
        share = np.exp(0.5 * (low[g] + high[g]) + 0.5 * (high[g] - low[g]) * z)
        own, scaled = (np.log1p(alpha * share[:, None] * rate) for rate in rates)
        coefficients = (to_coefficients @ -np.expm1((own - scaled) / alpha)) @ weights
        at = (2.0 * log_share[:, g] - low[g] - high[g]) / (high[g] - low[g])
        expected[:, g] = np.einsum("sk,ks->s", chebvander(at, N_NODES - 1), coefficients)
    return expected
