"""Cases hide what they must, truth matches, weights and gates are those of METRICS.md."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

from leaderboard.cases import build_case, draw
from leaderboard.errors import PredictionError
from leaderboard.freeze import RTOL, board_constants, check_constants, split_digests
from leaderboard.metrics import METRICS
from leaderboard.score import score_unit
from leaderboard.spec import CONTROL, Board, Case, Evidence, FoldRule
from leaderboard.tasks import TASKS
from leaderboard.tasks._annotation import classes_of
from leaderboard.tasks._ids import opaque_ids
from leaderboard.tasks._perturbation import Moments, read_moments, unit_parts, weights

if TYPE_CHECKING:
    from anndata import AnnData

ANNOTATION = TASKS["cell_type_annotation"]
PERTURBATION = TASKS["perturbation_prediction"]
N_GENES = 70
SINGLES = [f"G{i:03d}" for i in range(18)]
"""Those of tests/conftest.py: the first 12 move genes, the others none."""
STRONG, NULL = SINGLES[:12], SINGLES[12:]


def labelled(real: "AnnData") -> "pd.Series[str]":
    series: pd.Series[str] = real.obs["cell_type"].astype(str)
    return series


# Opaque ids


def test_ids_are_a_keyed_hash_that_shuffles_and_repeats_itself() -> None:
    real = [f"donor1-b_cells-{i}" for i in range(200)]
    ids = opaque_ids(real, "2026.1/board/0")
    assert ids.is_monotonic_increasing
    assert ids.is_unique
    assert ids.str.fullmatch("[0-9a-f]{24}").all()
    assert set(ids.index) == set(real)
    assert list(ids.index) != sorted(real)
    pd.testing.assert_series_equal(opaque_ids(real[::-1], "2026.1/board/0"), ids)
    other = opaque_ids(real, "2026.1/board/1")
    assert not set(other) & set(ids)


# Annotation cases


def test_annotation_inputs_hide_label_donor_and_batch_of_test_cells_only(
    atlas: "AnnData", atlas_case: Case
) -> None:
    inputs, truth = atlas_case.inputs, atlas_case.truth.set_index("cell_id")
    is_test = (inputs.obs["role"] == "test").to_numpy()
    hidden = inputs.obs[["cell_type", "donor_id", "batch"]]
    assert is_test.sum() == len(truth)
    assert hidden[is_test].isna().all(axis=None)
    assert hidden[~is_test].notna().all(axis=None)
    assert set(inputs.obs.columns) == {"role", "cell_type", "donor_id", "batch"}
    assert not set(inputs.obs["donor_id"].cat.categories) & set(truth["unit"])
    assert set(inputs.obs_names).isdisjoint(atlas.obs_names)


def test_annotation_truth_names_every_test_cell_with_its_own_label_donor_and_counts(
    atlas: "AnnData", atlas_case: Case, atlas_roles: pd.DataFrame
) -> None:
    truth = atlas_case.truth
    real = atlas[truth["real_cell_id"].to_numpy()]
    fold = atlas_roles[atlas_roles["fold"] == 0]
    assert set(truth["real_cell_id"]) == set(fold.loc[fold["role"] == "test", "cell_id"])
    assert truth["label"].tolist() == labelled(real).tolist()
    assert truth["unit"].tolist() == real.obs["donor_id"].tolist()
    shown = atlas_case.inputs[truth["cell_id"].to_numpy()]
    assert (shown.X != real.X).nnz == 0


def test_annotation_inputs_show_training_cells_as_they_are(
    atlas: "AnnData", atlas_case: Case, atlas_board: Board, atlas_roles: pd.DataFrame
) -> None:
    ids = opaque_ids(atlas.obs_names, f"test/{atlas_board.id}/0")
    assert list(atlas_case.inputs.obs_names) == list(ids)
    real, shown = atlas[ids.index], atlas_case.inputs
    is_test = (shown.obs["role"] == "test").to_numpy()
    assert (shown.X != real.X).nnz == 0
    assert (
        shown.obs["cell_type"].astype(str)[~is_test].tolist() == labelled(real)[~is_test].tolist()
    )
    fold = atlas_roles[atlas_roles["fold"] == 0].set_index("cell_id")["role"]
    assert shown.obs["role"].tolist() == fold[ids.index].tolist()


def test_cells_without_a_label_are_left_out_of_the_case(
    atlas: "AnnData", atlas_board: Board, atlas_roles: pd.DataFrame
) -> None:
    adata = atlas.copy()
    unlabelled = adata.obs_names[::7]
    adata.obs.loc[unlabelled, "cell_type"] = None
    case = build_case(adata, atlas_roles, atlas_board, 0, "test")
    assert case.inputs.n_obs == adata.n_obs - len(unlabelled)
    assert not set(case.truth["real_cell_id"]) & set(unlabelled)


def with_extras(adata: "AnnData") -> "AnnData":
    """Add a leak to every place that an AnnData has for one."""
    adata = adata.copy()
    n = adata.n_obs
    adata.obs["secret"] = "x"
    adata.obsm["secret"] = np.zeros((n, 2))
    adata.obsp["secret"] = sp.identity(n, format="csr")
    adata.layers["secret"] = adata.X.copy()
    adata.uns["secret"] = "x"
    adata.raw = adata.copy()
    return adata


@pytest.mark.parametrize("place", ["obs", "obsm", "obsp", "layers", "uns", "raw"])
@pytest.mark.parametrize("kind", ["annotation", "perturbation"])
def test_inputs_carry_nothing_beyond_counts_and_the_whitelist(
    request: pytest.FixtureRequest, kind: str, place: str
) -> None:
    name = {"annotation": "atlas", "perturbation": "screen"}[kind]
    adata = with_extras(request.getfixturevalue(name))
    roles, board = (request.getfixturevalue(f"{name}_{w}") for w in ("roles", "board"))
    inputs = build_case(adata, roles, board, 0, "test").inputs
    if place == "raw":
        assert inputs.raw is None
    else:
        assert "secret" not in getattr(inputs, place)


def test_a_case_does_not_change_the_dataset(
    atlas: "AnnData", atlas_board: Board, atlas_roles: pd.DataFrame
) -> None:
    before = atlas.copy()
    build_case(atlas, atlas_roles, atlas_board, 1, "test")
    pd.testing.assert_frame_equal(atlas.obs, before.obs)
    assert (atlas.X != before.X).nnz == 0


@pytest.mark.parametrize("kind", ["atlas", "screen"])
def test_the_order_of_cells_in_a_dataset_does_not_move_a_case(
    request: pytest.FixtureRequest, kind: str
) -> None:
    adata, roles, board, case = (
        request.getfixturevalue(f"{kind}{part}") for part in ("", "_roles", "_board", "_case")
    )
    order = np.random.default_rng(5).permutation(adata.n_obs)
    other = build_case(adata[order].copy(), roles, board, 0, "test")
    pd.testing.assert_frame_equal(other.inputs.obs, case.inputs.obs)
    assert (other.inputs.X != case.inputs.X).nnz == 0
    pd.testing.assert_frame_equal(other.truth, case.truth)
    if case.moments is not None:
        assert other.moments is not None
        assert other.groups is not None
        pd.testing.assert_frame_equal(other.groups, case.groups)
        pd.testing.assert_frame_equal(other.moments, case.moments, rtol=1e-10)


# Perturbation cases


def test_perturbation_inputs_hold_no_scored_cell(
    screen: "AnnData", screen_case: Case, screen_roles: pd.DataFrame
) -> None:
    inputs, truth = screen_case.inputs, screen_case.truth
    assert set(inputs.obs["role"]) == {"train", "validation", "control_input"}
    assert set(truth["role"]) == {"test", "control_truth"}
    assert not set(inputs.obs_names) & set(truth["cell_id"])
    assert set(inputs.obs_names).isdisjoint(screen.obs_names)
    tested = set(truth.loc[truth["role"] == "test", "perturbation"])
    assert not tested & set(inputs.obs["perturbation"])
    fold = screen_roles[screen_roles["fold"] == 0]
    assert inputs.n_obs + len(truth) == len(fold)


def test_perturbation_truth_matches_the_dataset(screen: "AnnData", screen_case: Case) -> None:
    truth, counts = screen_case.truth, screen_case.truth_counts
    assert counts is not None
    real = screen[truth["real_cell_id"].to_numpy()]
    assert truth["perturbation"].tolist() == real.obs["perturbation"].tolist()
    assert truth["context"].tolist() == real.obs["cell_type"].tolist()
    assert list(counts.obs_names) == truth["cell_id"].tolist()
    assert (counts.X != real.X).nnz == 0
    is_test = (truth["role"] == "test").to_numpy()
    assert truth["unit"][is_test].tolist() == real.obs["perturbation"][is_test].tolist()
    assert set(truth["perturbation"][~is_test]) == {CONTROL}


def test_queries_ask_for_every_test_pair_once(screen_case: Case) -> None:
    assert screen_case.queries is not None
    truth = screen_case.truth[screen_case.truth["role"] == "test"]
    asked = set(screen_case.queries.itertuples(index=False, name=None))
    assert asked == set(zip(truth["perturbation"], truth["context"], strict=True))
    assert len(asked) == len(screen_case.queries)


def test_the_target_sum_is_the_median_total_of_the_input_controls(
    screen: "AnnData", screen_case: Case, screen_roles: pd.DataFrame
) -> None:
    fold = screen_roles[screen_roles["fold"] == 0]
    cells = fold.loc[fold["role"] == "control_input", "cell_id"].to_numpy()
    expected = np.median(screen[cells].X.toarray().sum(axis=1))
    assert screen_case.inputs.uns["target_sum"] == pytest.approx(expected)


def log_cells(screen: "AnnData", target_sum: float) -> np.ndarray:
    counts = screen.X.toarray().astype(np.float64)
    values: np.ndarray = np.log1p(counts / counts.sum(axis=1, keepdims=True) * target_sum)
    return values


def test_the_moments_of_a_case_equal_dense_numpy(
    screen: "AnnData", screen_case: Case, screen_roles: pd.DataFrame
) -> None:
    assert screen_case.groups is not None
    assert screen_case.moments is not None
    values = log_cells(screen, screen_case.inputs.uns["target_sum"])
    role = screen_roles[screen_roles["fold"] == 0].set_index("cell_id")["role"]
    role = role.replace("validation", "train").reindex(screen.obs_names)
    for k, group in enumerate(screen_case.groups.itertuples()):
        chosen = (
            (role == group.role)
            & (screen.obs["perturbation"] == group.perturbation)
            & (screen.obs["cell_type"] == group.context)
        ).to_numpy()
        assert group.n == chosen.sum()
        cells = values[chosen]
        np.testing.assert_allclose(screen_case.moments[f"mean:{k}"], cells.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(
            screen_case.moments[f"variance:{k}"], cells.var(axis=0, ddof=1), atol=1e-10
        )


def moments_of(case: Case) -> Moments:
    assert case.groups is not None
    assert case.moments is not None
    return read_moments(case.groups, case.moments)


def test_the_targets_of_the_panel_are_removed_from_what_is_scored(screen_case: Case) -> None:
    moments = moments_of(screen_case)
    assert screen_case.moments is not None
    assert set(screen_case.moments["gene"]) - set(moments.genes) == set(SINGLES)
    assert moments.mean.shape == (len(moments.role), N_GENES - len(SINGLES))
    row = moments.rows("test")[0]
    key = (str(moments.perturbation[row]), str(moments.context[row]))
    part = unit_parts(moments, {key: np.zeros(len(moments.genes))}, [row])[0]
    assert len(part.truth) == len(part.weight) == N_GENES - len(SINGLES)


def test_every_unit_is_scored_from_its_own_profile_controls_and_fold(screen_case: Case) -> None:
    moments = moments_of(screen_case)
    for unit, rows in moments.units().items():
        said = {(unit, str(moments.context[r])): moments.mean[r] + 1 for r in rows}
        for row, part in zip(rows, unit_parts(moments, said, rows), strict=True):
            context = str(moments.context[row])
            np.testing.assert_array_equal(part.truth, moments.mean[row])
            np.testing.assert_array_equal(part.predicted, moments.mean[row] + 1)
            np.testing.assert_array_equal(
                part.control_input, moments.control("control_input", context)
            )
            np.testing.assert_array_equal(
                part.control_truth, moments.control("control_truth", context)
            )
            others = [r for r in moments.rows("test", context) if r != row]
            np.testing.assert_array_equal(part.other_truths, moments.mean[others])


def test_a_shift_within_the_rounding_of_float32_is_no_shift(screen_case: Case) -> None:
    moments = moments_of(screen_case)
    row = moments.rows("test")[0]
    key = (str(moments.perturbation[row]), str(moments.context[row]))
    control = moments.control("control_input", key[1])
    rounded = control.astype(np.float32).astype(np.float64)
    part = unit_parts(moments, {key: rounded}, [row])[0]
    np.testing.assert_array_equal(part.predicted, part.control_input)


# Weights


def cells_of(
    screen: "AnnData", case: Case, roles: pd.DataFrame, genes: tuple[str, ...]
) -> pd.DataFrame:
    """Return the log-normalised training and test cells of fold 0, keys and kept genes."""
    values = log_cells(screen, case.inputs.uns["target_sum"])
    table = pd.DataFrame(values, columns=list(screen.var_names))[list(genes)]
    table["perturbation"] = screen.obs["perturbation"].to_numpy()
    table["context"] = screen.obs["cell_type"].to_numpy()
    fold = roles[roles["fold"] == 0].set_index("cell_id")["role"]
    table["role"] = fold.reindex(screen.obs_names).to_numpy()
    return table[table["role"].isin(["train", "validation", "test"])]


def min_max(values: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = (values - values.min()) / (values.max() - values.min())
    return scaled


def test_weights_are_the_squared_min_max_of_scipys_welch_t_over_cells(
    screen: "AnnData", screen_case: Case, screen_roles: pd.DataFrame
) -> None:
    moments = moments_of(screen_case)
    cells = cells_of(screen, screen_case, screen_roles, moments.genes)
    genes = list(moments.genes)
    for row in moments.rows("test")[::3]:
        here = cells[cells["context"] == moments.context[row]]
        own = here["perturbation"] == moments.perturbation[row]
        t = stats.ttest_ind(
            here.loc[own, genes].to_numpy(), here.loc[~own, genes].to_numpy(), equal_var=False
        ).statistic
        found = weights(moments, row)
        np.testing.assert_allclose(found, min_max(np.abs(t)) ** 2, atol=1e-9)
        assert found.min() == 0.0
        assert found.max() == 1.0


def hand_made_moments(mean: dict[tuple[str, str, str], list[float]], n: float = 10) -> Moments:
    """Groups by (role, perturbation, context), of ``n`` cells each with variance 0.1."""
    role, perturbation, context = (np.array(part) for part in zip(*mean, strict=True))
    means = np.array(list(mean.values()))
    return Moments(
        role=role,
        perturbation=perturbation,
        context=context,
        unit=context,
        n=np.full(len(role), n),
        mean=means,
        variance=np.full_like(means, 0.1),
        genes=tuple(f"g{i}" for i in range(means.shape[1])),
    )


def few_perturbations(**test: list[float]) -> Moments:
    """One perturbation in four donors, three of them in training."""
    rng = np.random.default_rng(0)
    mean: dict[tuple[str, str, str], list[float]] = {}
    for donor in ("d0", "d1", "d2", "d3"):
        control = rng.random(6)
        shift = np.array([2.0, 1.0, 0.5, 0.0, -1.0, 0.2]) + rng.normal(scale=0.3, size=6)
        shift[3] = 0.0  # a gene that never moves has no part in s0
        mean["control_input", CONTROL, donor] = list(control)
        mean["control_truth", CONTROL, donor] = list(control + 0.01)
        mean["test" if donor == "d3" else "train", "IFN", donor] = list(control + shift)
    mean["test", "IFN", "d3"] = test.get("test", mean["test", "IFN", "d3"])
    return hand_made_moments(mean)


def test_with_few_perturbations_weights_come_from_the_moderated_training_shift() -> None:
    moments = few_perturbations()
    shifts = np.array(
        [
            moments.mean[r] - moments.control("control_input", str(moments.context[r]))
            for r in moments.rows("train")
        ]
    )
    sd = shifts.std(axis=0, ddof=1)
    s0 = np.quantile(sd[sd > 0], 0.9)
    a = np.abs(shifts.mean(axis=0)) / ((sd + s0) / np.sqrt(len(shifts)))
    np.testing.assert_allclose(weights(moments, moments.rows("test")[0]), min_max(a) ** 2)


def test_with_few_perturbations_weights_do_not_look_at_the_truth() -> None:
    one = few_perturbations()
    other = few_perturbations(test=[9.0, -9.0, 9.0, -9.0, 9.0, 1.0])
    row = one.rows("test")[0]
    np.testing.assert_array_equal(weights(one, row), weights(other, row))


def test_welch_starts_at_five_perturbations_in_the_context() -> None:
    rng = np.random.default_rng(0)

    def panel(n: int) -> Moments:
        mean = {("control_input", CONTROL, "k"): list(rng.random(6))}
        mean |= {("train", f"P{i}", "k"): list(rng.random(6)) for i in range(n - 1)}
        mean["test", "P9", "k"] = list(rng.random(6))
        return hand_made_moments(mean)

    for n, is_welch in ((4, False), (5, True)):
        moments = panel(n)
        row = moments.rows("test")[0]
        before = weights(moments, row)
        moments.mean[row] = rng.random(6)
        assert np.array_equal(weights(moments, row), before) != is_welch


def test_where_all_t_are_equal_no_gene_has_weight() -> None:
    same = {("train", f"P{i}", "k"): [1.0, 1.0] for i in range(5)}
    moments = hand_made_moments({**same, ("test", "P9", "k"): [1.0, 1.0]})
    assert weights(moments, moments.rows("test")[0]).tolist() == [0.0, 0.0]


# Predictions


def annotation_prediction(case: Case) -> pd.DataFrame:
    return pd.DataFrame({"cell_id": case.truth["cell_id"], "label": case.truth["label"]})


def probabilities(case: Case) -> pd.DataFrame:
    table = annotation_prediction(case)
    return table.assign(**{"p:A": 0.5, "p:B": 0.25, "p:C": 0.25})


BAD_ANNOTATION: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "a cell is missing": (lambda t: t.iloc[1:], "1 of .* missing, first cell_id="),
    "a cell is there twice": (lambda t: pd.concat([t, t.iloc[:1]]), "1 duplicated row"),
    "a cell was not asked for": (
        lambda t: pd.concat([t, t.iloc[:1].assign(cell_id="z")]),
        "not asked for, first cell_id=z",
    ),
    "no label": (lambda t: t.drop(columns="label"), "expected the columns"),
    "a column too many": (lambda t: t.assign(score=1.0), "expected the columns"),
    "an empty label": (lambda t: t.assign(label=""), "label.* are no text"),
    "a missing label": (lambda t: t.assign(label=None), "label.* are no text"),
    "a number for a label": (lambda t: t.assign(label=3), "label.* are no text"),
    "probabilities for some classes": (lambda t: t.drop(columns="p:A"), "missing .*p:A"),
    "a negative probability": (lambda t: t.assign(**{"p:A": -0.5, "p:B": 1.25}), "negative"),
    "a probability that is NaN": (lambda t: t.assign(**{"p:A": np.nan}), "not finite"),
    "probabilities that sum to 1.001": (lambda t: t.assign(**{"p:A": 0.501}), "do not sum to 1"),
    "ids that are numbers": (lambda t: t.assign(cell_id=range(len(t))), "cell_id"),
}


def test_a_right_annotation_passes(atlas_case: Case) -> None:
    keys = atlas_case.truth[["cell_id"]]
    for table in (annotation_prediction(atlas_case), probabilities(atlas_case)):
        ANNOTATION.check_prediction(table.sample(frac=1, random_state=0), keys, ["A", "B", "C"])


@pytest.mark.parametrize("fault", list(BAD_ANNOTATION))
def test_a_wrong_annotation_is_refused_with_the_reason(atlas_case: Case, fault: str) -> None:
    spoil, told = BAD_ANNOTATION[fault]
    table, keys = spoil(probabilities(atlas_case)), atlas_case.truth[["cell_id"]]
    with pytest.raises(PredictionError, match=told):
        ANNOTATION.check_prediction(table, keys, ["A", "B", "C"])


def perturbation_prediction(case: Case, value: float = 0.5) -> pd.DataFrame:
    assert case.queries is not None
    genes = list(map(str, case.inputs.var_names))
    values = pd.DataFrame(value, index=range(len(case.queries)), columns=genes)
    return pd.concat([case.queries.assign(statistic="mean"), values], axis=1)


BAD_PERTURBATION: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "a query is missing": (lambda t: t.iloc[1:], "missing, first perturbation="),
    "a query is there twice": (lambda t: pd.concat([t, t.iloc[:1]]), "1 duplicated row"),
    "a query was not asked for": (
        lambda t: pd.concat([t, t.iloc[:1].assign(perturbation="z")]),
        "not asked for, first perturbation=z",
    ),
    "no statistic": (lambda t: t.drop(columns="statistic"), "column statistic missing"),
    "an unknown statistic": (lambda t: t.assign(statistic="median"), "must be mean or variance"),
    "only a variance": (lambda t: t.assign(statistic="variance"), "missing"),
    "a variance for what was not asked": (
        lambda t: pd.concat([t, t.iloc[:1].assign(statistic="variance", perturbation="z")]),
        "perturbation=z",
    ),
    "a variance twice": (
        lambda t: pd.concat([t, *[t.iloc[:1].assign(statistic="variance")] * 2]),
        "duplicated",
    ),
    "a gene is missing": (lambda t: t.drop(columns="G003"), "missing .*G003"),
    "a gene too many": (lambda t: t.assign(XIST=0.0), "not in it .*XIST"),
    "NaN": (lambda t: t.assign(G003=np.nan), "NaN or infinity"),
    "infinity": (lambda t: t.assign(G003=np.inf), "NaN or infinity"),
    "text for a number": (lambda t: t.assign(G003="high"), "G003|number"),
}


def test_a_right_perturbation_prediction_passes(screen_case: Case) -> None:
    table, genes = perturbation_prediction(screen_case), list(screen_case.inputs.var_names)
    assert screen_case.queries is not None
    PERTURBATION.check_prediction(table.iloc[::-1, ::-1], screen_case.queries, genes)
    both = pd.concat([table, table.assign(statistic="variance")])
    PERTURBATION.check_prediction(both, screen_case.queries, genes)


@pytest.mark.parametrize("fault", list(BAD_PERTURBATION))
def test_a_wrong_perturbation_prediction_is_refused_with_the_reason(
    screen_case: Case, fault: str
) -> None:
    spoil, told = BAD_PERTURBATION[fault]
    table = spoil(perturbation_prediction(screen_case))
    assert screen_case.queries is not None
    with pytest.raises(PredictionError, match=told):
        PERTURBATION.check_prediction(
            table, screen_case.queries, list(screen_case.inputs.var_names)
        )


# Classes of an annotation board


def class_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Four donors, each a fold of its own; cells by donor and label as written here.

    =====  ==  ==  ==  ==
    label  d0  d1  d2  d3
    =====  ==  ==  ==  ==
    Big    10  10  10  10   in C and in every C_u
    Thin    8   4   5   5   22 cells: in C; not in C_u of d1, which has 4
    Few     6   6   6   1   19 cells: not in C
    Local  15  15   0   0   30 cells in 2 units: not in C
    Own     0  12   6   6   in C: 3 units, and every training set has it
    =====  ==  ==  ==  ==
    """
    cells = {
        "Big": (10, 10, 10, 10),
        "Thin": (8, 4, 5, 5),
        "Few": (6, 6, 6, 1),
        "Local": (15, 15, 0, 0),
        "Own": (0, 12, 6, 6),
    }
    rows = [
        (f"d{d}", label)
        for label, numbers in cells.items()
        for d, n in enumerate(numbers)
        for _ in range(n)
    ]
    obs = pd.DataFrame(rows, columns=["donor_id", "cell_type"])
    obs.index = pd.Index([f"c{i}" for i in range(len(obs))])
    validation = {0: "d1", 1: "d2", 2: "d3", 3: "d0"}
    parts = []
    for fold in range(4):
        role = np.where(obs["donor_id"] == validation[fold], "validation", "train")
        role = np.where(obs["donor_id"] == f"d{fold}", "test", role)
        parts.append(pd.DataFrame({"cell_id": obs.index, "fold": fold, "role": role}))
    return obs, pd.concat(parts, ignore_index=True)


