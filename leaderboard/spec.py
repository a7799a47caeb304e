"""The nouns of the benchmark: plain frozen records that import nothing of ours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

if TYPE_CHECKING:
    from anndata import AnnData
else:  # anndata takes a second to import, and a record only carries it
    AnnData = Any

CONTROL = "control"
"""The ``perturbation`` of an unperturbed cell."""

WHOLE = "all"
"""Name of the unit of metrics that have one value a board."""

Role = Literal["train", "validation", "test", "control_input", "control_truth"]
ROLES: tuple[Role, ...] = ("train", "validation", "test", "control_input", "control_truth")
Suite = Literal["known_truth", "public_small", "public_large"]
Status = Literal["ok", "undefined", "failed", "not_applicable"]
Tier = Literal["default", "full"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the counts of a dataset come from: a reader of raw files or a simulator."""

    name: str
    read: Callable[[Path], AnnData]
    """From the folder of raw files to an AnnData: integer counts in CSR float32, ``obs`` named by
    cell id with the columns of the dataset's record, ``var`` named by gene symbol."""
    simulate: Callable[[Path, Mapping[str, Any]], None] | None = None
    """Write the raw files and all that is kept as truth into a folder, from parameters alone."""
    true_profiles: Callable[[Path, str, float], pd.DataFrame] | None = None
    """Noise-free mean profiles from the raw folder: (folder, context column, target sum) to a table
    ``perturbation context`` + genes, in log1p of counts scaled to the target sum."""
    true_states: Callable[[Path], pd.DataFrame] | None = None
    """Noise-free mean log share of every gene in every cell type, batches and donors averaged out,
    from the raw folder: ``cell_type`` + genes."""


@dataclass(frozen=True, kw_only=True)
class BoardLine:
    """One line of ``params.yaml``: a task and a split of the dataset that it stands under."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    task: str
    split: str
    unit: str
    """The ``obs`` column whose values are the units of replication, or the task's ``gene_unit``."""
    matches: str | None = None
    """For ``random``: the grouped split whose fold sizes and units it copies."""
    context: str | None = None
    """Perturbation boards: the ``obs`` column that is the context of a query."""
    size_factor: Literal["panel", "total"] = "panel"
    """What a cell's counts are divided by: its panel total or ``total_counts_all_genes``."""
    cells: int = 0
    """Perturbation boards: cells of every query that a model may draw besides its mean; 0: none."""
    protein_unit: Literal["", "log", "clr"] = ""
    """Modality boards: the unit of the proteins, for models and scores alike. ``log``: the dataset
    holds log units, taken as they are. ``clr``: it holds antibody counts, taken as centred log
    ratios (``tasks._modality``)."""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Keeps the cells whose ``obs`` columns have one of the values listed; empty keeps all."""
    variant: str = ""
    """Tells apart boards of one dataset with the same task and split."""
    unranked: str = ""
    """Why this board is shown and never ranked: a declared negative control, too few units."""
    note: str = ""
    """A sentence that every page of the board shows."""


@dataclass(frozen=True, kw_only=True)
class Board(BoardLine):
    """A task on a dataset under a split, at one release; the thing that is ranked."""

    dataset: str

    @property
    def split_key(self) -> str:
        """Name of the split's file, and the last part of the board's id."""
        return "-".join(filter(None, (self.split, self.matches, self.variant)))

    @property
    def id(self) -> str:
        """``<dataset>-<task>-<split>``."""
        return f"{self.dataset}-{self.task}-{self.split_key}"

    @property
    def grouped_id(self) -> str:
        """Id of the grouped board that a random one is set beside; its own if it is grouped."""
        split = "-".join(filter(None, (self.matches or self.split, self.variant)))
        return f"{self.dataset}-{self.task}-{split}"

    @property
    def is_random(self) -> bool:
        """Whether cells, not groups, were held out: shown as inflation, never ranked."""
        return self.split == "random"


@dataclass(frozen=True, kw_only=True)
class FoldRule:
    """How many folds, how much validation, from which seed."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    seed: int
    k: int
    validation_fraction: float


