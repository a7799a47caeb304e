"""The network of GEARS (Roohani et al. 2024, doi:10.1038/s41587-023-01905-6), in torch alone.

What it adds to a control cell depends on the perturbation and not on the cell, so a batch is
computed once for every perturbation in it; batch normalisation weighs that row by its cells. The
result is that of a row a cell, at a fraction of the work. Parameters have the names and shapes of
cell-gears 0.1.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

POSITION_WEIGHT = 0.2


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of the network; the defaults are the published ones."""

    n_genes: int
    n_nodes: int
    """Of the graph of perturbations."""
    hidden: int = 64
    gene_layers: int = 1
    perturbation_layers: int = 1
    uncertainty: bool = False


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The different things that the cells of a batch ask for."""

    targets: Sequence[tuple[int, ...]]
    """Nodes that each condition perturbs; none for a control."""
    condition: Int[Tensor, " rows"]
    """Place in ``targets``."""
    joined: int
    """How many of them, the first ones, the gene graph's messages reach."""
    weight: Float[Tensor, " rows"]
    """Number of cells."""


class Normalise(torch.autograd.Function):
    """Batch normalisation over weighted rows, with ReLU or without, in few passes over memory.

    Most of the network's time is spent on reading and writing its states; the same steps one by one
    take twice as long.
    """

    @staticmethod
    def forward(ctx, x, share, scale, shift, options):  # type: ignore[no-untyped-def]
        """Return what is normalised (rows x genes x dims), mean and variance (dims).

        ``share`` of the cells that a row stands for sums to 1; ``options``: epsilon, whether ReLU
        follows.
        """
        eps, clips = options
        per_gene = (share / x.shape[1]).repeat_interleave(x.shape[1])
        mean = per_gene @ x.flatten(0, 1)
        place = x - mean
        variance = per_gene @ place.square().flatten(0, 1)
        deviation = torch.rsqrt(variance + eps)
        place *= deviation
        result = torch.addcmul(shift, place, scale)
        if clips:
            result.relu_()
        ctx.save_for_backward(place, share, scale, deviation, result if clips else None)
        ctx.mark_non_differentiable(mean, variance)
        return result, mean, variance

    @staticmethod
    def backward(ctx, gradient, _mean, _variance):  # type: ignore[no-untyped-def]
        """Return the gradients by ``x``, scale and shift."""
        place, share, scale, deviation, result = ctx.saved_tensors
        if result is not None:
            gradient = torch.ops.aten.threshold_backward(gradient, result, 0.0)
        by_shift = gradient.sum(dim=(0, 1))
        by_scale = (gradient * place).sum(dim=(0, 1))
        factor = deviation * scale
        each = -(share / place.shape[1])[:, None, None] * factor
        by_x = torch.addcmul(each * by_shift, place, each * by_scale)
        by_x.addcmul_(gradient, factor)
        return by_x, None, by_scale, by_shift, None


class WeightedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over rows that stand for several cells each."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "rows genes dims"], weight: Float[Tensor, " rows"], *, clips: bool
    ) -> Float[Tensor, "rows genes dims"]:
        """Normalise as if row k were there ``weight[k]`` times, then apply ReLU if asked to."""
        if self.training:
            total = weight.sum()
            result, mean, variance = Normalise.apply(  # type: ignore[no-untyped-call]
                x, weight / total, self.weight, self.bias, (self.eps, clips)
            )
            self._remember(mean, variance, float(total) * x.shape[1])
            return cast(Tensor, result)
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        result = torch.addcmul(self.bias - self.running_mean * scale, x, scale)
        return result.relu_() if clips else result

    def _remember(self, mean: Tensor, variance: Tensor, n: float) -> None:
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (n / max(n - 1, 1)), self.momentum)


class Perceptron(nn.Module):
    """Linear layers with batch normalisation after each and ReLU between them."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for one, two in pairwise(sizes):
            layers += [nn.Linear(one, two), WeightedBatchNorm(two), nn.ReLU()]
        self.network = nn.Sequential(*layers[:-1])

    def forward(
        self, x: Float[Tensor, "rows genes dims"], weight: Float[Tensor, " rows"]
    ) -> Float[Tensor, "rows genes dims"]:
        """Return what the last normalisation gives."""
        last = len(self.network) - 1
        for number, layer in enumerate(self.network):
            if isinstance(layer, WeightedBatchNorm):
                x = layer(x, weight, clips=number < last)
            elif isinstance(layer, nn.Linear):
                x = layer(x)
        return x


class GraphLayer(nn.Module):
    """One hop over a normalised graph, then a linear map (SGConv with K = 1)."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.lin = nn.Linear(dims, dims)

    def forward(self, x: Tensor, graph: Tensor | None) -> Tensor:
        """Return ``lin(graph @ x)``; without a graph a node hears of itself alone."""
        mapped: Tensor = self.lin(x if graph is None else torch.sparse.mm(graph, x))
        return mapped