def test_classes_follow_the_worked_example() -> None:
    obs, roles = class_tables()
    assert classes_of(roles, obs, "donor_id") == {
        "d0": ["Big", "Thin"],
        "d1": ["Big", "Own"],
        "d2": ["Big", "Own", "Thin"],
        "d3": ["Big", "Own", "Thin"],
    }


def test_a_label_that_one_training_set_lacks_is_no_class() -> None:
    obs, roles = class_tables()
    without_d1 = roles[
        (roles["fold"] != 0) | (roles["role"] == "test") | (obs.loc[roles["cell_id"], "cell_type"]
        != "Own").to_numpy()
    ]  # fmt: skip
    assert "Own" not in classes_of(without_d1, obs, "donor_id")["d2"]


def test_with_two_units_a_class_must_be_in_both() -> None:
    obs, roles = class_tables()
    two = obs["donor_id"].isin(["d0", "d1"])
    roles = roles[two[roles["cell_id"]].to_numpy()]
    roles = roles[roles["fold"].isin([0, 1])]
    assert classes_of(roles, obs, "donor_id")["d0"] == ["Big", "Local"]


def test_annotation_constants_hold_classes_floor_and_ceiling(
    atlas: "AnnData", atlas_roles: pd.DataFrame, atlas_board: Board
) -> None:
    found = board_constants(atlas, atlas_roles, atlas_board)
    assert set(found["class_units"]) == {f"D{i}" for i in range(6)}
    assert found["classes"] == ["A", "B", "C"]
    for name in ("accuracy", "macro_f1"):
        metric = found["metrics"][name]
        assert metric["ceiling"] == metric["ceiling_low"] == metric["ceiling_high"] == 1.0
        assert metric["trusted"] is True
    # A shuffle gets each label right as often as two draws agree.
    share = atlas.obs.groupby("donor_id")["cell_type"].value_counts(normalize=True)
    expected = (share**2).groupby("donor_id").sum().mean()
    assert found["metrics"]["accuracy"]["floor"] == pytest.approx(expected, abs=0.02)