@dataclass(frozen=True, kw_only=True)
class SplitRequest:
    """What a splitter may look at besides the ``obs`` table."""

    rule: FoldRule
    task: str
    matches: str | None = None
    context: str | None = None


@dataclass(frozen=True, kw_only=True)
class Splitter:
    """A rule that gives each cell a fold and a role, from its ``obs`` table alone."""

    name: str
    assign: Callable[[pd.DataFrame, SplitRequest], pd.DataFrame]
    """From ``obs`` (index ``cell_id``) to rows ``cell_id fold role``; a cell that a fold does not
    use is absent."""
    column: Callable[[BoardLine], str | None]
    """The ``obs`` column of a board whose values never appear in training and in test; None if
    cells are held out."""
    strata: Callable[[pd.DataFrame, pd.DataFrame, str], pd.DataFrame] | None = None
    """From ``obs``, the rows of ``assign`` and the unit column to rows ``fold unit stratum``."""
    holds_out: bool = True
    """Whether a fold keeps cells back; if not, all of them are inputs and have the role test."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fold of a board in memory: what a model may see, and apart from it the truth."""

    inputs: AnnData
    """Opaque ids in shuffled order; ``obs``: ``role`` and the whitelist of the task."""
    truth: pd.DataFrame
    """``cell_id`` (opaque) ``real_cell_id role unit`` + the labels of the scored cells."""
    queries: pd.DataFrame | None = None
    """Perturbation: the ``perturbation context`` pairs to predict."""
    truth_counts: AnnData | None = None
    """Counts of the scored cells, where a score needs them; index ``cell_id`` as in ``truth``."""
    moments: pd.DataFrame | None = None
    """Perturbation: ``gene`` and, for group k of ``groups``, ``mean:k`` and ``variance:k``."""
    groups: pd.DataFrame | None = None
    """Perturbation: ``role perturbation context unit n``, one row a group of cells. Other tasks:
    what scoring needs besides ``truth``, a table of their own."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One fold and seed of a board as scoring sees it."""

    fold: int
    seed: int
    prediction: pd.DataFrame
    truth: pd.DataFrame
    queries: pd.DataFrame | None = None
    moments: pd.DataFrame | None = None
    groups: pd.DataFrame | None = None
    shared: Any = None
    """What the task made of the fold's truth, once for all predictions (``Task.share``)."""
    samples: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    """Perturbation: what metrics of predicted cells need, by (perturbation, context)."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """All that the metrics of a task see of one unit: its parts, whose values are averaged."""

    fold: int
    """-1 where the unit's cells are pooled over folds."""
    seed: int
    unit: str
    n: int
    """Number of scored cells."""
    parts: tuple[Any, ...]
    """Unit records of the task; perturbation boards have one per context."""
    undefined: str = ""
    """Why metrics that need controls have no value here."""
    is_whole: bool = False
    """Whether this is all of the board as one unit, for metrics that have no smaller one."""


