"""A Git server for a test: Git's own http-backend behind an HTTP server on loopback."""

import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

_BACKEND = "/usr/lib/git-core/git-http-backend"
_IDENTITY = {
    "GIT_AUTHOR_NAME": "llmbatch tests",
    "GIT_AUTHOR_EMAIL": "tests@llmbatch.example",
    "GIT_COMMITTER_NAME": "llmbatch tests",
    "GIT_COMMITTER_EMAIL": "tests@llmbatch.example",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


class Repository:
    """A bare repository with the branch main."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self.url = folder, url
        self._git("init", "--quiet", "--bare", "--initial-branch=main")

    def commit(self, files: dict[str, str]) -> str:
        """Make a commit whose tree is just these files; answers its hash."""
        index = {"GIT_INDEX_FILE": str(self._folder / "index.new")}
        self._git("read-tree", "--empty", env=index)
        for path, text in files.items():
            blob = self._git("hash-object", "-w", "--stdin", stdin=text)
            self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=index)
        tree = self._git("write-tree", env=index)
        parent = self._git("rev-parse", "--verify", "--quiet", "main", may_fail=True)
        made = self._git("commit-tree", tree, *(["-p", parent] if parent else []), "-m", "Change what is wanted")
        self._git("update-ref", "refs/heads/main", made)
        return made

    def _git(
        self, *arguments: str, stdin: str | None = None, env: dict[str, str] | None = None, may_fail: bool = False
    ) -> str:
        if not self._folder.exists():
            self._folder.mkdir(parents=True)
        command = ["git", "-C", str(self._folder), *arguments]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **_IDENTITY, **(env or {})},
        )
        if done.returncode != 0 and not may_fail:
            raise AssertionError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout.strip() if done.returncode == 0 else ""


class GitServer:
    """Serves the repositories below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(root))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def repository(self, name: str) -> Repository:
        """Make a repository."""
        return Repository(self._root / f"{name}.git", f"http://127.0.0.1:{self._server.server_port}/{name}.git")


def _handler(root: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One request is one run of the backend, as the CGI specification has it."""

        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self._body())

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            whole = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole

        def _serve(self, body: bytes) -> None:
            asked = urlsplit(self.path)
            env = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": asked.path,
                "QUERY_STRING": asked.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                **_IDENTITY,
            }
            done = subprocess.run([_BACKEND], input=body, capture_output=True, env=env, check=False)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            given = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            self.send_response(int(given.pop("Status", "200 OK").split()[0]))
            for name, value in given.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing: a test that fails tells what the controllers say."""

    return Handler