def test_annotation_constants_do_not_depend_on_the_order_of_cells(
    atlas: "AnnData", atlas_roles: pd.DataFrame, atlas_board: Board
) -> None:
    order = np.random.default_rng(2).permutation(atlas.n_obs)
    assert board_constants(atlas[order].copy(), atlas_roles, atlas_board) == board_constants(
        atlas, atlas_roles, atlas_board
    )


def test_where_labels_cannot_be_told_apart_the_metric_is_untrusted(
    atlas: "AnnData", atlas_roles: pd.DataFrame, atlas_board: Board
) -> None:
    adata = atlas.copy()
    adata.obs["cell_type"] = "A"
    metric = board_constants(adata, atlas_roles, atlas_board)["metrics"]["macro_f1"]
    assert metric["trusted"] is False
    assert "no better than shuffled" in metric["reason"]


# The gate of a perturbation board


@pytest.fixture(scope="module")
def frozen(screen: "AnnData", screen_roles: pd.DataFrame, screen_board: Board) -> dict[str, Any]:
    return board_constants(screen, screen_roles, screen_board)


def test_planted_effects_respond_and_planted_nulls_do_not(frozen: dict[str, Any]) -> None:
    assert frozen["responders"] == STRONG
    assert not set(frozen["responders"]) & set(NULL)
    assert set(NULL) <= {*frozen["weak"], *frozen["noise"]}
    assert set(frozen["noise"]) <= set(NULL)
    kinds = [*frozen["responders"], *frozen["weak"], *frozen["noise"]]
    assert sorted(kinds) == SINGLES
    for unit, r in frozen["reliability"].items():
        assert (r >= 0.5) == (unit in STRONG)


