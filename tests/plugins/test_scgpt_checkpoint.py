"""Published folders of scGPT are read in every spelling; what is wrong with one is said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from leaderboard.errors import CheckpointError
from leaderboard.models._scgpt import ScGpt, Shape, random_network
from leaderboard.models._scgpt_checkpoint import read_checkpoint, write_checkpoint
from leaderboard.models._scgpt_tokens import Encoding, Vocabulary

TINY = Path(__file__).parents[1] / "fixtures" / "scgpt_tiny"
State = dict[str, Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("args.json", "vocab.json", "best_model.pt"):
        shutil.copy(TINY / name, tmp_path)
    return tmp_path


def change_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content)))


def change_weights(folder: Path, change: Callable[[State], Any]) -> None:
    path = folder / "best_model.pt"
    torch.save(change(torch.load(path, weights_only=True)), path)


def same(one: ScGpt, two: ScGpt) -> bool:
    ours, theirs = one.state_dict(), two.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(v, theirs[k]) for k, v in ours.items())


def test_a_published_folder_is_read() -> None:
    checkpoint = read_checkpoint(TINY, seed=9)
    shape = Shape(n_tokens=403, pad=400, dims=32, hidden=32, heads=4, layers=2)
    assert checkpoint.network.shape == shape
    assert not checkpoint.network.training
    assert checkpoint.encoding == Encoding(seed=9)
    assert (checkpoint.vocabulary.cls, checkpoint.vocabulary.ids["GENE7"]) == (401, 7)
    assert checkpoint.unused == ("flag_encoder.weight",)


RENAMES: dict[str, dict[str, str]] = {
    "flash-attn of today": {"self_attn.": "self_attn._impl."},
    "torch": {"Wqkv.weight": "in_proj_weight", "Wqkv.bias": "in_proj_bias"},
    "wrapped": {"": "module."},
}


def renamed(name: str, spelling: str) -> str:
    for ours, theirs in RENAMES[spelling].items():
        name = name.replace(ours, theirs, 1)
    return name


@pytest.mark.parametrize("spelling", RENAMES)
def test_every_spelling_of_names_gives_the_same_network(folder: Path, spelling: str) -> None:
    change_weights(folder, lambda state: {renamed(k, spelling): v for k, v in state.items()})
    found = read_checkpoint(folder)
    assert same(found.network, read_checkpoint(TINY).network)
    assert found.digest != read_checkpoint(TINY).digest


def test_parts_that_nothing_reads_are_told_and_left_out(folder: Path) -> None:
    extra = {"bn.running_mean": torch.ones(32), "cls_decoder.out_layer.bias": torch.ones(1)}
    change_weights(folder, lambda state: state | extra)
    found = read_checkpoint(folder)
    assert found.unused == ("flag_encoder.weight", *extra)
    assert same(found.network, read_checkpoint(TINY).network)


def test_a_folder_without_the_cells_decoder_says_so_in_its_settings(folder: Path) -> None:
    change_json(folder / "args.json", lambda a: a | {"MVC": False})
    found = read_checkpoint(folder)
    assert not hasattr(found.network, "mvc_decoder")
    assert "mvc_decoder.W.weight" in found.unused


@pytest.mark.parametrize("has_one", [True, False])
def test_weights_tell_of_the_cells_decoder_where_settings_do_not(
    folder: Path, has_one: bool
) -> None:
    change_json(folder / "args.json", lambda a: {k: v for k, v in a.items() if k != "MVC"})
    if not has_one:
        change_weights(folder, lambda s: {k: v for k, v in s.items() if "mvc" not in k})
    assert read_checkpoint(folder).network.shape.has_cell_decoder == has_one


def test_half_precision_weights_are_computed_with_in_single(folder: Path) -> None:
    change_weights(folder, lambda state: {k: v.half() for k, v in state.items()})
    network = read_checkpoint(folder).network
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_what_is_written_is_read_back_the_same(tmp_path: Path) -> None:
    ids = {"A": 2, "B": 0, "<cls>": 1, "<pad>": 3, "<eoc>": 4}
    vocabulary = Vocabulary(ids=ids, pad=3, cls=1)
    encoding = Encoding(n_bins=11, max_tokens=77, pad_value=-3.0, seed=2)
    shape = Shape(n_tokens=5, pad=3, dims=8, hidden=12, heads=2, layers=1, has_cell_decoder=False)
    network = random_network(shape, 0)
    write_checkpoint(tmp_path / "made", network, vocabulary, encoding)
    found = read_checkpoint(tmp_path / "made", seed=2)
    assert same(found.network, network)
    assert found.network.shape == shape
    assert (found.vocabulary, found.encoding, found.unused) == (vocabulary, encoding, ())
    assert {p.name for p in (tmp_path / "made").iterdir()} == {p.name for p in TINY.iterdir()} - {
        "expected.npz", "perturb_finetuned.pt",
    }  # fmt: skip


def test_a_network_of_another_layout_is_not_written(tmp_path: Path) -> None:
    shape = Shape(n_tokens=2, pad=0, dims=4, hidden=4, heads=1, layers=1, is_perturbation=True)
    vocabulary = Vocabulary(ids={"<pad>": 0, "<cls>": 1}, pad=0, cls=1)
    with pytest.raises(CheckpointError, match="only an unperturbed network"):
        write_checkpoint(tmp_path / "made", random_network(shape, 0), vocabulary, Encoding())
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["args.json", "vocab.json", "best_model.pt"])
def test_a_missing_or_broken_file_is_named(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=rf"{name}: .*(JSON|not a readable)"):
        read_checkpoint(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=rf"{name}: .*[Nn]o such file"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"nlayers": None}, "nlayers: Field required"),
        ({"embsize": "512"}, "embsize: Input should be a valid integer, got '512'"),
        ({"nheads": 5}, "5 heads do not divide embsize 32"),
        ({"n_bins": 1}, "n_bins: .* greater than or equal to 3"),
        ({"dropout": 1.0}, "dropout: .* less than 1"),
        ({"input_emb_style": "category"}, "input_emb_style: Input should be 'continuous'"),
        ({"input_style": "log1p"}, "input_style: Input should be 'binned'"),
        ({"cell_emb_style": "avg-pool"}, "cell_emb_style: Input should be 'cls'"),
        ({"mvc_decoder_style": "sum query"}, "mvc_decoder_style: Input should be 'inner product'"),
        ({"pre_norm": True}, "pre_norm: Input should be False, got True"),
        ({"use_batch_labels": True}, "use_batch_labels: Input should be False"),
        ({"explicit_zero_prob": True}, "explicit_zero_prob: Input should be False"),
        ({"DSBN": True}, "DSBN: Input should be False"),
        ({"domain_spec_batchnorm": "dsbn"}, "domain_spec_batchnorm: Input should be False"),
        ({"pad_token": "<none>"}, "vocab.json: special tokens missing: <none>"),
        ({"nlayers": 3}, "12 missing: transformer_encoder.layers.2"),
        ({"d_hid": 64}, r"of another shape: .*linear1.weight \(32, 32\) in place of \(64, 32\)"),
    ],
)
def test_settings_of_another_network_are_refused(
    folder: Path, changed: dict[str, Any], told: str
) -> None:
    def change(settings: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in (settings | changed).items() if v is not None}

    change_json(folder / "args.json", change)
    with pytest.raises(CheckpointError, match=told):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (list, "expected an object of whole numbers"),
        (lambda v: v | {"GENE3": "3"}, "expected an object of whole numbers"),
        (lambda v: v | {"GENE3": True}, "expected an object of whole numbers"),
        (lambda v: v | {"GENE3": 4}, "403 symbols with 402 ids"),
        (lambda v: v | {"GENE3": 403}, "ids from 0 to 403"),
        (lambda v: v | {"GENE3": -1}, "ids from -1 to 402"),
        (lambda v: v | {"MORE": 403}, "each id from 0 to 402 once, .* got 404 symbols"),
        (lambda v: {k: n for k, n in v.items() if n < 401}, "special tokens missing: <cls>"),
    ],
)
def test_a_vocabulary_that_is_not_the_embeddings_is_refused(
    folder: Path, change: Callable[[dict[str, int]], Any], told: str
) -> None:
    change_json(folder / "vocab.json", change)
    with pytest.raises(CheckpointError, match=f"vocab.json: .*{told}"):
        read_checkpoint(folder)


def test_a_symbol_written_twice_is_refused(folder: Path) -> None:
    path = folder / "vocab.json"
    path.write_text(path.read_text().replace('"GENE1":', '"GENE0":', 1))
    with pytest.raises(CheckpointError, match="written twice"):
        read_checkpoint(folder)


OUT = "transformer_encoder.layers.1.self_attn.out_proj.weight"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: {k: v for k, v in s.items() if k != OUT}, f"1 missing: {OUT}"),
        (lambda s: s | {OUT: s[OUT][:, :8]}, rf"of another shape: {OUT} \(32, 8\)"),
        (lambda s: s | {OUT: s[OUT].fill_(float("nan"))}, f"1 not finite: {OUT}"),
        (lambda s: s | {"dsbn.bns.0.weight": torch.ones(32)}, "1 unknown: dsbn.bns.0.weight"),
        (lambda s: s | {f"module.{OUT}": s[OUT]}, f"{OUT} is there twice"),
        (lambda s: s | {"best": pytest.approx}, "could run code"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    folder: Path, change: Callable[[State], Any], told: str
) -> None:
    change_weights(folder, change)
    with pytest.raises(CheckpointError, match=told):
        read_checkpoint(folder)
