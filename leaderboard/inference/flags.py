"""What the audit says of the entries of one board: an error takes an entry's ranks away."""

from collections.abc import Iterator, Mapping

import numpy as np

from leaderboard.audit._entries import (
    Exposure,
    Flag,
    exposure_flags,
    is_above_ceiling,
    is_limit,
    repeated_predictions,
)
from leaderboard.inference._paired import Estimate, estimate, ratio_estimate
from leaderboard.inference.evidence import BoardEvidence, metric_names, unit_table
from leaderboard.metrics import METRICS
from leaderboard.spec import Metric


def flags_of(evidence: BoardEvidence) -> dict[str, list[Flag]]:
    """Return the flags of every entry that has one; control entries are not judged."""
    found: dict[str, list[Flag]] = {}
    for name, flag in _flags(evidence):
        found.setdefault(name, []).append(flag)
    return found


def barred(flags: Mapping[str, list[Flag]]) -> frozenset[str]:
    """Return the entries that an error keeps out of ranks and verdicts."""
    return frozenset(n for n, own in flags.items() if any(f.severity == "error" for f in own))


def _flags(evidence: BoardEvidence) -> Iterator[tuple[str, Flag]]:
    entries = {n: f for n, f in evidence.entries.items() if f.kind != "control"}
    for name, facts in entries.items():
        seen = Exposure(status=facts.exposure, evidence=facts.exposure_evidence)
        yield from ((name, flag) for flag in exposure_flags(seen))
    owners = {n: frozenset(f.authors) for n, f in entries.items() if f.authors}
    for one, other in repeated_predictions(evidence.scores, owners):
        for name, twin in ((one, other), (other, one)):
            said = f"scores the same as {twin} of other authors on every unit and metric"
            yield name, Flag(check="repeated predictions", severity="warning", message=said)
    if not evidence.board.is_random:
        yield from _too_good(evidence, sorted(entries))


def _too_good(evidence: BoardEvidence, names: list[str]) -> Iterator[tuple[str, Flag]]:
    for metric in (METRICS[m] for m in metric_names(evidence)):
        frozen = evidence.constants["metrics"][metric.name]
        if not metric.is_ranked or not is_limit(frozen):
            continue
        for name, found in _intervals(evidence, metric, names):
            if is_above_ceiling(
                found.low, found.high, frozen, higher_is_better=metric.higher_is_better
            ):
                said = f"better than a perfect predictor can be on {metric.label}: look for a leak"
                yield name, Flag(check="above the ceiling", severity="error", message=said)


def _intervals(
    evidence: BoardEvidence, metric: Metric, names: list[str]
) -> Iterator[tuple[str, Estimate]]:
    """Yield the descriptive interval of the entries that did not fail."""
    table = unit_table(evidence, metric.name)
    counts = unit_table(evidence, metric.name, "n") if metric.is_pooled else table
    for name in names:
        if name not in table.index or name in evidence.failed:
            continue
        row = table.loc[[name]].dropna(axis=1)
        values = row.to_numpy(dtype=np.float64)[0]
        if metric.is_pooled:
            n = counts.loc[[name], list(row.columns)].to_numpy(dtype=np.float64)[0]
            yield name, ratio_estimate(values, n)
        else:
            yield name, estimate(values)
