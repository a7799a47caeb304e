"""The network task: what is shown, asked, refused, frozen and listed as a failure."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.audit._inputs import check_identifiers, check_labels
from leaderboard.audit._record import FoldFiles
from leaderboard.cases import build_case, draw
from leaderboard.errors import PredictionError, SplitError, TableError
from leaderboard.evidence import FoldTruth, read_evidence
from leaderboard.freeze import board_constants
from leaderboard.io import write_parquet
from leaderboard.models import MODELS
from leaderboard.score import failed_board, failures_of_board, metrics_of, score_board
from leaderboard.spec import Board, Case, Evidence, FoldRule
from leaderboard.tasks import TASKS
from tests.conftest import REGULATORS, build_network
from tests.plugins._asking import run_of

if TYPE_CHECKING:
    from anndata import AnnData

TASK = TASKS["gene_network"]
SCORED = REGULATORS[:3]


@pytest.fixture(scope="module")
def constants(network: "AnnData", network_board: Board, rule: FoldRule) -> dict[str, Any]:
    return board_constants(network, *draw(network.obs, network_board, rule), network_board)


def answer(name: str, case: Case, truth: Path, seed: int = 0) -> pd.DataFrame:
    model = MODELS[name]
    assert case.queries is not None
    parameters = {"n_trees": 5, "n_cells": 200, "n_targets": 40} if name == "grn_trees" else {}
    adapter = model.load(**parameters)
    inputs = case.inputs.copy()
    return TASK.ask(adapter, inputs, case.queries, run_of(model, truth, seed)).table


def evidence(case: Case, prediction: pd.DataFrame) -> Evidence:
    return Evidence(fold=0, seed=0, prediction=prediction, truth=case.truth, groups=case.groups)


def scores(
    case: Case, board: Board, prediction: pd.DataFrame, constants: dict[str, Any]
) -> pd.DataFrame:
    return score_board(
        "x", board, [evidence(case, prediction)], constants, metrics_of("gene_network")
    )


def mean(table: pd.DataFrame, metric: str) -> float:
    return float(table.loc[table["metric"] == metric, "value"].mean())


# What a model is shown and asked


def test_inputs_show_counts_of_all_cells_and_nothing_that_the_network_or_a_label_is(
    network: "AnnData", network_case: Case
) -> None:
    inputs = network_case.inputs
    assert inputs.n_obs == network.n_obs
    assert inputs.X.sum() == network.X.sum()
    assert list(inputs.obs) == ["role", "total_counts_all_genes"]
    assert set(inputs.obs["role"]) == {"test"}
    assert not set(inputs.obs_names) & set(network.obs_names)
    assert dict(inputs.uns) == {}
    assert list(inputs.var) == []


def test_queries_name_the_candidates_with_and_without_edges_and_no_more(
    network_case: Case,
) -> None:
    queries = network_case.queries
    assert queries is not None
    assert list(queries) == ["gene", "is_regulator"]
    assert list(queries.loc[queries["is_regulator"], "gene"]) == REGULATORS
    assert len(queries) == 40


def test_the_truth_holds_the_edges_of_regulators_with_five_targets(
    network: "AnnData", network_case: Case
) -> None:
    truth, edges = network_case.truth, network.uns["network"]
    assert sorted(set(truth["unit"])) == SCORED
    assert (truth["unit"] == truth["regulator"]).all()
    assert set(truth["role"]) == {"test"}
    expected = edges[edges["regulator"].isin(SCORED)]
    keys = ["regulator", "target", "sign"]
    assert set(map(tuple, truth[keys].to_numpy())) == set(map(tuple, expected[keys].to_numpy()))


def test_in_degree_counts_every_edge_of_the_truth_also_of_regulators_that_are_not_scored(
    network: "AnnData", network_case: Case
) -> None:
    assert network_case.groups is not None
    degree = network_case.groups.set_index("gene")["in_degree"]
    expected = network.uns["network"]["target"].value_counts()
    assert degree.sum() == len(network.uns["network"])
    assert degree[expected.index].to_dict() == expected.to_dict()


def test_a_case_does_not_depend_on_the_order_of_cells_and_genes(
    network: "AnnData", network_case: Case, network_board: Board, rule: FoldRule
) -> None:
    rng = np.random.default_rng(0)
    turned = network[rng.permutation(200)][:, rng.permutation(40)].copy()
    case = build_case(turned, draw(turned.obs, network_board, rule)[0], network_board, 0, "test")
    pd.testing.assert_frame_equal(case.truth, network_case.truth)
    assert case.groups is not None
    assert network_case.groups is not None
    pd.testing.assert_frame_equal(case.groups, network_case.groups)
    assert list(case.inputs.obs_names) == list(network_case.inputs.obs_names)


def test_a_board_whose_unit_is_no_gene_is_refused(network: "AnnData", rule: FoldRule) -> None:
    board = Board(dataset="tiny_net", task="gene_network", split="whole", unit="donor_id")
    with pytest.raises(SplitError, match="`unit` must be regulator, not donor_id"):
        draw(network.obs, board, rule)


def test_a_dataset_without_a_network_is_refused(
    screen: "AnnData", network_board: Board, rule: FoldRule
) -> None:
    roles = draw(screen.obs, network_board, rule)[0]
    with pytest.raises(TableError, match="holds no network"):
        build_case(screen, roles, network_board, 0, "test")


def test_the_audit_finds_no_leak_in_a_case_and_finds_a_planted_one(
    network: "AnnData", network_case: Case, network_board: Board, rule: FoldRule
) -> None:
    def found(inputs: "AnnData") -> list[str]:
        roles = draw(network.obs, network_board, rule)[0][["cell_id", "role"]]
        files = FoldFiles(
            board=network_board, fold=0, roles=roles, obs=network.obs, inputs=inputs,
            truth=network_case.truth,
        )  # fmt: skip
        findings = [*check_identifiers(files), *check_labels(files)]
        return [i for f in findings if f.severity == "error" for i in f.ids]

    assert found(network_case.inputs) == []
    leaky = network_case.inputs.copy()
    leaky.obs["perturbation"] = "G000"
    leaky.var["in_degree"] = 1
    leaky.uns["network"] = 1
    assert set(found(leaky)) == {"perturbation", "var:in_degree", "uns:network"}


# What is refused


def good(case: Case) -> pd.DataFrame:
    edges = case.truth[["regulator", "target"]]
    return edges.assign(weight=np.float32(1.0))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.assign(weight=np.float32(np.nan)), "weight.* not finite, first G000 to"),
        (lambda t: t.assign(weight="high"), "weights are object"),
        (lambda t: t.assign(target=t["regulator"]), "of a gene to itself, first G000 to G000"),
        (lambda t: pd.concat([t, t.iloc[:1]]), r"1 duplicated edge\(s\), first G000"),
        (lambda t: t.assign(regulator="G001"), r"1 regulator\(s\) that the board does not ask"),
        (lambda t: t.assign(target="TP53"), r"target\(s\) .* first 'TP53'"),
        (lambda t: t.assign(sign=1), "expected the columns"),
        (lambda t: t.iloc[:0], "expected 1 to 1,000,000 edges, got 0"),
        (lambda t: t.loc[np.repeat(0, 1_000_001)], "edges, got 1,000,001"),
    ],
)
def test_a_prediction_that_breaks_a_rule_is_refused_and_told_which(
    network_case: Case, change: Any, reason: str
) -> None:
    assert network_case.queries is not None
    table = good(network_case)
    TASK.check_prediction(table, network_case.queries, ())
    with pytest.raises(PredictionError, match=reason):
        TASK.check_prediction(change(table), network_case.queries, ())


def test_scoring_checks_a_stored_prediction_against_the_genes_of_the_board(
    network_case: Case, network_board: Board, tmp_path: Path
) -> None:
    truth = FoldTruth(
        fold=0, folder=tmp_path, table=network_case.truth, groups=network_case.groups,
        moments=None, shared=None,
    )  # fmt: skip
    write_parquet(tmp_path / "fold-0-seed-0.parquet", good(network_case))
    found = read_evidence(network_board, truth, 0, tmp_path, {})
    assert len(found.prediction) == len(network_case.truth)
    write_parquet(tmp_path / "fold-0-seed-0.parquet", good(network_case).assign(target="TP53"))
    with pytest.raises(PredictionError, match=r"fold-0-seed-0\.parquet: .*'TP53'"):
        read_evidence(network_board, truth, 0, tmp_path, {})


# Scores


def test_the_exact_network_scores_one_and_a_shuffled_one_its_random_expectation(
    network_case: Case, network_truth: Path, network_board: Board, constants: dict[str, Any]
) -> None:
    exact = scores(
        network_case, network_board, answer("oracle", network_case, network_truth), constants
    )
    assert set(exact["unit"]) == set(SCORED)
    assert (exact.loc[exact["metric"] == "auprc", "value"] == 1.0).all()
    assert mean(exact, "auprc_ratio") == pytest.approx(
        constants["metrics"]["auprc_ratio"]["ceiling"]
    )
    dealt = [
        mean(scores(network_case, network_board, table, constants), "auprc_ratio")
        for seed in range(200)
        for table in [answer("shuffled", network_case, network_truth, seed)]
    ]
    error = np.std(dealt) / np.sqrt(len(dealt))
    assert abs(np.mean(dealt) - 1.0) < 4 * error
    assert error < 0.05


def test_giving_all_pairs_one_weight_scores_the_floor_exactly(
    network_case: Case, network_truth: Path, network_board: Board, constants: dict[str, Any]
) -> None:
    table = answer("constant", network_case, network_truth)
    found = scores(network_case, network_board, table, constants)
    assert (found.loc[found["metric"] == "auprc_ratio", "value"].to_numpy()) == pytest.approx(1.0)
    assert mean(found, "auprc") == pytest.approx(constants["metrics"]["auprc"]["floor"])


@pytest.mark.parametrize("name", ["pearson_edges", "spearman_edges", "grn_trees"])
def test_a_baseline_that_looks_at_the_counts_is_above_the_floor_and_below_the_oracle(
    network_case: Case,
    network_truth: Path,
    network_board: Board,
    constants: dict[str, Any],
    name: str,
) -> None:
    table = answer(name, network_case, network_truth)
    found = scores(network_case, network_board, table, constants)
    frozen = constants["metrics"]["auprc_ratio"]
    assert 2 * frozen["floor"] < mean(found, "auprc_ratio") < 0.98 * frozen["ceiling"]
    assert mean(found, "sign_accuracy") > constants["metrics"]["sign_accuracy"]["floor"]


def test_a_failed_run_has_a_failed_row_for_every_scored_regulator_and_metric(
    network_case: Case, network_board: Board
) -> None:
    nothing = evidence(network_case, pd.DataFrame())
    table = failed_board("x", network_board, [nothing], "broke", metrics_of("gene_network"))
    assert set(table["unit"]) == set(SCORED)
    assert len(table) == len(SCORED) * len(metrics_of("gene_network"))
    assert set(table["status"]) == {"failed"}


def test_failures_list_the_strongest_false_and_the_lowest_true_edges(
    network_case: Case, network_board: Board, constants: dict[str, Any]
) -> None:
    truth = network_case.truth[network_case.truth["unit"] == "G000"]
    wrong = sorted(set(network_case.inputs.var_names) - {"G000", *truth["target"]})[:2]
    table = pd.DataFrame(
        {
            "regulator": "G000",
            "target": [*wrong, truth["target"].iloc[0]],
            "weight": np.array([3.0, -2.0, 1.0], dtype=np.float32),
        }
    )
    rows = failures_of_board("x", network_board, [evidence(network_case, table)], constants)
    own: Any = rows[rows["unit"] == "G000"].set_index(["kind", "position"])
    assert own.loc[("false_edge", 0), ["key", "value", "n"]].tolist() == [wrong[0], 3.0, 1]
    assert own.loc[("false_edge", 1), ["key", "value", "n"]].tolist() == [wrong[1], -2.0, 2]
    assert len(own.loc["false_edge"]) == 2
    missed = own.loc["missed_edge"]
    assert set(missed["key"]) == set(truth["target"])
    assert missed.iloc[0][["value", "n"]].tolist() == [0.0, 4]
    assert missed.iloc[-1][["key", "value", "n"]].tolist() == [truth["target"].iloc[0], 1.0, 3]


# What is frozen


def test_a_board_freezes_who_is_scored_and_a_null_between_chance_and_the_truth(
    constants: dict[str, Any],
) -> None:
    assert constants["n_targets"] == {"G000": 5, "G008": 6, "G016": 7}
    assert set(constants["degree_auprc"]) == set(SCORED)
    assert all(0 < null < 1 for null in constants["degree_auprc"].values())


def test_constants_do_not_depend_on_the_order_of_cells_and_genes(
    network: "AnnData", network_board: Board, rule: FoldRule, constants: dict[str, Any]
) -> None:
    rng = np.random.default_rng(0)
    turned = network[rng.permutation(200)][:, rng.permutation(40)].copy()
    turned.uns["network"] = turned.uns["network"].sample(frac=1, random_state=1)
    again = board_constants(turned, *draw(turned.obs, network_board, rule), network_board)
    assert again == constants


def hubs(n_regulators: int, n_genes: int = 60) -> "AnnData":
    """A network whose regulators all have the same ten targets."""
    adata = build_network()
    from anndata import AnnData

    counts = np.ones((4, n_genes), dtype=np.float32)
    found = AnnData(counts, obs=adata.obs.iloc[:4].copy())
    found.var_names = [f"G{i:03d}" for i in range(n_genes)]
    names = list(found.var_names)
    edges = [(r, t, 1) for r in names[:n_regulators] for t in names[-10:]]
    found.uns["network"] = pd.DataFrame(edges, columns=["regulator", "target", "sign"])
    found.uns["regulators"] = np.array(names[:n_regulators])
    return found


def frozen(adata: "AnnData", board: Board, rule: FoldRule) -> dict[str, Any]:
    return board_constants(adata, *draw(adata.obs, board, rule), board)


def test_a_network_of_hubs_is_told_by_in_degree_alone_and_ranks_nothing(
    network_board: Board, rule: FoldRule
) -> None:
    found = frozen(hubs(8), network_board, rule)
    assert found["degree_auprc"]["G000"] == pytest.approx(1.0)
    ratio = found["metrics"]["auprc_ratio"]
    assert not ratio["trusted"]
    assert "in-degree of targets alone" in ratio["reason"]
    sign = found["metrics"]["sign_accuracy"]
    assert (sign["floor"], sign["trusted"]) == (1.0, False)


def test_a_board_of_few_regulators_ranks_nothing_and_says_so(constants: dict[str, Any]) -> None:
    ratio = constants["metrics"]["auprc_ratio"]
    assert not ratio["trusted"]
    assert ratio["reason"] == "3 regulator(s) with 5 targets; 5 needed"
    assert ratio["floor"] == 1.0 < ratio["ceiling"]


def test_a_network_without_a_scored_regulator_has_no_scale(
    network_board: Board, rule: FoldRule
) -> None:
    adata = hubs(3)
    adata.uns["network"] = adata.uns["network"].iloc[:4]
    found = frozen(adata, network_board, rule)
    assert found["n_targets"] == {}
    assert {m["ceiling_kind"] for m in found["metrics"].values()} == {"none"}
    assert not any(m["trusted"] for m in found["metrics"].values())