class Gears(nn.Module):
    """What a perturbation adds to the expression of every gene.

    Parameters
    ----------
    shape
        Sizes.
    gene_graph, perturbation_graph
        Normalised sparse matrices, row = receiver (``_gears_graph.normalised``).
    """

    def __init__(self, shape: Shape, gene_graph: Tensor, perturbation_graph: Tensor) -> None:
        super().__init__()
        n, h = shape.n_genes, shape.hidden
        self.register_buffer("gene_graph", gene_graph, persistent=False)
        self.register_buffer("perturbation_graph", perturbation_graph, persistent=False)
        # cell-gears writes pert_w and bn_pert_base_trans to its files and uses neither.
        self.pert_w = nn.Linear(1, h)
        self.gene_emb = nn.Embedding(n, h)
        self.pert_emb = nn.Embedding(shape.n_nodes, h)
        self.emb_trans_v2 = Perceptron(h, h, h)
        self.pert_fuse = Perceptron(h, h, h)
        self.emb_pos = nn.Embedding(n, h)
        self.layers_emb_pos = nn.ModuleList(GraphLayer(h) for _ in range(shape.gene_layers))
        self.sim_layers = nn.ModuleList(GraphLayer(h) for _ in range(shape.perturbation_layers))
        self.recovery_w = Perceptron(h, 2 * h, h)
        self.indv_w1 = nn.Parameter(torch.empty(n, h, 1))
        self.indv_b1 = nn.Parameter(torch.empty(n, 1))
        self.cross_gene_state = Perceptron(n, h, h)
        self.indv_w2 = nn.Parameter(torch.empty(1, n, h + 1))
        self.indv_b2 = nn.Parameter(torch.empty(1, n))
        for values in (self.indv_w1, self.indv_b1, self.indv_w2, self.indv_b2):
            nn.init.xavier_normal_(values)
        self.bn_emb = WeightedBatchNorm(h)
        self.bn_pert_base = WeightedBatchNorm(h)
        self.bn_pert_base_trans = WeightedBatchNorm(h)
        if shape.uncertainty:
            self.uncertainty_w = Perceptron(h, 2 * h, h, 1)

    def forward(
        self, rows: Rows
    ) -> tuple[Float[Tensor, "rows genes"], Float[Tensor, "rows genes"] | None]:
        """Return what is added to a control cell and, if the network says so, a log variance."""
        state = self._genes(rows) + self._perturbed(rows)[:, None, :]
        state = self.bn_pert_base(state, rows.weight, clips=True)
        decoded = self.recovery_w(state, rows.weight)
        own = torch.einsum("rgh,gh->rg", decoded, self.indv_w1[..., 0]) + self.indv_b1[:, 0]
        across = self.cross_gene_state(own[:, None, :], rows.weight)[:, 0]
        added = own * self.indv_w2[0, :, 0] + across @ self.indv_w2[0, :, 1:].T + self.indv_b2
        if not hasattr(self, "uncertainty_w"):
            return added, None
        return added, self.uncertainty_w(state, rows.weight)[..., 0]

    def _genes(self, rows: Rows) -> Float[Tensor, "rows genes dims"]:
        """Return the state of every gene before a perturbation, with or without messages."""
        parts = [p for p in (rows.weight[: rows.joined], rows.weight[rows.joined :]) if len(p)]
        graphs = [self._buffers["gene_graph"], None] if rows.joined else [None]
        weight = torch.stack([part.sum() for part in parts])
        own = self.bn_emb(_bounded(self.gene_emb)[None], weight.sum()[None], clips=True)
        start = _bounded(self.emb_pos)
        places = [_stacked(self.layers_emb_pos, start, graphs[k]) for k in range(len(parts))]
        base = self.emb_trans_v2(own + POSITION_WEIGHT * torch.stack(places), weight)
        spread = [base[k].expand(len(part), -1, -1) for k, part in enumerate(parts)]
        return spread[0] if len(spread) == 1 else torch.cat(spread)

    def _perturbed(self, rows: Rows) -> Float[Tensor, "rows dims"]:
        """Return the embedding of every row's perturbation; zero for controls."""
        device = rows.weight.device
        nodes = _bounded(self.pert_emb)
        nodes = _stacked(self.sim_layers, nodes, self._buffers["perturbation_graph"])
        weight = torch.zeros(len(rows.targets), device=device)
        weight = weight.index_add(0, rows.condition, rows.weight)
        asked = [k for k, targets in enumerate(rows.targets) if targets]
        found = torch.zeros(len(rows.targets), nodes.shape[1], device=device, dtype=nodes.dtype)
        if asked:
            sums = torch.stack([nodes[list(rows.targets[k])].sum(dim=0) for k in asked])
            place = torch.tensor(asked, device=device)
            fused = self.pert_fuse(sums[:, None, :], weight[place])[:, 0]
            found = found.to(fused.dtype).index_copy(0, place, fused)
        return found[rows.condition]


def _stacked(layers: nn.ModuleList, x: Tensor, graph: Tensor | None) -> Tensor:
    for number, layer in enumerate(layers):
        x = layer(x if number == 0 else torch.relu(x), graph)
    return x


def _bounded(embedding: nn.Embedding) -> Float[Tensor, "rows dims"]:
    """Return all rows, after those longer than 1 were shortened to it, as ``max_norm`` does.

    In place, like there, but at once: torch goes through the rows one by one.
    """
    with torch.no_grad():
        length = embedding.weight.norm(dim=1, keepdim=True)
        embedding.weight.mul_(torch.where(length > 1, 1 / (length + 1e-7), 1.0))
    return embedding.weight
