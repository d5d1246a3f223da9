"""Downloads from a real server on this machine: fresh, resumed, cut, wrong, missing, forbidden."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from braindec.errors import BraindecError
from braindec.loaders import fetch as module
from braindec.loaders.cards import Card, CardFile
from braindec.loaders.fetch import fetch

CONTENT = bytes(range(256)) * 4000  # 1,024,000 bytes
LENGTH = len(CONTENT)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; ``cut`` ends each of the first answers early, ``busy`` answers 503 first."""

    cut: list[int] = []
    busy = 0
    ranges = True
    asked: list[str | None] = []

    def do_GET(self):
        cls = type(self)
        cls.asked.append(self.headers.get("Range"))
        if self.path != "/set/data.bin":
            self.send_error(404)
            return
        if cls.busy:
            cls.busy -= 1
            self.send_error(503)
            return
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and cls.ranges else 0
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: cls.cut.pop(0)] if cls.cut else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    handler = type("Handler", (Server,), {"cut": [], "busy": 0, "ranges": True, "asked": []})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    handler.address = f"http://127.0.0.1:{running.server_port}/set"
    yield handler
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)


def card(url, *, sha256=DIGEST, size=LENGTH, path="data.bin", **more):
    about = {
        "name": "set",
        "title": "t",
        "modality": "eeg",
        "licence": "CC0",
        "citation": "c",
        "how_to_obtain": "Write a letter.",
        "folder": "set",
    }
    return Card(**{**about, **more}, files=[CardFile(path=path, url=url, sha256=sha256, bytes=size)])


def test_fresh(server, tmp_path):
    (path,) = fetch(card(f"{server.address}/data.bin"), tmp_path / "set")
    assert path == tmp_path / "set" / "data.bin" and path.read_bytes() == CONTENT
    assert not list(tmp_path.rglob("*.part"))
    assert (
        fetch(card(f"{server.address}/data.bin"), tmp_path / "set") == [path] and len(server.asked) == 1
    )  # kept, not asked again


def test_goes_on_where_an_earlier_download_ended(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:700_000])
    (path,) = fetch(card(f"{server.address}/data.bin"), tmp_path)
    assert path.read_bytes() == CONTENT and server.asked == ["bytes=700000-"]


def test_a_part_that_is_whole_is_only_checked(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert fetch(card(f"{server.address}/data.bin"), tmp_path)[0].read_bytes() == CONTENT and server.asked == []
    (tmp_path / "data.bin").rename(tmp_path / "data.bin.part")
    assert (
        fetch(card(f"{server.address}/data.bin", size=None), tmp_path)[0].read_bytes() == CONTENT
    )  # the server says 416


def test_cut_connections_are_resumed(server, tmp_path):
    server.cut += [300_000, 1, 200_000]
    (path,) = fetch(card(f"{server.address}/data.bin"), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", "bytes=300001-", "bytes=500001-"]


def test_a_cut_without_known_length_is_noticed(server, tmp_path):
    server.cut += [300_000]
    assert fetch(card(f"{server.address}/data.bin", size=None, sha256=None), tmp_path)[0].read_bytes() == CONTENT


def test_too_many_cuts_keep_what_came(server, tmp_path):
    server.cut += [1000] * 9
    with pytest.raises(BraindecError, match="3 attempts.*3000 bytes that are there"):
        try:
            fetch(card(f"{server.address}/data.bin"), tmp_path, retries=2)
        except BraindecError as error:
            raise BraindecError(str(error).replace("\n", " ")) from None
    assert (tmp_path / "data.bin.part").stat().st_size == 3000
    server.cut.clear()
    assert fetch(card(f"{server.address}/data.bin"), tmp_path)[0].read_bytes() == CONTENT


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.ranges = False
    (tmp_path / "data.bin.part").write_bytes(b"x" * 500)
    assert fetch(card(f"{server.address}/data.bin"), tmp_path)[0].read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.busy = 2
    assert fetch(card(f"{server.address}/data.bin"), tmp_path)[0].read_bytes() == CONTENT


def test_wrong_checksum_is_not_kept(server, tmp_path):
    with pytest.raises(BraindecError, match="another checksum"):
        fetch(card(f"{server.address}/data.bin", sha256="0" * 64), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_part_does_not_pass(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(b"x" * 700_000)
    with pytest.raises(BraindecError, match="another checksum"):
        fetch(card(f"{server.address}/data.bin"), tmp_path)
    assert fetch(card(f"{server.address}/data.bin"), tmp_path)[0].read_bytes() == CONTENT


def test_own_file_of_that_name_is_never_overwritten(server, tmp_path):
    mine = b"y" * len(CONTENT)
    (tmp_path / "data.bin").write_bytes(mine)
    with pytest.raises(BraindecError, match="not the file of the card"):
        fetch(card(f"{server.address}/data.bin"), tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == mine


def test_another_length(server, tmp_path):
    with pytest.raises(BraindecError, match="another length"):
        fetch(card(f"{server.address}/data.bin", size=5), tmp_path)


def test_missing_file_is_not_tried_again(server, tmp_path):
    with pytest.raises(BraindecError, match="HTTP 404"):
        fetch(card(f"{server.address}/nothing.bin"), tmp_path)
    assert len(server.asked) == 1


def test_no_server(tmp_path):
    with pytest.raises(BraindecError, match="2 attempts"):
        fetch(card("http://127.0.0.1:9/data.bin"), tmp_path, retries=1)


@pytest.mark.parametrize("path", ["../out.bin", "/etc/out.bin", "a/../../out.bin", "C:\\out.bin", ""])
def test_paths_that_leave_the_folder_are_refused(path):
    with pytest.raises(ValueError, match="inside the data folder"):
        card("http://127.0.0.1/x", path=path)


def test_a_link_that_leads_out_is_refused(server, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path)
    with pytest.raises(BraindecError, match="lies outside"):
        fetch(card(f"{server.address}/data.bin", path="link/data.bin"), tmp_path / "set")


def test_licences_that_forbid_say_how_to_obtain(tmp_path):
    for access in ("registration", "closed"):
        with pytest.raises(BraindecError, match="Write a letter"):
            fetch(card("http://127.0.0.1/x", access=access), tmp_path)


@pytest.mark.parametrize("as_address", [False, True])
def test_a_mirror_folder(tmp_path, as_address):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "data.bin").write_bytes(CONTENT)
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "data.bin.part").write_bytes(CONTENT[:1000])
    (path,) = fetch(
        card(None, access="registration"), tmp_path / "to", mirror=mirror.as_uri() if as_address else mirror
    )
    assert path.read_bytes() == CONTENT


def test_a_mirror_without_the_file(tmp_path):
    with pytest.raises(BraindecError, match="cannot be read"):
        fetch(card(None), tmp_path / "to", mirror=tmp_path)


def test_a_mirror_server(server, tmp_path):
    assert fetch(card(None), tmp_path, mirror=server.address)[0].read_bytes() == CONTENT


def test_does_not_fit_on_the_disk(tmp_path):
    with pytest.raises(BraindecError, match="does not fit"):
        fetch(card("http://127.0.0.1/x", size=10**18), tmp_path)
