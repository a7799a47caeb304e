"""A folder of Geneformer is read whole and safely, or refused in words that say what to do."""

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from leaderboard.errors import CheckpointError
from leaderboard.models._geneformer import Geneformer, Shape
from leaderboard.models._geneformer_checkpoint import read_checkpoint, write_checkpoint
from leaderboard.models._geneformer_dictionaries import Dictionaries, read_dictionaries
from leaderboard.models._geneformer_pickles import (
    convert_dictionaries,
    main,
    read_pickled_dictionary,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"
VERSIONS = ("V1", "V2")
WORDS = "bert.embeddings.word_embeddings.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the V2 fixture that a test may break."""
    shutil.copytree(FIXTURES / "geneformer_V2_tiny", tmp_path / "model")
    return tmp_path / "model"


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    held = json.loads(path.read_text())
    change(held)
    path.write_text(json.dumps(held))


# Weights and settings


def test_an_older_pickle_of_tensors_is_read_like_safetensors(folder: Path) -> None:
    """Those hold the numbers of the ranks, and the decoder a second time."""
    first = read_checkpoint(folder)
    state = load_file(folder / "model.safetensors")
    state["bert.embeddings.position_ids"] = torch.arange(128)[None]
    state["cls.predictions.decoder.weight"] = state[WORDS].clone()
    state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"].clone()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    second = read_checkpoint(folder)
    weights = second.network.state_dict()
    assert weights.keys() == first.network.state_dict().keys()
    for name, value in first.network.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=0)
    assert second.digest != first.digest
    assert not second.network.training
    state["cls.predictions.decoder.weight"] += 1
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=f"to be a copy of {WORDS}"):
        read_checkpoint(folder)


def test_a_written_network_is_read_back_in_the_official_layout(tmp_path: Path) -> None:
    torch.manual_seed(0)
    token = {"<pad>": 0, "<mask>": 1} | {f"ENSG{k:011d}": k + 2 for k in range(8)}
    words = Dictionaries(
        token=token,
        median={gene: 0.5 + k for gene, k in token.items() if k > 1},
        gene_id={"A1": "ENSG00000000000"},
        mapping={"ENSG00000099999": "ENSG00000000001"},
    )
    network = Geneformer(Shape(vocab_size=10, hidden_size=8, num_attention_heads=2))
    digest = write_checkpoint(network, words, tmp_path / "model")
    found = read_checkpoint(tmp_path / "model")
    assert (found.digest, found.dictionaries, found.network.shape) == (digest, words, network.shape)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(found.network.state_dict()[name], value, rtol=0, atol=0)
    official = load_file(FIXTURES / "geneformer_V1_tiny" / "model.safetensors")
    written = load_file(tmp_path / "model" / "model.safetensors")
    first_layers = {n for n in written if "layer.3." not in n and "layer.4." not in n}
    assert {n for n in first_layers if "layer.5." not in n} == official.keys()
    published = json.loads((FIXTURES / "geneformer_V1_tiny" / "config.json").read_text())
    assert published.keys() <= json.loads((tmp_path / "model" / "config.json").read_text()).keys()


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("hidden_act", "gelu", "hidden_act 'gelu' in place of 'relu'"),
        ("hidden_act", None, "hidden_act None in place of 'relu'"),
        ("position_embedding_type", "relative_key", "another network"),
        ("model_type", "roberta", "another network"),
        ("tie_word_embeddings", False, "tie_word_embeddings False in place of True"),
        ("pad_token_id", 3, "pad_token_id 3 in place of 0"),
        ("is_decoder", True, "another network"),
        ("hidden_size", 50, "that the heads divide, got 50 and 4 heads"),
        ("hidden_size", None, "got hidden_size None"),
        ("num_hidden_layers", 0, "got num_hidden_layers 0"),
        ("hidden_dropout_prob", 1.0, "got hidden_dropout_prob 1.0"),
        ("layer_norm_eps", "1e-12", "got layer_norm_eps '1e-12'"),
        ("num_hidden_layers", 2, "unknown: bert.encoder.layer.2"),
        ("num_hidden_layers", 4, "missing: bert.encoder.layer.3"),
        ("intermediate_size", 97, "of another shape: bert.encoder.layer.0"),
        ("vocab_size", 303, "a token dictionary of 303 tokens, as config.json says, got 304"),
    ],
)
def test_settings_of_another_network_are_refused(
    folder: Path, setting: str, value: object, told: str
) -> None:
    edit(folder / "config.json", lambda held: held.update({setting: value}))
    with pytest.raises(CheckpointError, match=told):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 100_000], ids=["empty", "a list", "cut off", "too deep"]
)
def test_settings_that_are_none_are_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_checkpoint(folder)


