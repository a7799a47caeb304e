"""Every promise is broken once, and the message says where."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from leaderboard.contracts import (
    TABLES,
    Contract,
    Report,
    check_table,
    raise_if_broken,
    read_contract,
    read_contracts,
)
from leaderboard.counts import (
    MARKS,
    build_tables,
    check_dataset,
    count_categories,
    dataset_contracts,
    summarise_counts,
)
from leaderboard.errors import ContractError
from leaderboard.spec import ROLES

FOLDER = Path(__file__).parents[1] / "data" / "contracts"
RECORD: dict[str, Any] = {
    "obs": ["donor_id", "cell_type", "perturbation", "dose", "time", "total_counts_all_genes"],
    "nullable": ["cell_type"],
    "expected": {
        "cells": 6,
        "genes": 3,
        "total_counts": 28,
        "categories": {
            "donor_id": {1015: 3, 1016: 3},
            "perturbation": {"control": 2, "KLF1": 2, "BAK1+KLF1": 2},
            "time": {0: 4, 6: 2},
        },
    },
}


@pytest.fixture(scope="session")
def contracts() -> dict[str, Contract]:
    return read_contracts(FOLDER)


def build_adata() -> anndata.AnnData:
    counts = np.array([[1, 0, 2], [0, 3, 0], [4, 0, 0], [1, 1, 1], [0, 0, 5], [6, 4, 0]])
    obs = pd.DataFrame(
        {
            "donor_id": pd.Categorical(["1015", "1015", "1015", "1016", "1016", "1016"]),
            "cell_type": pd.Categorical(["B", "T", None, "B", "T", "NK"]),
            "perturbation": ["control", "KLF1", "BAK1+KLF1"] * 2,
            "dose": [0.0, 1.0, 0.5, 0.0, 1.0, 0.5],
            "time": [0.0, 0.0, 6.0, 0.0, 0.0, 6.0],
            "total_counts_all_genes": [3.0, 30.0, 40.0, 30.0, 50.0, 100.0],
        },
        index=[f"cell{i}" for i in range(6)],
    )
    var = pd.DataFrame(index=["KLF1", "BAK1", "MARCHF1"])
    return anndata.AnnData(sparse.csr_matrix(counts, dtype=np.float32), obs=obs, var=var)


def build_split() -> pd.DataFrame:
    rows = [
        (f"cell{i}", fold, ROLES[(i + fold) % len(ROLES)]) for i in range(6) for fold in range(2)
    ]
    return pd.DataFrame(rows, columns=["cell_id", "fold", "role"]).astype({"fold": "int16"})


def reports_of(
    adata: anndata.AnnData,
    contracts: Mapping[str, Contract],
    record: Mapping[str, Any] = RECORD,
) -> list[Report]:
    return check_dataset(adata, dataset="toy", record=record, contracts=contracts)


def message_of(*reports: Report) -> str:
    with pytest.raises(ContractError) as caught:
        raise_if_broken(reports)
    return str(caught.value)


def line_of(message: str, start: str) -> str:
    lines = [line for line in message.splitlines() if line.startswith(start)]
    assert lines, f"no line starts with {start!r} in:\n{message}"
    return lines[0]


# ---------------------------------------------------------------- clean


def test_a_clean_dataset_keeps_every_promise(contracts: dict[str, Contract]) -> None:
    reports = reports_of(build_adata(), contracts)
    raise_if_broken(reports)
    assert all(report["success"] for report in reports)
    checked = {report["table"] for report in reports}
    assert checked == {
        *(set(TABLES) - {"splits"}),
        "categories.donor_id",
        "categories.perturbation",
        "categories.time",
    }


def test_a_clean_split_keeps_every_promise(contracts: dict[str, Contract]) -> None:
    report = check_table(
        build_split(), contracts["splits"], dataset="toy", table_name="splits/donor"
    )
    raise_if_broken([report])
    assert (report["rows"], report["table"], report["success"]) == (12, "splits/donor", True)


def test_a_dataset_without_optional_columns_is_asked_for_none(
    contracts: dict[str, Contract],
) -> None:
    adata = build_adata()
    adata.obs = adata.obs[["donor_id"]]
    reports = reports_of(adata, contracts, {"obs": ["donor_id"], "expected": {}})
    raise_if_broken(reports)
    assert {report["contract"] for report in reports} == {
        *("counts", "genes", "obs", "var"),
        "obs of this dataset",
    }


def test_contracts_leave_the_dataset_as_it_is(contracts: dict[str, Contract]) -> None:
    adata, before = build_adata(), build_adata()
    reports_of(adata, contracts)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert (adata.X != before.X).nnz == 0


# ---------------------------------------------------------------- broken once each


def set_count(value: float) -> Callable[[anndata.AnnData], anndata.AnnData]:
    def edit(adata: anndata.AnnData) -> anndata.AnnData:
        adata.X.data[2] = value  # the count of gene BAK1 in cell1
        return adata

    return edit


def set_obs(column: str, value: Any, cell: int = 1) -> Callable[[anndata.AnnData], anndata.AnnData]:
    def edit(adata: anndata.AnnData) -> anndata.AnnData:
        values = adata.obs[column].astype(object)
        values.iloc[cell] = value
        adata.obs[column] = values.infer_objects()
        return adata

    return edit


def rename_cell(name: str) -> Callable[[anndata.AnnData], anndata.AnnData]:
    def edit(adata: anndata.AnnData) -> anndata.AnnData:
        adata.obs_names = [adata.obs_names[0], name, *adata.obs_names[2:]]
        return adata

    return edit


def rename_gene(name: str) -> Callable[[anndata.AnnData], anndata.AnnData]:
    def edit(adata: anndata.AnnData) -> anndata.AnnData:
        adata.var_names = [name, *adata.var_names[1:]]
        return adata

    return edit


def empty_cell(adata: anndata.AnnData) -> anndata.AnnData:
    dense = adata.X.toarray()
    dense[1] = 0
    adata.X = sparse.csr_matrix(dense)
    return adata


def empty_genes(adata: anndata.AnnData) -> anndata.AnnData:
    dense = adata.X.toarray()
    dense[:, 1:] = 0
    adata.X = sparse.csr_matrix(dense)
    return adata


def drop_column(adata: anndata.AnnData) -> anndata.AnnData:
    del adata.obs["donor_id"]
    return adata


Edit = Callable[[anndata.AnnData], anndata.AnnData]
BROKEN: dict[str, tuple[Edit, str, str]] = {
    "duplicated cell id": (
        rename_cell("cell0"),
        "toy/obs: cell_id: No two cells share an id.",
        "2 of 6 rows, first cell0.",
    ),
    "blank cell id": (
        rename_cell("cell1 "),
        "toy/obs: cell_id: No cell id is empty",
        "1 of 6 rows, first cell1 ",
    ),
    "missing donor": (
        set_obs("donor_id", None),
        "toy/obs: donor_id: Every cell has a donor_id.",
        "1 of 6 rows, first cell1",
    ),
    "missing donor spelt out": (
        set_obs("donor_id", "nan"),
        "toy/obs: donor_id: No donor_id is empty",
        "1 of 6 rows, first cell1 (value nan)",
    ),
    "NaN count": (
        set_count(np.nan),
        "toy/counts: n_nan: No count of a cell is missing.",
        "1 of 6 rows, first cell1 (value 1)",
    ),
    "NaN count of a gene": (
        set_count(np.nan),
        "toy/genes: n_nan: No count of a gene is missing.",
        "1 of 3 rows, first BAK1 (value 1)",
    ),
    "negative count": (
        set_count(-3),
        "toy/counts: n_negative: No count of a cell is negative.",
        "1 of 6 rows, first cell1",
    ),
    "fractional count": (
        set_count(2.5),
        "toy/counts: n_fractional: Every count of a cell is a whole number",
        "1 of 6 rows, first cell1",
    ),
    "infinite count": (
        set_count(np.inf),
        "toy/counts: n_infinite: No count of a cell is infinite.",
        "1 of 6 rows, first cell1",
    ),
    "empty cell": (
        empty_cell,
        "toy/counts: total_counts: Every cell has counts.",
        "1 of 6 rows, first cell1 (value 0)",
    ),
    "unseen genes": (
        empty_genes,
        "toy/genes: n_cells: At least half of the genes",
        "2 of 3 rows, first BAK1, MARCHF1",
    ),
    "total below the panel's": (
        set_obs("total_counts_all_genes", 2.0),
        "toy/counts: total_counts_all_genes, total_counts: No cell has fewer counts",
        "1 of 6 rows, first cell1",
    ),
    "other total": (
        set_count(4),
        "toy/counts: total_counts: All counts add up to 28.",
        "expected max_value 28, min_value 28; got 29.",
    ),
    "wrong number of cells": (
        lambda adata: adata[:5].copy(),
        "toy/obs: table: The dataset has 6 cells.",
        "expected value 6; got 5.",
    ),
    "wrong number of genes": (
        lambda adata: adata[:, :2].copy(),
        "toy/var: table: The dataset has 3 genes.",
        "expected value 3; got 2.",
    ),
    "no cells": (
        lambda adata: adata[:0].copy(),
        "toy/obs: table: The dataset has cells.",
        "got 0.",
    ),
    "missing column": (
        drop_column,
        "toy/obs: donor_id: Every cell has a donor_id.",
        "the table has no column 'donor_id', it has: cell_type, perturbation",
    ),
    "unknown donor": (
        set_obs("donor_id", "1099"),
        "toy/categories.donor_id: value: The values of donor_id are those of",
        "unknown ['1099']",
    ),
    "vanished value": (
        lambda adata: set_obs("time", 0.0, cell=5)(set_obs("time", 0.0, cell=2)(adata)),
        "toy/categories.time: value: The values of time are those of",
        "missing ['6']",
    ),
    "changed donor label": (
        set_obs("donor_id", "1016"),
        "toy/categories.donor_id: value, cells: Each donor_id has as many cells",
        "1015: expected 3, got 2; 1016: expected 3, got 4.",
    ),
    "word for an unknown type": (
        set_obs("cell_type", "Unknown"),
        "toy/obs: cell_type: A cell of unknown type has no cell_type",
        "first cell1 (value Unknown)",
    ),
    "negative dose": (
        set_obs("dose", -1.0),
        "toy/obs: dose: No dose is negative.",
        "first cell1 (value -1)",
    ),
    "dose as text": (
        set_obs("dose", "high"),
        "toy/obs: dose: No dose is negative.",
        "must either be None or of the same type",
    ),
    "no control": (
        lambda adata: set_obs("perturbation", "KLF1", 3)(set_obs("perturbation", "KLF1", 0)(adata)),
        "toy/obs: perturbation: Some cells are control cells.",
        "missing ['control']",
    ),
    "another name for control": (
        set_obs("perturbation", "non-targeting"),
        "toy/obs: perturbation: Control cells are called control",
        "first cell1 (value non-targeting)",
    ),
    "malformed combination": (
        set_obs("perturbation", "BAK1+"),
        "toy/obs: perturbation: A perturbation is a name, or two joined",
        "first cell1 (value BAK1+)",
    ),
    "unsorted combination": (
        set_obs("perturbation", "KLF1+BAK1"),
        "toy/obs: perturbation, perturbation_sorted: The two names of a combination differ and",
        "first cell1 (value ['KLF1+BAK1', 'BAK1+KLF1'])",
    ),
    "combination of one name": (
        set_obs("perturbation", "KLF1+KLF1"),
        "toy/obs: perturbation, perturbation_sorted: The two names of a combination differ and",
        "first cell1 (value ['KLF1+KLF1', 'KLF1'])",
    ),
    "control in a combination": (
        set_obs("perturbation", "KLF1+control"),
        "toy/obs: perturbation: A combination does not name control",
        "first cell1 (value KLF1+control)",
    ),
    "duplicated gene": (
        rename_gene("BAK1"),
        "toy/var: gene: No two genes share a name.",
        "2 of 3 rows, first BAK1.",
    ),
    "empty gene name": (
        rename_gene(""),
        "toy/var: gene: No gene name is empty",
        "1 of 3 rows",
    ),
    "gene turned into a date": (
        rename_gene("1-Mar"),
        "toy/var: gene: No gene name is a date",
        "first 1-Mar",
    ),
}


@pytest.mark.filterwarnings("ignore:.*names are not unique")
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_dataset_is_named_with_its_table_column_and_rows(
    case: str, contracts: dict[str, Contract]
) -> None:
    edit, start, said = BROKEN[case]
    name = start.split(":")[0].removeprefix("toy/")
    table = build_tables(edit(build_adata()), RECORD["expected"]["categories"])[name]
    promised = [*contracts.values(), *dataset_contracts(RECORD)]
    message = message_of(
        *(check_table(table, c, dataset="toy") for c in promised if c.meta.table == name)
    )
    line = line_of(message, start)
    assert said in line
    assert "Traceback" not in message
    assert "data/datasets.yaml" in message or "leaderboard/datasets/" in message


def test_a_missing_column_is_one_line_however_much_was_promised_of_it(
    contracts: dict[str, Contract],
) -> None:
    message = message_of(*reports_of(drop_column(build_adata()), contracts))
    assert message.count("no column 'donor_id'") == 1


def test_a_nullable_column_may_be_missing_in_some_cells_and_others_may_not(
    contracts: dict[str, Contract],
) -> None:
    strict = RECORD | {"nullable": []}
    message = message_of(*reports_of(build_adata(), contracts, strict))
    assert "1 of 6 rows, first cell2" in line_of(message, "toy/obs: cell_type: Every cell has a")


def test_several_broken_promises_are_all_told_at_once(contracts: dict[str, Contract]) -> None:
    adata = set_obs("dose", -1.0)(set_count(2.5)(build_adata()))
    message = message_of(*reports_of(adata, contracts))
    assert message.startswith("4 broken promises.")
    assert len(message.splitlines()) == 1 + 4 + 2


def set_split(column: str, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def edit(split: pd.DataFrame) -> pd.DataFrame:
        values = split[column].astype(object)
        values.iloc[3] = value
        return split.assign(**{column: values.infer_objects()})

    return edit


SPLITS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str, str]] = {
    "unknown role": (
        set_split("role", "tset"),
        "toy/splits/donor: role: A role is train, validation, test",
        "1 of 12 rows, first cell_id=cell1 fold=1 (value tset)",
    ),
    "missing role": (
        set_split("role", None),
        "toy/splits/donor: role: Every row has a role.",
        "1 of 12 rows, first cell_id=cell1 fold=1",
    ),
    "duplicate cell and fold": (
        set_split("fold", 0),
        "toy/splits/donor: cell_id, fold: A cell has one role in a fold.",
        "2 of 12 rows, first cell_id=cell1 fold=0.",
    ),
    "negative fold": (
        set_split("fold", -1),
        "toy/splits/donor: fold: Folds count from 0.",
        "first cell_id=cell1 fold=-1 (value -1)",
    ),
    "fractional fold": (
        set_split("fold", 0.5),
        "toy/splits/donor: fold: A fold is a whole number.",
        "got float64.",
    ),
    "missing cell": (
        set_split("cell_id", None),
        "toy/splits/donor: cell_id: Every row names a cell.",
        "1 of 12 rows, first row 3",
    ),
    "missing fold": (
        set_split("fold", None),
        "toy/splits/donor: fold: Every row has a fold.",
        "1 of 12 rows, first row 3",
    ),
    "no rows": (
        lambda split: split[:0],
        "toy/splits/donor: table: The split has rows.",
        "expected min_value 1; got 0.",
    ),
}


@pytest.mark.parametrize("case", SPLITS)
def test_a_broken_split_is_named_with_its_cells_and_folds(
    case: str, contracts: dict[str, Contract]
) -> None:
    edit, start, said = SPLITS[case]
    report = check_table(
        edit(build_split()), contracts["splits"], dataset="toy", table_name="splits/donor"
    )
    message = message_of(report)
    assert said in line_of(message, start)
    assert message.endswith("Fix the splitter in leaderboard/splits/, then `dvc repro`.")


def test_a_table_without_its_key_is_refused(contracts: dict[str, Contract]) -> None:
    with pytest.raises(ContractError, match="toy/splits: no column 'fold', which names the rows"):
        check_table(build_split().drop(columns="fold"), contracts["splits"], dataset="toy")


def test_every_role_of_the_records_is_a_role_of_the_contract(
    contracts: dict[str, Contract],
) -> None:
    sets = [promise.kwargs.get("value_set") for promise in contracts["splits"].expectations]
    assert list(ROLES) in sets


def test_every_promise_of_every_file_is_broken_by_a_test(contracts: dict[str, Contract]) -> None:
    starts = [start.split(": ", 2)[2] for _, start, _ in (*BROKEN.values(), *SPLITS.values())]
    known_unbroken = {
        "Every cell has an id.",  # AnnData turns a missing name into text
        "Every gene has a name.",
        "The dataset has genes.",
        "No count of a gene is negative.",  # broken together with the same promise of a cell
        "Every count of a gene is a whole number: raw counts, not normalised or log values.",
        "No count of a gene is infinite.",
        "Every cell has a total over all genes.",
    }
    promises = {p.meta.promise for c in contracts.values() for p in c.expectations}
    untested = {p for p in promises if not any(p.startswith(start) for start in starts)}
    assert untested == known_unbroken


# ---------------------------------------------------------------- reports


def test_a_report_is_plain_sorted_and_the_same_every_time(contracts: dict[str, Contract]) -> None:
    adata = set_count(np.nan)(set_obs("donor_id", None)(build_adata()))
    first = json.dumps(reports_of(adata, contracts), allow_nan=False)
    assert first == json.dumps(reports_of(adata, contracts), allow_nan=False)
    assert first == json.dumps(reports_of(adata, contracts), allow_nan=False, sort_keys=True)
    for word in ("batch_id", "Traceback", "ge_load_time", "run_id"):
        assert word not in first


def test_a_report_counts_and_names_the_first_ten_rows(contracts: dict[str, Contract]) -> None:
    split = pd.concat([build_split()] * 3, ignore_index=True).assign(role="nobody")
    report = check_table(split, contracts["splits"], dataset="toy")
    role = next(r for r in report["results"] if r["type"] == "expect_column_values_to_be_in_set")
    assert (role["element_count"], role["unexpected_count"], role["missing_count"]) == (36, 36, 0)
    assert len(role["first_ids"]) == len(role["first_values"]) == 10
    assert role["first_ids"][:2] == ["cell_id=cell0 fold=0", "cell_id=cell0 fold=1"]
    assert role["columns"] == ["role"]
    assert role["arguments"] == {"column": "role", "value_set": list(ROLES)}


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_contract_file_loads_whole(path: Path) -> None:
    contract = read_contract(path)
    assert len(contract.expectations) == len(json.loads(path.read_text())["expectations"])


def write_contract(folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    content = json.loads((FOLDER / "obs.json").read_text())
    edit(content)
    path = folder / "obs.json"
    path.write_text(json.dumps(content))
    return path


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "unknown type": (
        lambda c: c["expectations"][2].update(type="expect_column_values_to_be_uniqe"),
        r"obs.json: expectation 2 .*: unknown type. Nearest.*: expect_column_values_to_be_unique",
    ),
    "misspelt argument": (
        lambda c: c["expectations"][2].update(kwargs={"colum": "cell_id"}),
        r"expectation 2 .*unknown argument 'colum'. Nearest known: column",
    ),
    "argument that is none": (
        lambda c: c["expectations"][2]["kwargs"].update(severity="info"),
        r"expectation 2 .*unknown argument 'severity'",
    ),
    "missing argument": (
        lambda c: c["expectations"][3]["kwargs"].pop("regex"),
        r"expectation 3 .*regex field required",
    ),
    "no sentence": (
        lambda c: c["expectations"][1]["meta"].pop("promise"),
        r"obs.json: expectations.1.meta.promise: Field required",
    ),
    "unknown key": (
        lambda c: c.update(expectation=[]),
        r"obs.json: expectation: Extra inputs are not permitted",
    ),
    "no promises": (
        lambda c: c.update(expectations=[]),
        r"obs.json: expectations: Tuple should have at least 1 item",
    ),
    "other name": (lambda c: c.update(name="cells"), r"got name 'cells', table 'obs'"),
    "unknown table": (lambda c: c["meta"].update(table="obz"), r"table 'obz', needs None"),
    "undeclared need": (lambda c: c["meta"].update(needs="dose"), r"needs 'dose'. Rename one"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_faulty_contract_file_is_refused(case: str, tmp_path: Path) -> None:
    edit, said = FAULTS[case]
    with pytest.raises(ContractError, match=said):
        read_contract(write_contract(tmp_path, edit))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"name": "obs",', "not readable as JSON"),
        ('{"name": "obs", "name": "var"}', "duplicate key 'name'"),
        ("[]", "obs.json: the file: Input should be"),
    ],
    ids=["cut off", "a key twice", "a list"],
)
def test_broken_json_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "obs.json"
    path.write_text(text)
    with pytest.raises(ContractError, match=said):
        read_contract(path)


def test_a_folder_without_contracts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="nothing would be checked"):
        read_contracts(tmp_path)


# ---------------------------------------------------------------- tables


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, 5)))
    values = st.sampled_from([0, 0, 0, 1, 2, 7, 0.1, 0.7, -1, -0.5, np.nan, np.inf, -np.inf])
    cells = draw(st.lists(values, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    return np.array(cells, dtype=np.float32).reshape(shape)


def summarise_dense(dense: np.ndarray, axis: int) -> pd.DataFrame:
    """Say the same of a dense matrix, in the plainest way."""
    finite = np.where(np.isfinite(dense), dense, 0).astype(np.float64)
    seen = "n_genes" if axis == 1 else "n_cells"
    columns = {
        "total_counts": finite.sum(axis),
        seen: (dense != 0).sum(axis),
        "n_nan": np.isnan(dense).sum(axis),
        "n_negative": (dense < 0).sum(axis),
        "n_fractional": (np.mod(finite, 1) != 0).sum(axis),
        "n_infinite": np.isinf(dense).sum(axis),
    }
    return pd.DataFrame(columns)


@given(dense=matrices(), chunk=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_summaries_equal_a_dense_oracle_whatever_the_chunk(dense: np.ndarray, chunk: int) -> None:
    adata = anndata.AnnData(sparse.csr_matrix(dense))
    cells, genes = summarise_counts(adata, chunk=chunk)
    pd.testing.assert_frame_equal(cells.drop(columns="cell_id"), summarise_dense(dense, 1))
    pd.testing.assert_frame_equal(genes.drop(columns="gene"), summarise_dense(dense, 0))
    whole = summarise_counts(adata)
    pd.testing.assert_frame_equal(cells, whole[0], check_exact=True)
    pd.testing.assert_frame_equal(genes, whole[1], check_exact=True)


@pytest.mark.parametrize("build", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_summaries_do_not_depend_on_how_counts_are_stored(build: Callable[..., Any]) -> None:
    dense = build_adata().X.toarray()
    cells, genes = summarise_counts(anndata.AnnData(build(dense)), chunk=2)
    assert cells["total_counts"].tolist() == [3, 3, 4, 3, 5, 10]
    assert genes["n_cells"].tolist() == [4, 3, 3]


def test_two_stored_entries_of_one_cell_and_gene_are_one_count() -> None:
    halves = sparse.csr_matrix(([0.5, 0.5], [0, 0], [0, 2]), shape=(1, 1))
    adata = anndata.AnnData(sparse.csr_matrix((1, 1)))
    adata.X = halves
    cells, _ = summarise_counts(adata)
    assert cells[["n_genes", "n_fractional", "total_counts"]].to_numpy().tolist() == [[1, 0, 1]]


def test_counts_on_disk_are_summarised_without_loading_them(tmp_path: Path) -> None:
    build_adata().write_h5ad(tmp_path / "toy.h5ad")
    backed = anndata.read_h5ad(tmp_path / "toy.h5ad", backed="r")
    cells, genes = summarise_counts(backed, chunk=4)
    backed.file.close()
    expected = summarise_counts(build_adata())
    pd.testing.assert_frame_equal(cells, expected[0])
    pd.testing.assert_frame_equal(genes, expected[1])


def test_summary_tables_hold_the_columns_that_contracts_name(
    contracts: dict[str, Contract],
) -> None:
    tables = build_tables(build_adata(), [])
    assert set(MARKS) <= set(tables["counts"]) & set(tables["genes"])
    for contract in contracts.values():
        if contract.meta.table in tables:
            named = {column for promise in contract.expectations for column in promise.columns}
            assert named <= set(tables[contract.meta.table]), contract.name


def test_categories_are_counted_as_text_in_order() -> None:
    counted = count_categories(pd.Series([6.0, 0.0, np.nan, 6.0]))
    assert counted.to_numpy().tolist() == [["0", 1], ["6", 2]]


def test_a_record_that_promises_nothing_has_no_contract() -> None:
    assert dataset_contracts({"obs": []}) == []
    assert dataset_contracts({"expected": {"total_counts": None}}) == []
