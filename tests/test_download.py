"""Raw files: the mirror first, then the source; the right bytes or an error that tells, no file."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from leaderboard.config import RawFile
from leaderboard.download import MIRROR, fetch_files
from leaderboard.errors import FetchError

RIGHT = b"the right bytes" * 100
SHA256 = hashlib.sha256(RIGHT).hexdigest()


class Server:
    """What a loopback server answers, and what it was asked."""

    def __init__(self) -> None:
        self.content = RIGHT
        self.status = 200
        self.promised: int | None = None
        self.failures = 0
        self.asked: list[str] = []
        self.url = ""


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            fails = len(server.asked) <= server.failures
            content = b"busy" if fails else server.content
            self.send_response(503 if fails else server.status)
            length = len(content) if fails or server.promised is None else server.promised
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve on 127.0.0.1 without a mirror, and retry without waiting."""
    import pooch.core

    monkeypatch.delenv(MIRROR, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pooch.core.time, "sleep", lambda _seconds: None)
    server = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(server))
    server.url = f"http://127.0.0.1:{http.server_address[1]}/raw/file.rda"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    http.shutdown()
    thread.join()
    http.server_close()


def record(url: str, content: bytes = RIGHT) -> RawFile:
    """Skip the schema, which wants HTTPS: loopback has none."""
    return RawFile.model_construct(
        url=url, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)
    )


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[[str], Path]:
    """Fetch one file into ``out``; the cache is ``cache``."""

    def fetch_one(url: str) -> Path:
        fetch_files("tiny", {"file.rda": record(url)}, tmp_path / "out", tmp_path / "cache")
        return tmp_path / "out" / "file.rda"

    return fetch_one


Fetch = Callable[[str], Path]


def files_in(folder: Path) -> list[str]:
    """Return every file below a folder, hidden and temporary ones too."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_file_with_the_right_hash_is_put_under_its_own_name(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    assert fetch(server.url).read_bytes() == RIGHT
    assert server.asked == ["/raw/file.rda"]
    assert files_in(tmp_path) == [f"cache/{SHA256}", "out/file.rda"]


def test_what_was_downloaded_once_is_not_downloaded_again(server: Server, fetch: Fetch) -> None:
    fetch(server.url).unlink()
    assert fetch(server.url).read_bytes() == RIGHT
    assert len(server.asked) == 1


def test_a_damaged_cache_is_downloaded_again(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / SHA256).write_bytes(b"damaged")
    assert fetch(server.url).read_bytes() == RIGHT
    assert len(server.asked) == 1


def test_a_wrong_file_is_deleted_and_told_with_expected_got_and_likely_cause(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    server.content = b"<html>moved</html>" * 200
    with pytest.raises(FetchError) as error:
        fetch(server.url)
    told = str(error.value)
    assert f"tiny: file.rda from {server.url}: wrong file" in told
    assert f"Expected SHA-256 {SHA256} ({len(RIGHT)} bytes)" in told
    got = hashlib.sha256(server.content).hexdigest()
    assert f"got {got} ({len(server.content)} bytes)" in told
    assert "Likely cause: the file was changed at its source" in told
    assert files_in(tmp_path) == []


def test_a_file_that_ends_early_is_told_as_cut_short(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    server.content = RIGHT[:-7]
    with pytest.raises(FetchError, match="Likely cause: the transfer was cut short"):
        fetch(server.url)
    assert files_in(tmp_path) == []


def test_a_connection_that_breaks_off_is_told_and_leaves_nothing(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    server.content, server.promised = RIGHT[:100], len(RIGHT)
    with pytest.raises(FetchError, match=r"file\.rda"):
        fetch(server.url)
    assert files_in(tmp_path) == []


def test_a_missing_file_is_told_with_the_url_and_the_way_to_a_mirror(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    server.status = 404
    with pytest.raises(FetchError, match="could not be downloaded") as error:
        fetch(server.url)
    told = str(error.value)
    assert server.url in told
    assert f"set {MIRROR} to a folder that holds the file under its SHA-256, {SHA256}" in told
    assert len(server.asked) == 3
    assert files_in(tmp_path) == []


def test_a_server_that_is_busy_twice_is_asked_a_third_time(server: Server, fetch: Fetch) -> None:
    server.failures = 2
    assert fetch(server.url).read_bytes() == RIGHT
    assert len(server.asked) == 3


def test_an_unreachable_server_is_one_clear_error(server: Server, fetch: Fetch) -> None:
    closed = server.url.replace("127.0.0.1", "127.0.0.2")
    with pytest.raises(FetchError, match=r"could not be downloaded from .*ConnectionError"):
        fetch(closed)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Path:
    assert server.url
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv(MIRROR, str(folder))
    return folder


def test_the_mirror_is_asked_first(server: Server, fetch: Fetch, mirror: Path) -> None:
    (mirror / SHA256).write_bytes(RIGHT)
    assert fetch(server.url).read_bytes() == RIGHT
    assert server.asked == []
    assert (mirror / SHA256).read_bytes() == RIGHT


def test_what_the_mirror_lacks_is_downloaded_and_the_mirror_is_left_alone(
    server: Server, fetch: Fetch, mirror: Path
) -> None:
    assert fetch(server.url).read_bytes() == RIGHT
    assert len(server.asked) == 1
    assert list(mirror.iterdir()) == []


def test_a_damaged_mirror_is_told_and_not_used(
    server: Server, fetch: Fetch, mirror: Path, tmp_path: Path
) -> None:
    (mirror / SHA256).write_bytes(RIGHT[:50])
    with pytest.raises(FetchError, match=rf"tiny: file.rda in {MIRROR}: wrong file.*cut short"):
        fetch(server.url)
    assert server.asked == []
    assert files_in(tmp_path) == [f"mirror/{SHA256}"]


def test_a_file_that_is_read_only_in_the_mirror_can_be_replaced_in_the_folder(
    server: Server, fetch: Fetch, mirror: Path
) -> None:
    (mirror / SHA256).write_bytes(RIGHT)
    (mirror / SHA256).chmod(0o444)
    fetch(server.url)
    assert fetch(server.url).read_bytes() == RIGHT


def test_every_file_of_a_record_is_fetched(server: Server, tmp_path: Path) -> None:
    files = {name: record(server.url) for name in ("a.rda", "b.rda")}
    fetch_files("tiny", files, tmp_path / "out", tmp_path / "cache")
    assert files_in(tmp_path / "out") == ["a.rda", "b.rda"]
    assert len(server.asked) == 1