def test_the_floors_and_ceilings_of_a_perturbation_board_are_on_the_right_sides(
    frozen: dict[str, Any],
) -> None:
    metrics = frozen["metrics"]
    assert metrics["nwmse"]["floor"] == 0.0
    assert metrics["pds"]["floor"] == 0.5
    assert metrics["pearson_delta"]["floor"] == 0.0
    kinds = {"nwmse": "noise", "pds": "replicate", "pearson_delta": "reliability"}
    for name, kind in kinds.items():
        constants = metrics[name]
        assert constants["ceiling_kind"] == kind
        assert constants["trusted"] is True, constants["reason"]
        assert constants["ceiling_low"] <= constants["ceiling"] <= constants["ceiling_high"]
        sign = 1 if METRICS[name].higher_is_better else -1
        assert sign * constants["ceiling"] > sign * constants["floor"]


def test_the_correlation_ceiling_follows_from_reliability(frozen: dict[str, Any]) -> None:
    r = np.array([frozen["reliability"][unit] for unit in frozen["responders"]])
    expected = np.mean(np.sqrt(2 * r / (1 + r)))
    assert frozen["metrics"]["pearson_delta"]["ceiling"] == pytest.approx(expected, rel=1e-8)


def test_the_error_ceiling_is_the_sampling_noise_of_the_truth(
    screen: "AnnData", screen_roles: pd.DataFrame, screen_board: Board, frozen: dict[str, Any]
) -> None:
    """Mean over responders of log(sum w s^2/n / sum w s_control^2), up to the log of a mean."""
    logs = []
    for fold in range(2):
        moments = moments_of(build_case(screen, screen_roles, screen_board, fold, "test"))
        for unit, rows in moments.units().items():
            if unit not in frozen["responders"]:
                continue
            values = []
            for row in rows:
                w = weights(moments, row)
                n = moments.n[row]
                noise = np.sum(w * moments.variance[row] / n * (n - 1) / n)
                control = moments.control("control_input", str(moments.context[row]))
                values.append(np.log(noise / np.sum(w * (control - moments.mean[row]) ** 2)))
            logs.append(np.mean(values))
    assert frozen["metrics"]["nwmse"]["ceiling"] == pytest.approx(np.mean(logs), abs=0.1)