def test_a_checkpoint_that_lacks_something_says_what(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state[WORDS]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"1 missing: {WORDS}"):
        read_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="got neither"):
        read_checkpoint(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="not readable as settings"):
        read_checkpoint(folder)


def test_the_dictionary_of_another_version_is_refused(folder: Path) -> None:
    """Numbers would name other genes, and nothing but the scores would show it."""
    with pytest.raises(CheckpointError, match=r"a token dictionary of 304 tokens.*got 302"):
        read_checkpoint(folder, FIXTURES / "geneformer_V1_tiny")
    elsewhere = folder.parent / "dictionaries"
    elsewhere.mkdir()
    for name in ("token_dictionary.json", "gene_median.json"):
        shutil.move(folder / name, elsewhere / name)
    assert read_checkpoint(folder, elsewhere).dictionaries.version == "V2"


# Dictionaries


def test_parquet_and_json_hold_the_same(folder: Path) -> None:
    first, files = read_dictionaries(folder)
    assert [path.name for path in files] == ["gene_median.json", "token_dictionary.json"]
    for path in files:
        held = json.loads(path.read_text())
        table = pd.DataFrame({"key": list(held), "value": list(held.values())})
        table.to_parquet(path.with_suffix(".parquet"))
        path.unlink()
    second, files = read_dictionaries(folder)
    assert second == first
    assert [path.name for path in files] == ["gene_median.parquet", "token_dictionary.parquet"]


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("token_dictionary", {"<pad>": 1, "<mask>": 0}, "expected <pad> as token 0"),
        ("token_dictionary", {"<eos>": 300, "ENSG00000000296": 3}, "before all genes"),
        ("token_dictionary", {"<eos>": 2}, "each of the numbers 0 to 303 once"),
        ("token_dictionary", {"<eos>": 3.0}, "expected a int under every name, got '<eos>': 3.0"),
        ("token_dictionary", {"<eos>": True}, "expected a int under every name"),
        ("gene_median", {"ENSG00000000001": 0.0}, "medians above 0, got 0.0 for ENSG00000000001"),
        ("gene_median", {"ENSG00000000001": float("nan")}, "medians above 0, got nan"),
        ("gene_median", {"ENSG00000000001": "1"}, "expected a float under every name"),
        ("gene_name_id", {"A1": 5}, "expected a str under every name"),
    ],
)
def test_a_wrong_dictionary_is_refused(
    folder: Path, name: str, change: dict[str, object], told: str
) -> None:
    path = folder / f"{name}.json"
    path.write_text(path.read_text() if path.exists() else "{}")
    edit(path, lambda held: held.update(change))
    with pytest.raises(CheckpointError, match=told):
        read_dictionaries(folder)


def test_dictionaries_that_are_not_there_or_not_one_are_refused(folder: Path) -> None:
    edit(folder / "gene_median.json", dict.clear)
    with pytest.raises(CheckpointError, match="got none of them"):
        read_dictionaries(folder)
    for text in ("[1]", "{"):
        (folder / "gene_median.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"gene_median\.json"):
            read_dictionaries(folder)
    (folder / "gene_median.json").unlink()
    with pytest.raises(CheckpointError, match="_geneformer_pickles FOLDER"):
        read_dictionaries(folder)


# Pickles


@pytest.mark.parametrize("version", VERSIONS)
def test_official_pickles_become_the_json_that_is_read(version: str, tmp_path: Path) -> None:
    """The pickles hold numpy numbers, as upstream's do; the JSON was written beside them."""
    fixture = FIXTURES / f"geneformer_{version}_tiny"
    source, out = tmp_path / "from", tmp_path / "to"
    source.mkdir()
    for path in fixture.glob("*.pkl"):
        shutil.copy(path, source / f"{path.stem}_gc104M.pkl")
    (source / "gene_name_id_dict_gc104M.pkl").write_bytes(pickle.dumps({"A1": "ENSG00000000000"}))
    assert main([str(source), str(out)]) == 0
    expected, _ = read_dictionaries(fixture)
    found, files = read_dictionaries(out)
    assert (found.token, found.median) == (expected.token, expected.median)
    assert found.ensembl_id("A1") == "ENSG00000000000"
    assert len(files) == 3


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("kind", [">f8", "<f8", "f4", "i8", "u2"])
def test_numpy_numbers_of_any_protocol_are_read(tmp_path: Path, kind: str, protocol: int) -> None:
    value = np.array([7], dtype=kind)[0]
    held = {"a": value, "b": 2, "c": 0.25, "d": "text"}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(held, protocol=protocol))
    found = read_pickled_dictionary(path)
    assert found == {"a": 7, "b": 2, "c": 0.25, "d": "text"}
    assert type(found["a"]) in (int, float)


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, function: Any = os.system, *arguments: object) -> None:
        self.call = function, arguments or ("touch ran",)

    def __reduce__(self) -> Any:
        return self.call