@dataclass(frozen=True, kw_only=True)
class AnnotationUnit:
    """Truth and prediction for the test cells of one unit."""

    label: Shaped[np.ndarray, " cells"]
    predicted: Shaped[np.ndarray, " cells"]
    classes: tuple[str, ...]
    """C_u: the frozen classes of the board with at least 5 cells in this unit."""
    rare: tuple[str, ...] = ()
    """Labels of the board outside C or under 1 % of its cells."""
    is_unseen: Bool[np.ndarray, " cells"] | None = None
    """Whether the fold's training held no cell of the true label; None means nowhere."""
    names: tuple[str, ...] = ()
    """Labels of the columns of ``probability``."""
    probability: Float[np.ndarray, "cells labels"] | None = None
    """What the entry gives each label; None if it gave none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PerturbationUnit:
    """Truth and prediction for one perturbation in one context, targets of the panel removed.

    Compared and hashed by identity, so that metrics can share what they derive from one.
    """

    predicted: Float[np.ndarray, " genes"]
    truth: Float[np.ndarray, " genes"]
    """Mean over test cells of log1p size-normalised counts."""
    control_input: Float[np.ndarray, " genes"]
    control_truth: Float[np.ndarray, " genes"]
    weight: Float[np.ndarray, " genes"]
    """Weights of the squared error; all zero where none is defined."""
    other_truths: Float[np.ndarray, "others genes"]
    """The test truths of the same fold and context; one array for all units of a fold."""
    own: int | None = None
    """The row of ``other_truths`` that is the unit's own; None if that is left out."""
    other_norms: Float[np.ndarray, " others"] | None = None
    """Euclidean lengths of ``other_truths`` - ``control_truth``, where they are known already."""
    reference: Float[np.ndarray, " genes"]
    """Equal-weight mean of the training perturbations' profiles in the context, else in all."""
    n: int
    n_control: int
    """Number of test cells, and of ``control_truth`` cells of the context."""
    variance: Float[np.ndarray, " genes"]
    control_variance: Float[np.ndarray, " genes"]
    """Unbiased variance over those cells."""
    predicted_variance: Float[np.ndarray, " genes"] | None = None
    """Predicted variance over cells, where the entry gives one."""
    predicted_error: Float[np.ndarray, " genes"] | None = None
    """Stated variance of the error of ``predicted`` about the noise-free mean, where given."""
    singles: Float[np.ndarray, " genes"] | None = None
    """Combinations of two: sum of the measured profiles of the two singles; None if one lacks."""
    singles_error: Float[np.ndarray, " genes"] | None = None
    """Squared standard error of ``singles``."""
    cells: Any = None
    """What metrics of predicted cells need (``metrics._cells.CellSample``); None if none given."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PerturbationBoard:
    """All perturbations of a board, for metrics that ask which of them an entry gets wrong."""

    units: tuple[PerturbationUnit, ...]
    """One a perturbation and context; those of contexts with enough control cells."""
    block: Int[np.ndarray, " units"]
    """Number of the fold and context of each: units compare only where it is the same."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ModalityUnit:
    """True and predicted proteins of the test cells of one unit, in the unit of the board."""

    predicted: Float[np.ndarray, "cells proteins"]
    truth: Float[np.ndarray, "cells proteins"]
    label: Shaped[np.ndarray, " cells"]
    """Cell types; empty text where a cell has none."""


@dataclass(frozen=True, kw_only=True)
class RegulatorUnit:
    """Truth and prediction for one regulator and its candidate targets, itself left out."""

    weight: Float[np.ndarray, " targets"]
    """Predicted weight; its sign is the direction of the effect. 0 where none was given."""
    is_given: Bool[np.ndarray, " targets"]
    """Whether the entry gave the pair at all: a pair that it left out ranks below all others."""
    sign: Float[np.ndarray, " targets"]
    """True effect: 1 raises the target, -1 lowers it, 0 is no edge."""
    degree_auprc: float
    """Frozen mean AUPRC of rankings drawn by the targets' in-degree from other regulators."""


@dataclass(frozen=True, kw_only=True)
class GenePropertyUnit:
    """The genes of one fold, as a probe of their embeddings scores them."""

    score: Float[np.ndarray, " genes"]
    """Of a probe that never saw these genes; higher is more like genes with the property."""
    has_property: Bool[np.ndarray, " genes"]
    family: Shaped[np.ndarray, " genes"]
    """What a gene's symbol begins with, where many do; one value for all others."""