def test_the_constants_of_a_perturbation_board_do_not_depend_on_the_order_of_cells(
    screen: "AnnData", screen_roles: pd.DataFrame, screen_board: Board, frozen: dict[str, Any]
) -> None:
    order = np.random.default_rng(3).permutation(screen.n_obs)
    found = board_constants(screen[order].copy(), screen_roles, screen_board)
    check_constants(frozen, found, screen_board.id)


def test_a_board_without_effects_trusts_no_metric_however_noisy_its_controls(
    make_screen: Callable[..., "AnnData"], screen_board: Board, rule: FoldRule
) -> None:
    """Few controls and many perturbed cells: two halves that shared controls would agree."""
    adata = make_screen(seed=1, n_controls=100, n_cells=300)
    kept = adata.obs["perturbation"].isin([CONTROL, *NULL]).to_numpy()
    nulls = [f"{p}x{i}" for p in NULL for i in range(4)]
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(object)
    rng = np.random.default_rng(0)
    is_null = kept & (adata.obs["perturbation"] != CONTROL).to_numpy()
    adata.obs.loc[is_null, "perturbation"] = rng.permutation(np.resize(nulls, is_null.sum()))
    adata = adata[kept].copy()
    found = board_constants(adata, draw(adata.obs, screen_board, rule)[0], screen_board)
    assert found["responders"] == []
    assert not any(m["trusted"] for m in found["metrics"].values())
    assert all(m["reason"] for m in found["metrics"].values())