def dumped(*operations: bytes) -> bytes:
    return b"\x80\x02" + b"".join(operations) + b"."


HOSTILE = {
    "a command": pickle.dumps(Payload()),
    "a command among values": pickle.dumps({"ENSG00000000001": 1, "x": Payload()}),
    "a command of another module": b"cposix\nsystem\n(S'touch ran'\ntR.",
    "eval": pickle.dumps({"x": Payload(eval, "__import__('os').system('touch ran')")}),
    "an attribute of an allowed module": pickle.dumps({"x": np.arange(3)}),
    "a dotted name below an allowed one": b"\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93.",
    "an instance by the old opcode": b"(S'touch ran'\niposix\nsystem\n.",
    "an extension code": dumped(b"\x82\x01"),
    "a persistent id": b"Pid\n.",
    "a dtype of objects": dumped(b"cnumpy\ndtype\n(X\x01\x00\x00\x00OtR"),
    "a number that is too long": dumped(
        b"}X\x01\x00\x00\x00xcnumpy.core.multiarray\nscalar\n",
        b"(cnumpy\ndtype\n(X\x02\x00\x00\x00f8tRC\x04abcdtRs",
    ),
    "a set": pickle.dumps({1, 2}),
    "a nested dictionary": pickle.dumps({"x": {"y": 1}}),
    "numbers as names": pickle.dumps({1: "x"}),
    "nothing in it": pickle.dumps({}),
    "a file cut off": pickle.dumps({"x": 1})[:-3],
    "no pickle": b"\x93NUMPY",
    "an empty file": b"",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_of_anything_else_is_refused_and_does_not_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "token_dictionary.pkl"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(CheckpointError, match=r"token_dictionary\.pkl"):
        read_pickled_dictionary(path)
    assert not (tmp_path / "ran").exists()


def test_the_payload_of_these_tests_would_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a command", "a command of another module", "eval"):
        pickle.load(io.BytesIO(HOSTILE[name]))
        (tmp_path / "ran").unlink()


def test_a_folder_without_the_dictionaries_of_one_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token_dictionary_a.pkl").write_bytes(pickle.dumps({"<pad>": 0}))
    with pytest.raises(CheckpointError, match=r"one gene_median_dictionary\*.pkl, got 0"):
        convert_dictionaries(tmp_path, tmp_path / "out")
    (tmp_path / "token_dictionary_b.pkl").write_bytes(pickle.dumps({"<pad>": 0}))
    assert main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert "one token_dictionary*.pkl, got 2" in capsys.readouterr().err
    assert main([]) == 2
    assert not (tmp_path / "out").exists()


PUBLISHED = {
    "token_dictionary": "ab9dc40973fa5224d77b793e2fd114cacf3d08423ed9c4c49caf0ba9c7f218f1",
    "gene_median_dictionary": "b3b589bb5ec75040d05fc44dd6bf0184cf87f3c362cf158d196a6ed3b7fe5f39",
    "gene_name_id_dict": "55e67962e79c0039a6c32d43c5c99f38e51964bbcfa32f736150ee1e285c438c",
}
"""SHA-256 of V1's pickles, by which the mirror names them."""


@pytest.mark.mirror
@pytest.mark.skipif("HELDOUT_MIRROR" not in os.environ, reason="no folder with the real files")
def test_the_published_dictionaries_of_v1_are_read(tmp_path: Path) -> None:
    mirror = Path(os.environ["HELDOUT_MIRROR"])
    for stem, sha256 in PUBLISHED.items():
        shutil.copy(mirror / sha256, tmp_path / f"{stem}.pkl")
    convert_dictionaries(tmp_path, tmp_path / "out")
    found, _ = read_dictionaries(tmp_path / "out")
    assert (found.version, found.n_special) == ("V1", 2)
    assert (len(found.token), len(found.median), len(found.gene_id)) == (25_426, 25_424, 40_248)
    assert found.token.keys() - found.median.keys() == {"<pad>", "<mask>"}
    assert found.ensembl_id("ACTB") == "ENSG00000075624"
    assert found.ensembl_id("ACTB") in found.token
