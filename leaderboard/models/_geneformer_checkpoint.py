"""Geneformer from a folder of the official layout, and back into one."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from leaderboard.errors import CheckpointError
from leaderboard.models._checkpoint import digest, load_weights, read_weights
from leaderboard.models._geneformer import Geneformer, Shape
from leaderboard.models._geneformer_dictionaries import (
    Dictionaries,
    read_dictionaries,
    write_dictionaries,
)

CONFIG, WEIGHTS, OLD_WEIGHTS = "config.json", "model.safetensors", "pytorch_model.bin"

FIXED: Mapping[str, Any] = {
    "model_type": "bert",
    "hidden_act": "relu",
    "position_embedding_type": "absolute",
    "pad_token_id": 0,
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
    "pruned_heads": {},
}
"""Settings that change the forward pass and have one value in every published Geneformer."""
STATED = ("model_type", "hidden_act")
"""Those that a file must state, for BERT's own default is another or there is none."""

DECODER = "cls.predictions.decoder."
IGNORED = ("bert.embeddings.position_ids", DECODER, "bert.pooler.")
"""Of older files: the numbers of the ranks, copies of other tensors, a layer that nothing asks."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A network with the dictionaries that it was trained with."""

    network: Geneformer
    """On the CPU, in evaluation mode."""
    dictionaries: Dictionaries
    digest: str
    """SHA-256 of settings, weights and dictionaries."""


def read_checkpoint(folder: Path, dictionaries: Path | None = None) -> Checkpoint:
    """Read a published or a written Geneformer; no code of its files runs.

    Parameters
    ----------
    folder
        Holds ``config.json`` and ``model.safetensors``, or the older ``pytorch_model.bin``.
    dictionaries
        Folder of the dictionaries (see ``read_dictionaries``), if it is another one.

    Raises
    ------
    CheckpointError
        If a file is missing, broken or unsafe, a setting asks for another network than this, or
        settings, weights and dictionaries do not belong together.
    """
    shape = read_shape(folder / CONFIG)
    words, files = read_dictionaries(dictionaries or folder)
    if len(words.token) != shape.vocab_size:
        raise CheckpointError(
            f"{folder}: expected a token dictionary of {shape.vocab_size} tokens, as {CONFIG} "
            f"says, got {len(words.token)} in {dictionaries or folder}. With the dictionary of "
            "another model every gene would be taken for another; give the model's own."
        )
    path = folder / (WEIGHTS if (folder / WEIGHTS).is_file() else OLD_WEIGHTS)
    if not path.is_file():
        raise CheckpointError(
            f"{folder}: expected {WEIGHTS} or {OLD_WEIGHTS}, got neither. Put the published "
            "weights there."
        )
    network = _filled(shape, path)
    return Checkpoint(
        network=network,
        dictionaries=words,
        digest=digest([folder / CONFIG, path, *files]),
    )


def _filled(shape: Shape, path: Path) -> Geneformer:
    weights = read_weights(path)
    with torch.device("meta"):  # draws no weights that are overwritten at once
        network = Geneformer(shape)
    network.to_empty(device="cpu")
    load_weights(network, weights, path, IGNORED)
    _check_tied(weights, path)
    return network.eval()


def _check_tied(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse a decoder that is not the table of genes: its logits would not be the file's."""
    of = {"weight": "bert.embeddings.word_embeddings.weight", "bias": "cls.predictions.bias"}
    for part, original in of.items():
        copy = weights.get(DECODER + part)
        if copy is not None and not torch.equal(copy, weights[original]):
            raise CheckpointError(
                f"{path}: expected {DECODER}{part} to be a copy of {original}, as in every "
                "published Geneformer, got other values. Save the model with tied weights."
            )


def read_shape(path: Path) -> Shape:
    """Return the sizes that a ``config.json`` states.

    Raises
    ------
    CheckpointError
        If it is missing or broken, or describes a network that is not Geneformer's.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: not readable as settings ({error}). Put the published {CONFIG} there."
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(
            f"{path}: expected an object of settings, got {type(config).__name__}. Put the "
            f"published {CONFIG} there."
        )
    other = [
        f"{name} {config.get(name)!r} in place of {value!r}"
        for name, value in FIXED.items()
        if config.get(name, None if name in STATED else value) != value
    ]
    if other:
        raise CheckpointError(
            f"{path}: describes another network than Geneformer's: {'; '.join(other)}. Give a "
            "published Geneformer."
        )
    return _shape(config, path)


def _shape(config: Mapping[str, Any], path: Path) -> Shape:
    """Return the sizes, each of which the file must state and be possible."""
    wanted = {field.name: field.type for field in fields(Shape)}
    wrong = [
        f"{name} {config.get(name)!r}"
        for name, kind in wanted.items()
        if not _is_possible(config.get(name), is_size=kind is int)
    ]
    if wrong:
        raise CheckpointError(
            f"{path}: expected sizes of 1 or more and rates from 0 to under 1, got "
            f"{', '.join(wrong)}. Put the published {CONFIG} there."
        )
    shape = Shape(**{name: config[name] for name in wanted})
    if shape.hidden_size % shape.num_attention_heads:
        raise CheckpointError(
            f"{path}: expected a hidden_size that the heads divide, got {shape.hidden_size} and "
            f"{shape.num_attention_heads} heads. Put the published {CONFIG} there."
        )
    return shape


def _is_possible(value: object, *, is_size: bool) -> bool:
    if is_size:
        return type(value) is int and value >= 1
    return type(value) in (int, float) and 0 <= value < 1  # type: ignore[operator]


def write_checkpoint(network: Geneformer, dictionaries: Dictionaries, folder: Path) -> str:
    """Write a network and its dictionaries in the official layout; return the digest."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architectures": ["BertForMaskedLM"], **FIXED, **asdict(network.shape)}
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
    weights = {name: v.detach().cpu().contiguous() for name, v in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    files = write_dictionaries(dictionaries, folder)
    return digest([folder / CONFIG, folder / WEIGHTS, *files])
