"""Folders of scGPT weights as they are published: ``args.json vocab.json best_model.pt``.

What is trained here is written in the same layout, so that all weights come through one door.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from torch import Tensor

from leaderboard.errors import CheckpointError
from leaderboard.io import write_folder_then_rename
from leaderboard.models._checkpoint import digest, load_weights, read_weights
from leaderboard.models._scgpt import ScGpt, Shape, random_network
from leaderboard.models._scgpt_tokens import Encoding, Vocabulary

SETTINGS, VOCABULARY, WEIGHTS = FILES = ("args.json", "vocab.json", "best_model.pt")
CLS = "<cls>"
EMBEDDING = "encoder.embedding.weight"
CELL_DECODER = "mvc_decoder."
SPELLINGS = {
    "self_attn._impl.": "self_attn.",
    "self_attn.in_proj_weight": "self_attn.Wqkv.weight",
    "self_attn.in_proj_bias": "self_attn.Wqkv.bias",
}
"""Parts of names by flash-attention of today and by torch's own attention, and ours for them."""
UNUSED = ("flag_encoder.", "cls_decoder.", "bn.", "grad_reverse_discriminator.")
"""Beginnings of names that published files hold and no published use of them reads."""


class Settings(BaseModel):
    """What of ``args.json`` decides how the network computes or what it is fed.

    The other keys of published files tell how it was trained. A setting with one value allowed has
    variants that compute something else; they are refused.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    embsize: PositiveInt
    d_hid: PositiveInt
    nheads: PositiveInt
    nlayers: PositiveInt
    dropout: float = Field(ge=0, lt=1)
    n_bins: int = Field(ge=3)
    max_seq_len: int = Field(ge=2)
    pad_token: str
    pad_value: float = Field(allow_inf_nan=False)
    MVC: bool | None = None
    """Whether there is a decoder from the cell's token; None, as in files older than the setting:
    if the weights have one."""
    input_style: Literal["binned"] = "binned"
    input_emb_style: Literal["continuous"] = "continuous"
    cell_emb_style: Literal["cls"] = "cls"
    mvc_decoder_style: Literal["inner product", "inner product, detach"] = "inner product"
    pre_norm: Literal[False] = False
    use_batch_labels: Literal[False] = False
    explicit_zero_prob: Literal[False] = False
    domain_spec_batchnorm: Literal[False] = False
    DSBN: Literal[False] = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A network with what it takes to feed it."""

    network: ScGpt
    """On the CPU, set to evaluate."""
    vocabulary: Vocabulary
    encoding: Encoding
    digest: str
    """SHA-256 of the three files."""
    unused: tuple[str, ...]
    """Names of tensors in the file that the network does not have."""


def read_checkpoint(folder: Path, seed: int = 0) -> Checkpoint:
    """Return the network of a folder; ``seed`` is that of the random part of its tokens.

    Raises
    ------
    CheckpointError
        If a file is missing, broken or would run code, a setting asks for another network, the
        vocabulary does not number the rows of the embedding, or weights do not fit.
    """
    settings = _read_settings(folder / SETTINGS)
    weights = _read_named(folder / WEIGHTS)
    vocabulary = _read_vocabulary(folder / VOCABULARY, settings.pad_token)
    _check_rows(vocabulary, weights, folder)
    if settings.MVC is None:
        has_cell_decoder = any(name.startswith(CELL_DECODER) for name in weights)
        settings = settings.model_copy(update={"MVC": has_cell_decoder})
    network = _filled(_shape(settings, vocabulary), weights, folder / WEIGHTS)
    expected = network.state_dict()
    return Checkpoint(
        network=network,
        vocabulary=vocabulary,
        encoding=Encoding(
            n_bins=settings.n_bins,
            max_tokens=settings.max_seq_len,
            pad_value=settings.pad_value,
            seed=seed,
        ),
        digest=digest(folder / name for name in FILES),
        unused=tuple(name for name in weights if name not in expected),
    )


def read_network(path: Path, shape: Shape) -> ScGpt:
    """Return a network of a known shape, from a file of weights alone (a fine-tuned one, say)."""
    return _filled(shape, _read_named(path), path)


