"""Data contracts: promises about tables, and the only door to Great Expectations."""

import difflib
import functools
import json
import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leaderboard.errors import ContractError

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite, ExpectationValidationResult
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.expectations.expectation import Expectation

TABLES = ("obs", "var", "counts", "genes", "splits")
"""Tables that a file in ``data/contracts`` may speak of."""
N_FIRST = 10
"""Rows that a report names."""


_NOT_ARGUMENTS = {
    *("batch_id", "catch_exceptions", "description", "id", "meta", "notes", "rendered_content"),
    *("result_format", "severity", "windows"),
}
"""Fields of every expectation that change nothing about what it promises."""


class Meta(BaseModel):
    """What a contract is about."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    table: str
    about: str = Field(min_length=1)
    key: tuple[str, ...] = Field(min_length=1)
    """Columns that name a row in a report."""
    fix: str = Field(min_length=1)
    """What to do when a promise is broken."""
    needs: str | None = None
    """The ``obs`` column without which the contract does not apply."""


class PromiseMeta(BaseModel):
    """What a reader is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    promise: str = Field(min_length=1)


class Promise(BaseModel):
    """One expectation, by its name in Great Expectations."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: str
    kwargs: dict[str, Any]
    meta: PromiseMeta

    @property
    def columns(self) -> list[str]:
        """The columns that the promise is about."""
        named = [
            self.kwargs[key] for key in ("column", "column_A", "column_B") if key in self.kwargs
        ]
        return [*named, *self.kwargs.get("column_list", [])]


class Contract(BaseModel):
    """The promises about one table."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    meta: Meta
    expectations: tuple[Promise, ...] = Field(min_length=1)


class Result(TypedDict):
    """One promise, checked."""

    arguments: dict[str, Any]
    columns: list[str]
    element_count: int | None
    first_ids: list[str]
    first_values: list[Any]
    missing_count: int | None
    problem: str
    promise: str
    success: bool
    type: str
    unexpected_count: int | None


class Report(TypedDict):
    """One contract, checked on one table; plain enough for JSON."""

    contract: str
    dataset: str
    fix: str
    results: list[Result]
    rows: int
    success: bool
    table: str


def read_contracts(folder: Path) -> dict[str, Contract]:
    """Read every ``*.json`` of a folder, by name."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise ContractError(f"{folder}: no contract (*.json) here, so nothing would be checked.")
    return {path.stem: read_contract(path) for path in paths}


def read_contract(path: Path) -> Contract:
    """Read a hand-written contract; raise ContractError for all that would be skipped silently."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_refuse_twice)
        contract = Contract.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ContractError(
            f"{path}: {place}: {first['msg']}. Compare another file there."
        ) from None
    except ValueError as error:
        raise ContractError(f"{path}: not readable as JSON: {error}.") from None
    meta = contract.meta
    expected = f"{meta.table}.{meta.needs}" if meta.needs else meta.table
    if meta.table not in TABLES or not path.stem == contract.name == expected:
        raise ContractError(
            f"{path}: expected a file <table>.json or <table>.<needs>.json of the same `name`, "
            f"with a table of {', '.join(TABLES)}; got name {contract.name!r}, table "
            f"{meta.table!r}, needs {meta.needs!r}. Rename one, or it would never be checked."
        )
    _build_suite(contract, source=str(path))
    return contract


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, refusing the second of two equal keys instead of preferring it."""
    keys = [key for key, _ in pairs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"duplicate key {twice[0]!r}")
    return dict(pairs)


@functools.cache
def _door() -> "BatchDefinition[Any]":
    """Return the one place where this process hands tables in: in memory, silent, no telemetry.

    Kept, because Great Expectations writes its whole configuration anew for each data asset.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    import great_expectations as gx  # noqa: PLC0415  (3 s that only a check should cost)
    from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: PLC0415

    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset("table")
    return asset.add_batch_definition_whole_dataframe("whole")


def _build_suite(contract: Contract, source: str) -> "ExpectationSuite":
    """Build the suite promise by promise: as a whole, it would drop what it does not know."""
    _door()
    from great_expectations.core import ExpectationSuite  # noqa: PLC0415

    loaded = [
        _build_expectation(promise, index, f"{source}: expectation {index} ({promise.type})")
        for index, promise in enumerate(contract.expectations)
    ]
    suite = ExpectationSuite(name=contract.name, expectations=loaded)
    if len(suite.expectations) != len(contract.expectations):
        raise ContractError(
            f"{source}: holds {len(contract.expectations)} expectations, but Great Expectations "
            f"kept {len(suite.expectations)}. Remove what is there twice."
        )
    return suite


