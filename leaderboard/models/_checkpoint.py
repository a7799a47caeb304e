"""Weights from files that somebody else wrote: no code of theirs runs, every shape is checked."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from leaderboard.errors import CheckpointError
from leaderboard.io import sha256_file

if TYPE_CHECKING:
    import torch

SHOWN = 5
"""Names that an error lists."""


def read_weights(path: Path) -> "dict[str, torch.Tensor]":
    """Return the tensors of a ``.safetensors`` file, or of a pickled state dict, on the CPU.

    A pickle is read by torch's unpickler for weights, which knows tensors and containers only.

    Raises
    ------
    CheckpointError
        If the file is missing or broken, holds anything but tensors by name, or would run code.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file. Put the published weights there, or correct the folder."
        )
    found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    import torch

    if not isinstance(found, Mapping) or not found:
        raise CheckpointError(
            f"{path}: expected tensors by name, got {type(found).__name__} of {_size(found)}. Save "
            "`model.state_dict()`."
        )
    other = [str(k) for k, v in found.items() if not isinstance(v, torch.Tensor)]
    if other:
        raise CheckpointError(
            f"{path}: expected tensors by name, got something else under {_listed(other)}. Save "
            "`model.state_dict()`."
        )
    return {str(name): tensor for name, tensor in found.items()}


def _size(found: object) -> str:
    return f"{len(found)}" if isinstance(found, Mapping | list | tuple) else "no size"


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error}). Fetch it again."
        ) from error


def _read_pickle(path: Path) -> object:
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        first = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{path}: refused, for it holds more than tensors, and reading that could run code "
            f"({first[:200]}). Save `model.state_dict()` alone."
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a readable state dict ({error}). Fetch it again."
        ) from error


def load_weights(
    network: "torch.nn.Module",
    weights: "Mapping[str, torch.Tensor]",
    path: Path,
    ignored: Iterable[str] = (),
) -> None:
    """Copy weights into a network; every tensor of the network must be there, and no other.

    Parameters
    ----------
    network
        Its state dict says which names and shapes are expected.
    weights
        Tensors by name, of any floating type; finite.
    path
        Where they are from, for errors.
    ignored
        Beginnings of names that the file may hold and the network does not use.

    Raises
    ------
    CheckpointError
        If a name is missing or unknown, a shape differs, or a value is not finite.
    """
    expected = network.state_dict()
    skipped = tuple(ignored)
    missing = [name for name in expected if name not in weights]
    unknown = [n for n in weights if n not in expected and not (skipped and n.startswith(skipped))]
    shapes = [
        f"{n} {tuple(weights[n].shape)} in place of {tuple(tensor.shape)}"
        for n, tensor in expected.items()
        if n in weights and weights[n].shape != tensor.shape
    ]
    broken = [
        n for n in expected
        if n in weights and weights[n].is_floating_point() and not weights[n].isfinite().all()
    ]  # fmt: skip
    found = {
        "missing": missing,
        "unknown": unknown,
        "of another shape": shapes,
        "not finite": broken,
    }
    told = "; ".join(f"{len(v)} {what}: {_listed(v)}" for what, v in found.items() if v)
    if told:
        raise CheckpointError(
            f"{path}: does not fit the network that its settings describe: {told}. Check that "
            "settings and weights are of one published model."
        )
    network.load_state_dict({name: weights[name] for name in expected})


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def digest(files: Iterable[Path]) -> str:
    """Return one SHA-256 of some files: of their names and contents, in the order of names."""
    found = hashlib.sha256()
    for path in sorted(files, key=lambda p: p.name):
        found.update(f"{path.name}\0{sha256_file(path)}\n".encode())
    return found.hexdigest()
