"""Shared fixtures: two tiny seeded datasets, their boards and cases, and golden files.

Session fixtures are shared by all tests: copy before changing one.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import Phase, settings

from leaderboard.spec import CONTROL, Board, Case, FoldRule

if TYPE_CHECKING:
    from anndata import AnnData

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[1]

# Derandomised, so that a run on one machine says what a run on another says; a failing example is
# a seed and two small numbers, so there is nothing to shrink.
settings.register_profile(
    "heldout",
    deadline=None,
    derandomize=True,
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("heldout")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare text with ``tests/golden/<name>``; rewrite it under ``--update-golden``."""

    def check(name: str, actual: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual, encoding="utf-8", newline="\n")
        assert path.is_file(), f"{name}: no such golden file, see --update-golden"
        assert actual == path.read_text(encoding="utf-8"), f"{name}: see --update-golden"

    return check


@pytest.fixture(scope="session")
def root() -> Path:
    """Root of the repository."""
    return ROOT


@pytest.fixture
def in_root(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the test in the root of the repository, as stages and commands are."""
    monkeypatch.chdir(ROOT)
    return ROOT


@pytest.fixture
def in_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Run the test in an empty folder that stands for the root of a repository."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def rule() -> FoldRule:
    return FoldRule(seed=7, k=5, validation_fraction=0.15)


def build_atlas(seed: int = 0) -> "AnnData":
    """240 cells of 3 easy types in 6 donors, 3 batches and 3 conditions; ids leak the type."""
    from anndata import AnnData

    rng = np.random.default_rng(seed)
    n, n_genes = 240, 40
    kind = rng.permutation(np.resize(["A", "A", "A", "B", "B", "C"], n))
    donor = np.repeat([f"D{i}" for i in range(6)], n // 6)
    rate = np.ones((n, n_genes))
    for number, name in enumerate("ABC"):
        rate[kind == name, 8 * number : 8 * number + 8] = 4.0
    obs = pd.DataFrame(
        {
            "cell_type": kind,
            "donor_id": donor,
            "batch": [f"b{int(d[1]) // 2}" for d in donor],
            "condition": [f"c{int(d[1]) % 3}" for d in donor],
            "library": donor,
        },
        index=pd.Index([f"{d}-{k}-{i}" for i, (d, k) in enumerate(zip(donor, kind, strict=True))]),
    )
    var = pd.DataFrame(index=[f"G{i:03d}" for i in range(n_genes)])
    return AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)), obs=obs, var=var)


PROTEINS = ("G000", "G008", "P1", "P2", "P3")
"""The first two are named after the gene they follow; the last follows one and no type."""


def build_proteins(seed: int = 0) -> "AnnData":
    """The atlas with 5 proteins in log units, as measured and as expected."""
    adata = build_atlas(seed)
    rng = np.random.default_rng([seed, 1])
    level = rng.normal(2.0, 1.0, (3, len(PROTEINS)))
    level[:, -1] = 1.0
    expected = level[pd.Categorical(adata.obs["cell_type"]).codes]
    expected[:, [0, 1, 4]] += 0.4 * np.log1p(adata[:, ["G000", "G008", "G030"]].X.toarray())
    noisy = expected + rng.normal(0.0, 0.4, expected.shape)
    adata.obsm["protein"] = noisy.astype(np.float32)
    adata.obsm["protein_mean"] = expected.astype(np.float32)
    adata.uns["protein_names"] = np.array(PROTEINS)
    return adata


SINGLES = [f"G{i:03d}" for i in range(18)]
"""The first 12 move 8 genes each, the others move none."""
STRONG = SINGLES[:12]
DOUBLES = ["G000+G001", "G002+G003"]


def build_screen(seed: int = 0, n_controls: int = 110, n_cells: int = 12) -> "AnnData":
    """18 single and 2 double perturbations in 2 cell types; 70 genes, of which 18 are targets."""
    from anndata import AnnData

    rng = np.random.default_rng(seed)
    n_genes = 70
    moved = {p: 18 + rng.choice(n_genes - 18, 8, replace=False) for p in STRONG}
    rows, names = [], []
    for context in ("k1", "k2"):
        base = rng.uniform(1.0, 5.0, n_genes)
        for perturbation in [CONTROL, *SINGLES, *DOUBLES]:
            rate = base.copy()
            for part in perturbation.split("+"):
                rate[moved.get(part, [])] *= 4.0
            n = n_controls if perturbation == CONTROL else n_cells
            rows.append(rng.poisson(rate, size=(n, n_genes)))
            names += [(perturbation, context)] * n
    obs = pd.DataFrame(names, columns=["perturbation", "cell_type"])
    obs["donor_id"] = rng.permutation(np.resize(["S1", "S2", "S3", "S4"], len(obs)))
    obs["batch"] = np.where(obs["donor_id"].isin(["S1", "S2"]), "x", "y")
    obs.index = pd.Index([f"{p}-{k}" for k, p in enumerate(obs["perturbation"])])
    order = rng.permutation(len(obs))
    counts = sp.csr_matrix(np.vstack(rows)[order].astype(np.float32))
    var = pd.DataFrame(index=[f"G{i:03d}" for i in range(n_genes)])
    return AnnData(counts, obs=obs.iloc[order], var=var)


@pytest.fixture(scope="session")
def make_screen() -> Callable[..., "AnnData"]:
    """Build the screen with other numbers of cells: ``seed n_controls n_cells``."""
    return build_screen


@pytest.fixture(scope="session")
def atlas() -> "AnnData":
    return build_atlas()


@pytest.fixture(scope="session")
def screen() -> "AnnData":
    return build_screen()


REGULATORS = ["G000", "G008", "G016", "G024", "G032"]
"""Candidates of the tiny network; the last has no edge, the one before too few to be scored."""


def build_network(seed: int = 0) -> "AnnData":
    """200 cells in which three regulators move 5 to 7 of 40 genes; ids tell nothing, obs does."""
    from anndata import AnnData

    rng = np.random.default_rng(seed)
    n, n_genes = 200, 40
    names = np.array([f"G{i:03d}" for i in range(n_genes)])
    edges = []
    log_rate = np.full((n, n_genes), 1.0)
    for number, name in enumerate(REGULATORS[:4]):
        others = np.setdiff1d(names, REGULATORS)
        targets = rng.choice(others, 5 + number if number < 3 else 2, replace=False)
        activity = rng.normal(size=n)
        log_rate[:, names == name] += 0.5 * activity[:, None]
        for target in targets:
            sign = int(rng.choice([-1, 1]))
            log_rate[:, names == target] += 0.25 * sign * activity[:, None]
            edges.append((name, str(target), sign))
    counts = sp.csr_matrix(rng.poisson(np.exp(log_rate)).astype(np.float32))
    obs = pd.DataFrame(
        {"donor_id": np.resize(["D0", "D1"], n), "total_counts_all_genes": counts.sum(axis=1).A1},
        index=pd.Index([f"cell-{i}" for i in range(n)]),
    )
    adata = AnnData(counts, obs=obs, var=pd.DataFrame(index=names))
    adata.uns["network"] = pd.DataFrame(edges, columns=["regulator", "target", "sign"])
    adata.uns["regulators"] = np.array(REGULATORS)
    adata.uns["gene_property"] = pd.DataFrame(
        {"gene": names, "has_property": np.isin(names, [target for _, target, _ in edges])}
    )
    return adata


@pytest.fixture(scope="session")
def network() -> "AnnData":
    return build_network()


@pytest.fixture(scope="session")
def network_board() -> Board:
    return Board(dataset="tiny_net", task="gene_network", split="whole", unit="regulator")


@pytest.fixture(scope="session")
def network_case(network: "AnnData", network_board: Board, rule: FoldRule) -> Case:
    """The only fold of the network board."""
    from leaderboard.cases import build_case, draw

    return build_case(network, draw(network.obs, network_board, rule)[0], network_board, 0, "test")


@pytest.fixture(scope="session")
def network_truth(network_case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_truth(network_case, tmp_path_factory.mktemp("network_truth"))


@pytest.fixture(scope="session")
def property_board() -> Board:
    return Board(dataset="tiny_net", task="gene_property", split="whole", unit="gene_fold")


@pytest.fixture(scope="session")
def property_case(network: "AnnData", property_board: Board, rule: FoldRule) -> Case:
    """The only fold of the board that asks which genes are targets."""
    from leaderboard.cases import build_case, draw

    roles = draw(network.obs, property_board, rule)[0]
    return build_case(network, roles, property_board, 0, "test")


@pytest.fixture(scope="session")
def property_truth(property_case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_truth(property_case, tmp_path_factory.mktemp("property_truth"))


@pytest.fixture(scope="session")
def atlas_board() -> Board:
    return Board(dataset="tiny", task="cell_type_annotation", split="donor", unit="donor_id")


@pytest.fixture(scope="session")
def screen_board() -> Board:
    return Board(
        dataset="tiny_screen",
        task="perturbation_prediction",
        split="perturbation",
        unit="perturbation",
        context="cell_type",
    )


@pytest.fixture(scope="session")
def atlas_roles(atlas: "AnnData", atlas_board: Board, rule: FoldRule) -> pd.DataFrame:
    from leaderboard.cases import draw

    return draw(atlas.obs, atlas_board, rule)[0]


@pytest.fixture(scope="session")
def screen_roles(screen: "AnnData", screen_board: Board, rule: FoldRule) -> pd.DataFrame:
    from leaderboard.cases import draw

    return draw(screen.obs, screen_board, rule)[0]


@pytest.fixture(scope="session")
def atlas_case(atlas: "AnnData", atlas_roles: pd.DataFrame, atlas_board: Board) -> Case:
    """Fold 0 of the annotation board."""
    from leaderboard.cases import build_case

    return build_case(atlas, atlas_roles, atlas_board, 0, "test")


@pytest.fixture(scope="session")
def screen_case(screen: "AnnData", screen_roles: pd.DataFrame, screen_board: Board) -> Case:
    """Fold 0 of the perturbation board."""
    from leaderboard.cases import build_case

    return build_case(screen, screen_roles, screen_board, 0, "test")


@pytest.fixture(scope="session")
def proteins() -> "AnnData":
    return build_proteins()


@pytest.fixture(scope="session")
def proteins_board() -> Board:
    return Board(
        dataset="tiny", task="modality_prediction", split="donor", unit="donor_id",
        protein_unit="log",
    )  # fmt: skip


@pytest.fixture(scope="session")
def proteins_roles(proteins: "AnnData", proteins_board: Board, rule: FoldRule) -> pd.DataFrame:
    from leaderboard.cases import draw

    return draw(proteins.obs, proteins_board, rule)[0]


@pytest.fixture(scope="session")
def proteins_case(proteins: "AnnData", proteins_roles: pd.DataFrame, proteins_board: Board) -> Case:
    """Fold 0 of the modality board."""
    from leaderboard.cases import build_case

    return build_case(proteins, proteins_roles, proteins_board, 0, "test")


@pytest.fixture(scope="session")
def sampled_case(screen: "AnnData", screen_roles: pd.DataFrame, screen_board: Board) -> Case:
    """The same fold of a board that takes 20 cells a query."""
    from leaderboard.cases import build_case

    return build_case(screen, screen_roles, replace(screen_board, cells=20), 0, "test")


@pytest.fixture(scope="session")
def mixing_board() -> Board:
    return Board(dataset="tiny", task="batch_integration", split="whole", unit="batch")


@pytest.fixture(scope="session")
def mixing_case(atlas: "AnnData", mixing_board: Board, rule: FoldRule) -> Case:
    """The only fold of the integration board."""
    from leaderboard.cases import build_case, draw

    roles = draw(atlas.obs, mixing_board, rule)[0]
    return build_case(atlas, roles, mixing_board, 0, "test")


@pytest.fixture(scope="session")
def mixing_truth(
    atlas: "AnnData", mixing_case: Case, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The truth with the sample means of types standing for the true ones."""
    from leaderboard.io import write_parquet

    folder = write_truth(mixing_case, tmp_path_factory.mktemp("mixing_truth"))
    means = pd.DataFrame(atlas.X.toarray(), columns=list(atlas.var_names))
    table = means.groupby(atlas.obs["cell_type"].to_numpy()).mean().rename_axis("cell_type")
    write_parquet(folder / "true_state.parquet", table.reset_index())
    return folder


def write_truth(case: Case, folder: Path) -> Path:
    """Write what the plug-ins that see the truth read; the sample means stand for the true ones."""
    from leaderboard.io import write_parquet

    write_parquet(folder / "truth.parquet", case.truth)
    if case.groups is not None:
        write_parquet(folder / "groups.parquet", case.groups)
    if case.queries is None or case.groups is None or case.moments is None:
        return folder
    write_parquet(folder / "moments.parquet", case.moments)
    test = case.groups[case.groups["role"] == "test"]
    means = case.moments[[f"mean:{k}" for k in test.index]].T.to_numpy()
    table = pd.DataFrame(means, columns=list(case.moments["gene"]))
    keys = test[["perturbation", "context"]].reset_index(drop=True)
    write_parquet(folder / "true_mean.parquet", pd.concat([keys, table], axis=1))
    return folder


@pytest.fixture(scope="session")
def atlas_truth(atlas_case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_truth(atlas_case, tmp_path_factory.mktemp("atlas_truth"))


@pytest.fixture(scope="session")
def screen_truth(screen_case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_truth(screen_case, tmp_path_factory.mktemp("screen_truth"))


@pytest.fixture(scope="session")
def proteins_truth(proteins_case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_truth(proteins_case, tmp_path_factory.mktemp("proteins_truth"))