def _build_expectation(promise: Promise, index: int, place: str) -> "Expectation":
    """Build one expectation, or say which name in it is unknown."""
    from great_expectations.expectations import registry  # noqa: PLC0415

    known = registry.list_registered_expectation_implementations()
    if promise.type not in known:
        raise ContractError(f"{place}: unknown type. {_nearest(promise.type, known)}")
    kind = registry.get_expectation_impl(promise.type)
    allowed = sorted(set(kind.__fields__) - _NOT_ARGUMENTS)
    for name in promise.kwargs:
        if name not in allowed:
            raise ContractError(f"{place}: unknown argument {name!r}. {_nearest(name, allowed)}")
    try:
        return kind(**promise.kwargs, meta={"index": index})
    except (TypeError, ValueError) as error:
        raise ContractError(f"{place}: {' '.join(str(error).split())}.") from None


def _nearest(name: str, known: Sequence[str]) -> str:
    """Say which known names look like ``name``, or all where none does."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f"Nearest known: {', '.join(close or sorted(known))}."


def check_table(
    table: pd.DataFrame, contract: Contract, *, dataset: str, table_name: str | None = None
) -> Report:
    """Check every promise of a contract and report each, kept or broken.

    Parameters
    ----------
    table
        With the columns of the contract's key; its index is not looked at.
    table_name
        What the report calls the table, where one contract serves several (``splits/donor``).
    """
    name = table_name or contract.meta.table
    plain = _make_plain(table)
    lacking = [column for column in contract.meta.key if column not in plain]
    if lacking:
        raise ContractError(
            f"{dataset}/{name}: no column {lacking[0]!r}, which names the rows; the table has: "
            f"{', '.join(map(str, plain.columns))}. {contract.meta.fix}"
        )
    outcomes = _validate(plain, contract, source=f"{dataset}/{name}")
    results = [
        _build_result(promise, outcome, plain[list(contract.meta.key)])
        for promise, outcome in zip(contract.expectations, outcomes, strict=True)
    ]
    return Report(
        contract=contract.name,
        dataset=dataset,
        fix=contract.meta.fix,
        results=results,
        rows=len(plain),
        success=all(result["success"] for result in results),
        table=name,
    )


def _make_plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with rows numbered from 0 and text as objects with None where missing."""
    plain = table.reset_index(drop=True)
    for column in plain.columns:
        # Great Expectations also counts the categories that no row has.
        if not isinstance(plain[column].dtype, np.dtype):
            values = plain[column].astype(object).to_numpy(copy=True)
            values[plain[column].isna().to_numpy()] = None
            plain[column] = values
    return plain


class _Outcome(TypedDict):
    """What Great Expectations says of one promise, or why it could not say anything."""

    error: str
    success: bool
    counts: Mapping[str, Any]


def _validate(table: pd.DataFrame, contract: Contract, source: str) -> list[_Outcome]:
    """Return one outcome per promise, in the order of the contract."""
    outcomes: dict[int, _Outcome] = {}
    for index, promise in enumerate(contract.expectations):
        lacking = [column for column in promise.columns if column not in table]
        if lacking:  # asked all the same, it would retry all others three times
            has = ", ".join(map(str, table.columns))
            error = f"the table has no column {lacking[0]!r}, it has: {has}"
            outcomes[index] = _Outcome(error=error, success=False, counts={})
    suite = _build_suite(contract, source)
    suite.expectations = [
        expectation for index, expectation in enumerate(suite.expectations) if index not in outcomes
    ]
    batch = _door().get_batch({"dataframe": table})
    for result in batch.validate(suite, result_format="COMPLETE").results:
        if result.expectation_config and result.expectation_config.meta:
            outcomes[result.expectation_config.meta["index"]] = _read_outcome(result)
    if sorted(outcomes) != list(range(len(contract.expectations))):
        raise ContractError(
            f"{source}: Great Expectations left out a promise of {contract.name!r}."
        )
    return [outcomes[index] for index in sorted(outcomes)]