def write_checkpoint(
    folder: Path, network: ScGpt, vocabulary: Vocabulary, encoding: Encoding
) -> None:
    """Write a network in the published layout; ``read_checkpoint`` reads the same back."""
    shape = network.shape
    symbols = {number: symbol for symbol, number in vocabulary.ids.items()}
    if symbols.get(vocabulary.cls) != CLS or shape.is_perturbation:
        raise CheckpointError(
            f"{folder}: only an unperturbed network whose cell token is {CLS} has this layout."
        )
    settings = Settings(
        embsize=shape.dims,
        d_hid=shape.hidden,
        nheads=shape.heads,
        nlayers=shape.layers,
        dropout=shape.dropout,
        n_bins=encoding.n_bins,
        max_seq_len=encoding.max_tokens,
        pad_token=symbols[vocabulary.pad],
        pad_value=encoding.pad_value,
        MVC=shape.has_cell_decoder,
    )
    weights = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    with write_folder_then_rename(folder) as temporary:
        torch.save(weights, temporary / WEIGHTS)
        for name, content in ((SETTINGS, settings.model_dump()), (VOCABULARY, vocabulary.ids)):
            text = json.dumps(dict(content), indent=1, allow_nan=False) + "\n"
            (temporary / name).write_text(text, encoding="utf-8", newline="\n")


def _shape(settings: Settings, vocabulary: Vocabulary) -> Shape:
    return Shape(
        n_tokens=len(vocabulary.ids),
        pad=vocabulary.pad,
        dims=settings.embsize,
        hidden=settings.d_hid,
        heads=settings.nheads,
        layers=settings.nlayers,
        dropout=settings.dropout,
        has_cell_decoder=bool(settings.MVC),
    )


def _filled(shape: Shape, weights: Mapping[str, Tensor], path: Path) -> ScGpt:
    """Return a network of which every weight is one of those given."""
    network = random_network(shape, 0)
    unused = UNUSED if shape.has_cell_decoder else (*UNUSED, CELL_DECODER)
    load_weights(network, weights, path, unused)
    return network.eval()


def _read_named(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file under the names of our network."""
    found: dict[str, Tensor] = {}
    for name, tensor in read_weights(path).items():
        ours = name.removeprefix("module.")
        for theirs, spelled in SPELLINGS.items():
            ours = ours.replace(theirs, spelled)
        if ours in found:
            raise CheckpointError(
                f"{path}: {ours} is there twice, under two spellings. Keep one of them."
            )
        found[ours] = tensor
    return found


def _read_settings(path: Path) -> Settings:
    try:
        settings = Settings.model_validate(_read_json(path))
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'all of it'}: {e['msg']}, got {e.get('input')!r:.80}"
            for e in error.errors()
        )
        raise CheckpointError(
            f"{path}: not the settings of a scGPT that can be built here: {told}. Take a "
            "published folder, or correct the file."
        ) from error
    if settings.embsize % settings.nheads:
        raise CheckpointError(
            f"{path}: {settings.nheads} heads do not divide embsize {settings.embsize}. Correct "
            "nheads or embsize."
        )
    return settings


def _read_vocabulary(path: Path, pad_token: str) -> Vocabulary:
    ids = _read_json(path)
    if not isinstance(ids, dict) or any(type(number) is not int for number in ids.values()):
        raise CheckpointError(
            f"{path}: expected an object of whole numbers by gene symbol, got something else. "
            "Fetch it again."
        )
    missing = [token for token in (pad_token, CLS) if token not in ids]
    if missing:
        raise CheckpointError(
            f"{path}: special tokens missing: {', '.join(missing)}. Take the vocabulary that was "
            "published with the weights."
        )
    return Vocabulary(ids=ids, pad=ids[pad_token], cls=ids[CLS])


def _check_rows(vocabulary: Vocabulary, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Refuse a vocabulary that is not the embedding's: every gene would be another."""
    numbers = sorted(vocabulary.ids.values())
    n_rows = len(weights[EMBEDDING]) if EMBEDDING in weights else len(numbers)
    if numbers != list(range(n_rows)):
        raise CheckpointError(
            f"{folder / VOCABULARY}: expected each id from 0 to {n_rows - 1} once, for the "
            f"{n_rows} rows of {EMBEDDING}, got {len(numbers)} symbols with {len(set(numbers))} "
            f"ids from {numbers[0]} to {numbers[-1]}. Take the vocabulary that was published with "
            "the weights."
        )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_each_once)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as JSON ({error}). Put the published file there."
        ) from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"{len(pairs) - len(found)} key(s) written twice")
    return found