# What scoring sees


def truth_as_prediction(case: Case) -> pd.DataFrame:
    """Answer every query with its noisy truth, shifted from one control half to the other."""
    assert case.groups is not None
    assert case.moments is not None
    assert case.queries is not None
    groups, moments = case.groups, case.moments.set_index("gene")
    number = {(g.role, g.perturbation, g.context): k for k, g in enumerate(groups.itertuples())}
    rows = []
    for p, c in case.queries.itertuples(index=False):
        columns = [
            moments[f"mean:{number[key]}"]
            for key in (
                ("test", p, c),
                ("control_input", CONTROL, c),
                ("control_truth", CONTROL, c),
            )
        ]
        rows.append(columns[0] + columns[1] - columns[2])
    values = pd.DataFrame(np.stack(rows), columns=list(moments.index))
    return pd.concat([case.queries.assign(statistic="mean"), values], axis=1)


def evidence_of(case: Case, prediction: pd.DataFrame, fold: int = 0) -> Evidence:
    return Evidence(
        fold=fold, seed=0, prediction=prediction, truth=case.truth, queries=case.queries,
        moments=case.moments, groups=case.groups,
    )  # fmt: skip


def test_a_unit_is_observed_once_with_a_part_a_context(
    screen_case: Case, screen_board: Board
) -> None:
    evidence = evidence_of(screen_case, truth_as_prediction(screen_case))
    observations = PERTURBATION.observe([evidence], screen_board, {})
    tested = screen_case.truth[screen_case.truth["role"] == "test"]
    assert [o.unit for o in observations] == sorted(tested["unit"].unique())
    for observation in observations:
        assert len(observation.parts) == 2
        assert observation.n == (tested["unit"] == observation.unit).sum() == 24
        assert observation.undefined == ""