def _read_outcome(result: "ExpectationValidationResult") -> _Outcome:
    """Take the facts from a result and leave batch ids, times and tracebacks behind."""
    info = result.exception_info or {}
    nested = [value for value in info.values() if isinstance(value, Mapping)]
    messages = [
        str(part["exception_message"]) for part in [info, *nested] if part.get("exception_message")
    ]
    error = min(messages).splitlines()[0][:200] if messages else ""
    return _Outcome(
        error=error, success=bool(result.success) and not error, counts=result.result or {}
    )


def _build_result(promise: Promise, outcome: _Outcome, keys: pd.DataFrame) -> Result:
    """Join a promise and its outcome to one line of a report."""
    counts = outcome["counts"]
    first = [int(row) for row in counts.get("unexpected_index_list") or []][:N_FIRST]
    values = counts.get("unexpected_list") or counts.get("partial_unexpected_list") or []
    result = Result(
        arguments=_to_json(promise.kwargs),
        columns=promise.columns,
        element_count=counts.get("element_count"),
        first_ids=[_name_row(keys, row) for row in first],
        first_values=_to_json(values[:N_FIRST]),
        missing_count=counts.get("missing_count"),
        problem="",
        promise=promise.meta.promise,
        success=outcome["success"],
        type=promise.type,
        unexpected_count=counts.get("unexpected_count"),
    )
    if not result["success"]:
        result["problem"] = outcome["error"] or _say_problem(result, counts)
    return result


def _name_row(keys: pd.DataFrame, row: int) -> str:
    """Name a row by its key, or by its position where the key itself is missing."""
    values = keys.iloc[row]
    if values.isna().any():
        return f"row {row}"
    if len(values) == 1:
        return str(values.iloc[0])
    return " ".join(f"{column}={as_text(value)}" for column, value in values.items())


def as_text(value: Any) -> str:
    """Return a label as text; a whole float like 6.0 is the label ``6``."""
    is_whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if is_whole else str(value)


def _say_problem(result: Result, counts: Mapping[str, Any]) -> str:
    """Say in one sentence what was expected and what is there."""
    arguments = result["arguments"]
    if "value_pairs_set" in arguments:
        expected = {pair[0]: pair[1] for pair in arguments["value_pairs_set"]}
        return "; ".join(
            f"{value}: expected {expected.get(value, 0)}, got {got}"
            for value, got in result["first_values"]
        )
    if result["first_ids"]:
        ids = ", ".join(dict.fromkeys(result["first_ids"]))
        values = ", ".join(dict.fromkeys(as_text(value) for value in result["first_values"]))
        # Values that are keys themselves (a cell id, a cell and its fold) would be told twice.
        told = "" if values == ids or "{" in values else f" (value {values})"
        rows = f"{result['unexpected_count']} of {result['element_count']} rows"
        return f"{rows}, first {ids}{told}"
    if "partial_missing_list" in counts:
        sides = {"missing": counts["partial_missing_list"], "unknown": result["first_values"]}
        return "; ".join(f"{side} {_to_json(values)}" for side, values in sides.items() if values)
    said = ", ".join(f"{name} {arguments[name]}" for name in arguments if name != "column")
    return f"expected {said}; got {_to_json(counts.get('observed_value'))}"


def _to_json(value: Any) -> Any:
    """Return a value that JSON can hold: no numpy, NaN as None, infinity as text."""
    if isinstance(value, Mapping):
        return {str(key): _to_json(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_to_json(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else value if math.isfinite(value) else str(value)
    return value if isinstance(value, bool | int) else str(value)


def raise_if_broken(reports: Iterable[Report]) -> None:
    """Raise ContractError with a line for every broken promise of every report."""
    lines: dict[tuple[str, str, str], str] = {}
    fixes: dict[str, None] = {}
    for report in reports:
        place = f"{report['dataset']}/{report['table']}"
        for result in report["results"]:
            if result["success"]:
                continue
            columns = ", ".join(result["columns"]) or "table"
            said = result["problem"] if "no column" in result["problem"] else result["promise"]
            line = f"{place}: {columns}: {result['promise']} Broken: {result['problem']}."
            lines.setdefault((place, columns, said), line)
            fixes[report["fix"]] = None
    if lines:
        n = len(lines)
        head = f"{n} broken promise{'s' if n > 1 else ''}."
        raise ContractError("\n".join([head, *lines.values(), *fixes]))
