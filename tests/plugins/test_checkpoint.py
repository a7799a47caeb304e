"""Weights of others: read without running their code, fitted without a silent gap."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from leaderboard.errors import CheckpointError
from leaderboard.models._batches import length_batches
from leaderboard.models._checkpoint import digest, load_weights, read_weights


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


@pytest.mark.parametrize("name", ["model.pt", "model.bin", "model.safetensors"])
def test_weights_are_read_and_loaded_whole(tmp_path: Path, name: str) -> None:
    path, state = tmp_path / name, network().state_dict()
    state = {k: v + 1 for k, v in state.items()}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    empty = network()
    load_weights(empty, {**read_weights(path), "head.weight": torch.ones(2)}, path, ["head."])
    for key, value in empty.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0)


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def test_pickled_code_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.ones(2), "extra": Payload()}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Payload()))
    for name in ("a.pt", "b.pt"):
        with pytest.raises(CheckpointError, match="could run code"):
            read_weights(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read_weights(tmp_path / "model.pt")
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    torch.save({}, tmp_path / "empty.pt")
    torch.save({"model": {"a": torch.ones(2)}, "epoch": 3}, tmp_path / "nested.pt")
    for name in ("list.pt", "empty.pt", "nested.pt"):
        with pytest.raises(CheckpointError, match="expected tensors by name"):
            read_weights(tmp_path / name)
    whole = tmp_path / "whole.pt"
    torch.save(network().state_dict(), whole)
    for name in ("cut.pt", "cut.safetensors"):
        (tmp_path / name).write_bytes(whole.read_bytes()[:300])
        with pytest.raises(CheckpointError, match="not a readable"):
            read_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"0.weight": None}, "1 missing: 0.weight"),
        ({"0.weight": torch.ones(4, 2)}, r"of another shape: 0.weight \(4, 2\) in place of"),
        ({"0.bias": torch.tensor([0.0, float("nan"), 0.0, 0.0])}, "1 not finite: 0.bias"),
        ({"head": torch.ones(1)}, "1 unknown: head"),
    ],
)
def test_what_does_not_fit_is_named(changed: dict[str, Any], told: str) -> None:
    state = {k: v for k, v in {**network().state_dict(), **changed}.items() if v is not None}
    filled = network()
    before = {k: v.clone() for k, v in filled.state_dict().items()}
    with pytest.raises(CheckpointError, match=told):
        load_weights(filled, state, Path("model.pt"))
    for key, value in filled.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_a_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    files = [tmp_path / "a", tmp_path / "b"]
    first = digest(files)
    assert digest(reversed(files)) == first
    (tmp_path / "b").write_text("3")
    assert digest(files) != first
    assert digest(files[:1]) != first


def test_batches_hold_every_cell_once_within_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(0, 50, 200)
    lengths[7] = 500
    batches = length_batches(lengths, 128)
    assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(200))
    assert batches[0].tolist() == [7]
    for batch in batches[1:]:
        assert lengths[batch].max() * len(batch) <= 128
    padded = sum(int(lengths[b].max()) * len(b) for b in batches)
    assert padded < 1.2 * lengths.sum()
    assert length_batches(lengths[:0], 128) == []