def test_the_true_shift_scores_perfectly_on_every_unit(
    screen_case: Case, screen_board: Board
) -> None:
    evidence = evidence_of(screen_case, truth_as_prediction(screen_case))
    for observation in PERTURBATION.observe([evidence], screen_board, {}):
        values = {
            v.metric: v.value
            for v in score_unit(observation, [METRICS["pds"], METRICS["pearson_delta"]])
        }
        assert values == {"pds": 1.0, "pearson_delta": pytest.approx(1.0)}


@pytest.mark.parametrize(("n_controls", "is_defined"), [(98, False), (99, False), (100, True)])
def test_below_a_hundred_control_cells_control_based_metrics_are_undefined(
    make_screen: Callable[..., "AnnData"],
    screen_board: Board,
    rule: FoldRule,
    n_controls: int,
    is_defined: bool,
) -> None:
    adata = make_screen(n_controls=n_controls)
    case = build_case(adata, draw(adata.obs, screen_board, rule)[0], screen_board, 0, "test")
    evidence = evidence_of(case, truth_as_prediction(case))
    metrics = [m for m in METRICS.values() if screen_board.task in m.tasks and m.needs_control]
    assert {m.name for m in metrics} >= {"nwmse", "pds", "pearson_delta"}
    for observation in PERTURBATION.observe([evidence], screen_board, {}):
        for value in score_unit(observation, metrics):
            assert (value.status == "ok") == is_defined
            if not is_defined:
                assert value.value is None
                told = f"{n_controls} control cells in k1, 100 needed"
                assert told in value.reason
                assert "k2" in value.reason


