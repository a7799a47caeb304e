"""A small neural classifier on log counts: what training from scratch reaches, CPU or GPU."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.models._inputs import annotation, labels, log_counts
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class TorchMlp:
    """One hidden layer, dropout, Adam; the epoch with the best validation loss is kept."""

    hidden: int = 128
    dropout: float = 0.2
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    batch_size: int = 128
    epochs: int = 20

    def annotate(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return labels with probabilities; logs training and validation loss per epoch."""
        import torch

        torch.manual_seed(run.seed)
        torch.set_num_threads(run.threads)
        torch.use_deterministic_algorithms(mode=True)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        names, data = _tensors(inputs, device)
        network = self._network(data["train"][0].shape[1], len(names)).to(device)
        self._fit(network, data, run)
        with torch.no_grad():
            probabilities = torch.softmax(network(data["test"][0]), dim=1).cpu().numpy()
        return annotation(inputs, names[probabilities.argmax(axis=1)], (names, probabilities))

    def _network(self, n_genes: int, n_labels: int) -> Any:
        from torch import nn

        return nn.Sequential(
            nn.Linear(n_genes, self.hidden),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.hidden, n_labels),
        )

    def _fit(self, network: Any, data: dict[str, Any], run: RunContext) -> None:
        import torch

        optimiser = torch.optim.Adam(
            network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        rng = np.random.default_rng(run.seed)
        best, best_state = float("inf"), network.state_dict()
        for epoch in range(min(self.epochs, run.max_epochs or self.epochs)):
            train_loss = self._epoch(network, optimiser, data["train"], rng)
            validation_loss = _loss(network, data["validation"])
            run.log("train_loss", train_loss, epoch)
            run.log("validation_loss", validation_loss, epoch)
            if validation_loss < best:
                best = validation_loss
                best_state = {k: v.clone() for k, v in network.state_dict().items()}
        network.load_state_dict(best_state)
        network.eval()

    def _epoch(self, network: Any, optimiser: Any, data: Any, rng: np.random.Generator) -> float:
        import torch

        x, y = data
        network.train()
        order = torch.as_tensor(rng.permutation(len(y)), device=x.device)
        total = 0.0
        for batch in torch.split(order, self.batch_size):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(x[batch]), y[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += float(loss.detach()) * len(batch)
        return total / len(y)


def _loss(network: Any, data: Any) -> float:
    import torch

    network.eval()
    with torch.no_grad():
        return float(torch.nn.functional.cross_entropy(network(data[0]), data[1]))


def _tensors(inputs: "AnnData", device: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Return label names and standardised (log counts, label number) by role."""
    import torch

    role = inputs.obs["role"].to_numpy(dtype=str)
    values = log_counts(inputs).toarray()
    mean, sd = values[role == "train"].mean(axis=0), values[role == "train"].std(axis=0)
    values = ((values - mean) / np.where(sd > 0, sd, 1.0)).astype(np.float32)
    names = np.unique(labels(inputs))
    number = pd.Series(np.arange(len(names)), index=names)
    data: dict[str, Any] = {}
    for part in ("train", "validation", "test"):
        x = torch.as_tensor(values[role == part], device=device)
        y = None
        if part != "test":
            label = inputs.obs["cell_type"].astype(str)[role == part]
            y = torch.as_tensor(number[label].to_numpy(), device=device)
        data[part] = (x, y)
    return names, data


MODEL = Model(
    name="torch_mlp",
    label="Neural classifier",
    tasks=("cell_type_annotation",),
    load=TorchMlp,
    is_stochastic=True,
)