@dataclass(frozen=True, kw_only=True)
class IntegrationUnit:
    """An embedding with its truth, seen from the cells of one batch or from all of them."""

    cells: Any
    """All cells of the board (``embedding.Embedded``): one record for all units."""
    own: Bool[np.ndarray, " cells"]
    """Which of them are the unit's."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number for one unit, and how to read it."""

    name: str
    label: str
    tasks: tuple[str, ...]
    compute: Callable[[Any], float]
    """From the task's unit record to a value; raises UndefinedScoreError with the reason."""
    bounds: tuple[float, float]
    higher_is_better: bool
    citation: str
    floor: float | None
    """What knowing nothing scores; None: the task computes it from the board's truth."""
    ceiling: Literal["truth", "noise"] = "truth"
    """Whether a perfect predictor reproduces the truth, or misses the sampling noise in it."""
    is_ranked: bool = False
    """A new metric is shown but moves no rank until a release turns this on."""
    compares: bool = False
    """Whether the truths of other perturbations enter the value."""
    needs_control: bool = False
    """Undefined where a context has fewer than 100 control cells."""
    is_pooled: bool = False
    """Units weigh by their ``n`` in the board's mean: a ratio pooled over units."""
    is_whole: bool = False
    """Has one value for all cells of a board, in a unit called ``all``, and none by unit."""
    count: Callable[[Any], int] | None = None
    """From the unit record to the ``n`` of the metric's row; None: all scored cells of the unit."""
    display: Callable[[float], float] = field(default=lambda value: value)
    """From the stored board mean to the number that a reader is shown."""
    display_note: str = ""


@dataclass(frozen=True, kw_only=True)
class ScoreValue:
    """The value of one metric in one unit."""

    fold: int
    metric: str
    unit: str
    n: int
    value: float | None
    stratum: str = "all"
    status: Status = "ok"
    reason: str = ""


@runtime_checkable
class Log(Protocol):
    """Where a model reports its curves; the tracker stands behind it."""

    def __call__(self, name: str, value: float, step: int) -> None:
        """Record ``value`` of curve ``name`` at ``step``."""
        ...


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What a model gets besides its inputs."""

    seed: int
    threads: int
    max_epochs: int | None
    log: Log
    truth_path: Path | None = None
    """Folder of the fold's truth; set only for plug-ins marked ``sees_truth``."""
    resources: Mapping[str, Path] = field(default_factory=dict)
    """Folders of the outside tables that the model declares, and of no other."""
    work: Path | None = None
    """Folder of this fold's own for checkpoints. It outlives a killed run, until the run that takes
    it up again is through; nothing in it is an output."""


@runtime_checkable
class Annotator(Protocol):
    """Names the type of every test cell."""

    def annotate(self, inputs: AnnData, run: RunContext) -> pd.DataFrame:
        """Return ``cell_id label`` and, for all classes or none, ``p:<label>``."""
        ...