def test_a_context_with_few_controls_is_left_out_of_its_units(
    screen: "AnnData", screen_board: Board, rule: FoldRule
) -> None:
    is_control = (
        (screen.obs["perturbation"] == CONTROL) & (screen.obs["cell_type"] == "k2")
    ).to_numpy()
    adata = screen[~is_control | (np.cumsum(is_control) <= 40)].copy()
    case = build_case(adata, draw(adata.obs, screen_board, rule)[0], screen_board, 0, "test")
    evidence = evidence_of(case, truth_as_prediction(case))
    for observation in PERTURBATION.observe([evidence], screen_board, {}):
        assert len(observation.parts) == 1
        assert observation.undefined == ""


def test_the_top_genes_of_the_failure_table_are_those_that_move_most(
    screen_case: Case, screen_board: Board
) -> None:
    evidence = evidence_of(screen_case, truth_as_prediction(screen_case))
    table = PERTURBATION.failures([evidence], screen_board, {})
    assert set(table["kind"]) == {"top_gene"}
    assert not set(table["subject"]) & set(SINGLES)
    for _, rows in table.groupby("unit"):
        true = rows[rows["key"] == "true"].sort_values("position")
        assert len(true) == 20
        assert true["value"].abs().is_monotonic_decreasing
        said = rows[rows["key"] == "predicted"].sort_values("position")
        np.testing.assert_allclose(said["value"], true["value"], atol=1e-9)


def test_annotation_units_are_donors_with_the_frozen_classes(
    atlas_case: Case, atlas_board: Board
) -> None:
    units = sorted(atlas_case.truth["unit"].unique())
    constants = {"class_units": {unit: ["A", "C"] for unit in units}}
    prediction = annotation_prediction(atlas_case).sample(frac=1, random_state=1)
    observations = ANNOTATION.observe([evidence_of(atlas_case, prediction)], atlas_board, constants)
    assert [o.unit for o in observations] == units
    for observation in observations:
        part = observation.parts[0]
        assert part.classes == ("A", "C")
        assert part.label.tolist() == part.predicted.tolist()
        assert (observation.fold, observation.n) == (0, len(part.label))


def test_a_unit_that_a_random_split_spreads_is_pooled_over_folds(
    atlas: "AnnData", rule: FoldRule
) -> None:
    board = Board(
        dataset="tiny", task="cell_type_annotation", split="random", unit="donor_id",
        matches="donor",
    )  # fmt: skip
    roles, _ = draw(atlas.obs, board, rule)
    cases = [build_case(atlas, roles, board, fold, "test") for fold in range(6)]
    evidence = [evidence_of(c, annotation_prediction(c), k) for k, c in enumerate(cases)]
    observations = ANNOTATION.observe(evidence, board, {"class_units": {}})
    assert [(o.unit, o.fold, o.n) for o in observations] == [(f"D{i}", -1, 40) for i in range(6)]


def test_the_failure_table_of_annotation_adds_up(atlas_case: Case, atlas_board: Board) -> None:
    table = probabilities(atlas_case).assign(label="A", **{"p:A": 0.95, "p:B": 0.05, "p:C": 0.0})
    found = ANNOTATION.failures([evidence_of(atlas_case, table)], atlas_board, {})
    confusion = found[found["kind"] == "confusion"]
    assert confusion["n"].sum() == len(atlas_case.truth)
    assert (confusion["value"] == 1.0).all()
    assert set(confusion["key"]) == {"A"}
    errors = found[found["kind"] == "confident_error"]
    assert set(errors["subject"]) == {"B", "C"}
    assert errors.groupby("unit").size().max() <= 20
    calibration = found[found["kind"] == "calibration"].set_index(["unit", "key"])["value"]
    for unit, cells in atlas_case.truth.groupby("unit"):
        assert calibration[unit, "confidence"] == pytest.approx(0.95)
        assert calibration[unit, "accuracy"] == pytest.approx((cells["label"] == "A").mean())


# What a release freezes


def test_the_digests_of_a_release_are_those_of_its_boards(
    atlas: "AnnData", atlas_board: Board, rule: FoldRule
) -> None:
    random = replace(atlas_board, split="random", matches="donor")
    found = split_digests(atlas.obs, [atlas_board, random], rule)
    assert set(found) == {"cell_type_annotation-donor", "cell_type_annotation-random-donor"}
    assert len(set(found.values())) == 2
    again = split_digests(atlas.obs.iloc[::-1], [atlas_board, random], rule)
    assert again == found


def test_constants_may_differ_by_rounding_and_by_nothing_else() -> None:
    from leaderboard.errors import FreezeError

    metric = {"floor": 1.0, "trusted": True}
    frozen = {"metrics": {"m": metric}, "responders": ["a", "b"]}
    near = frozen | {"metrics": {"m": metric | {"floor": 1.0 + RTOL / 2}}}
    check_constants(frozen, near, "board")
    for path, value in (("floor", 1.0 + 10 * RTOL), ("trusted", False), ("added", 1.0)):
        far = frozen | {"metrics": {"m": metric | {path: value}}}
        with pytest.raises(FreezeError, match=rf"board\.metrics\.m\.{path}: frozen"):
            check_constants(frozen, far, "board")
    with pytest.raises(FreezeError, match=r"board\.responders: frozen \['a', 'b'\], computed"):
        check_constants(frozen, frozen | {"responders": ["b", "a"]}, "board")