@runtime_checkable
class PerturbPredictor(Protocol):
    """Predicts the mean profile of every queried perturbation and context."""

    def predict(self, inputs: AnnData, queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return ``perturbation context statistic`` + every gene, in log1p of scaled counts.

        ``statistic`` is ``mean`` for every query and, for any of them, ``variance`` (over cells)
        and ``mean_variance`` (of the error of that mean: how unsure the model is of it).
        """
        ...


@runtime_checkable
class CellSampler(Protocol):
    """Draws single cells of every queried perturbation and context, besides their mean."""

    def sample(self, inputs: AnnData, queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return ``perturbation context draw`` + every gene, in log1p of scaled counts."""
        ...


@runtime_checkable
class Integrator(Protocol):
    """Places all cells where batches mix and types stay apart."""

    def embed(self, inputs: AnnData, run: RunContext) -> pd.DataFrame:
        """Return ``cell_id d0 d1 ...``, one row a cell; fewer than 1,024 dimensions."""
        ...


@runtime_checkable
class EdgeScorer(Protocol):
    """Ranks directed edges from regulators to targets."""

    def score_edges(self, inputs: AnnData, queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return ``regulator target weight``; ``queries`` holds ``gene is_regulator``."""
        ...


@runtime_checkable
class GeneEmbedder(Protocol):
    """Places genes, from what is known of them and from cells; no label is shown."""

    def embed_genes(self, inputs: AnnData, queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return ``gene d0 d1 ...``, one row for each ``gene`` of ``queries``, at most 4,096 dims.

        A gene that the model does not know is a row of zeros.
        """
        ...


@runtime_checkable
class ModalityPredictor(Protocol):
    """Predicts the surface proteins of every test cell from its RNA."""

    def predict_proteins(self, inputs: AnnData, run: RunContext) -> pd.DataFrame:
        """Return ``cell_id`` + every protein, in the unit of ``inputs.obsm["protein"]``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model says about one fold."""

    table: pd.DataFrame
    """The prediction, in the task's schema."""
    cells: pd.DataFrame | None = None
    """Perturbation: predicted cells, ``perturbation context draw`` + genes."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question asked of a model on a split. Metrics say which tasks they answer."""

    name: str
    label: str
    question: str
    capability: type
    """The protocol that a model's adapter must have."""
    ask: Callable[[Any, AnnData, pd.DataFrame | None, RunContext], Answer]
    """(adapter, inputs, queries, run) to a checked answer; raises PredictionError."""
    cutter: Callable[[AnnData, pd.DataFrame, Board], Callable[[int, str], Case]]
    """(clean dataset, ``cell_id fold role``, board) to a function from a fold and the key of the id
    hash to its case; what folds share is computed once."""
    check_prediction: Callable[[pd.DataFrame, pd.DataFrame, Sequence[str]], None]
    """(prediction, keys it must answer, names of the genes or classes) raises PredictionError."""
    observe: Callable[[Sequence[Evidence], Board, Mapping[str, Any]], list[Observation]]
    """(folds of one seed, board, frozen constants of the board) to the units to score."""
    failures: Callable[[Sequence[Evidence], Board, Mapping[str, Any]], pd.DataFrame]
    """Rows of the failure table, without ``entry`` and ``board``."""
    freeze: Callable[[AnnData, pd.DataFrame, Board, Sequence[Metric]], dict[str, Any]]
    """(clean dataset, roles of all folds, board, metrics) to the constants of
    ``data/boards.lock/<dataset>.json``."""
    share: Callable[[pd.DataFrame | None, pd.DataFrame | None], Any]
    """(groups, moments) of a fold's truth to what every prediction of it is scored with."""
    ranked_order: tuple[str, ...]
    """Metrics by which a board's table may be sorted; it is sorted by the first trusted one."""
    declared_baselines: tuple[str, ...]
    """Entries that a verdict is judged against, where they ran."""
    gene_unit: str = ""
    """What a board's ``unit`` must be where units are genes; empty where it is a column."""
    asked: Callable[[pd.DataFrame, pd.DataFrame | None], pd.DataFrame] | None = None
    """(truth, groups) to the keys that a prediction must answer; None: rows of the role test."""
    shows_adversaries: bool = False
    """Whether adversaries are scored on metrics that never rank too, to show what each can win."""
    hides_labels: tuple[str, ...] = ()
    """``obs`` columns of the inputs that only models with ``uses_labels`` are shown."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A way to answer tasks. Heavy imports belong inside ``load``."""

    name: str
    label: str
    tasks: tuple[str, ...]
    load: Callable[..., Any]
    """Parameters as keywords to an object with the capability of each task."""
    sees_truth: bool = False
    """Control entries only: oracle and shuffled predictor."""
    is_adversary: bool = False
    """Control entries only: built to game a metric; one that beats the best simple baseline shows
    that the metric cannot be trusted there."""
    is_stochastic: bool = False
    uses_labels: bool = False
    """Integration: is shown the cell types that its scores use, and is flagged for it."""
    resources: tuple[str, ...] = ()
    """Keys of ``data/resources.yaml`` whose folders it reads: outside tables, no datasets. The
    default run computes the suite ``known_truth`` without a network, so such a model leaves it out
    unless only entries of the full tier use it."""
    suites: Sequence[str] = ("known_truth", "public_small", "public_large")
