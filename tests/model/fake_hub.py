"""A small Hugging Face Hub on this machine: what its client needs to upload and download models."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Files = Mapping[str, bytes]


class FakeHub:
    """Repositories of models, each with branches and commits, behind real HTTP.

    Attributes:
        commits: Commit -> its files.
        branches: Repository -> branch -> commit.
        gated: Repositories that need an access which nobody has.
        requests: Method and path of every request.
    """

    def __init__(self) -> None:
        self.commits: dict[str, Files] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.gated: set[str] = set()
        self.requests: list[str] = []
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """The address to give as `HF_ENDPOINT`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def commit(self, repository: str, files: Files, branch: str = "main") -> str:
        """Adds files to a branch; returns the commit."""
        branches = self.branches.setdefault(repository, {})
        whole = {**self.commits.get(branches.get(branch, ""), {}), **files}
        content = repository + repr(sorted(whole.items())) + repr(branches)
        commit = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
        self.commits[commit] = whole
        branches[branch] = commit
        return commit

    def add_folder(self, repository: str, folder: Path, branch: str = "main") -> str:
        """Adds all files of a folder; returns the commit."""
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        return self.commit(repository, files, branch)

    def resolve(self, repository: str, revision: str) -> str | None:
        """Returns the commit of a branch or commit; None if there is none."""
        branches = self.branches[repository]
        return branches.get(revision) or (revision if revision in self.commits else None)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self._read()

    def do_GET(self) -> None:
        self._read()

    def do_POST(self) -> None:
        parts = self._begin()
        body = self._body()
        if parts[:3] == ["api", "repos", "create"]:
            given = json.loads(body)
            name = "/".join(filter(None, (given.get("organization"), given["name"])))
            self.hub.branches.setdefault(name, {})
            self._json({"url": f"{self.hub.endpoint}/{name}"})
        elif parts[:2] == ["api", "validate-yaml"]:
            self._json({"errors": [], "warnings": []})
        elif parts[4] == "preupload":
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]
            self._json({"files": modes})
        elif parts[4] == "branch":
            branches = self.hub.branches["/".join(parts[2:4])]
            branches.setdefault(parts[5], branches.get("main", ""))
            self._json({})
        else:
            assert parts[4] == "commit", parts
            lines = [json.loads(line) for line in body.splitlines()]
            files = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            repository = "/".join(parts[2:4])
            commit = self.hub.commit(repository, files, parts[5])
            url = f"{self.hub.endpoint}/{repository}/commit/{commit}"
            self._json({"commitUrl": url, "commitOid": commit, "success": True})

    def _read(self) -> None:
        parts = self._begin()
        if parts[0] == "api" and parts[1] != "models":
            return self._error(404, "")
        repository = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if repository not in self.hub.branches:
            return self._error(401, "RepoNotFound")
        if repository in self.hub.gated:
            return self._error(403, "GatedRepo")
        rest = parts[4:] if parts[0] == "api" else parts[2:]
        commit = self.hub.resolve(repository, rest[1] if rest else "main")
        if commit is None:
            return self._error(404, "RevisionNotFound")
        files = self.hub.commits[commit]
        if rest[0] == "resolve":
            name = "/".join(rest[2:])
            if name not in files:
                return self._error(404, "EntryNotFound")
            return self._file(files[name], commit)
        if rest[0] == "tree":
            entries = [
                {"type": "file", "path": name, "size": len(data), "oid": _oid(data)}
                for name, data in files.items()
            ]
            return self._json(entries)
        return self._json({"id": repository, "sha": commit, "siblings": []})

    def _begin(self) -> list[str]:
        self.hub.requests.append(f"{self.command} {self.path}")
        return unquote(urlsplit(self.path).path).strip("/").split("/")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _file(self, data: bytes, commit: str) -> None:
        self._send(200, data, {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": commit})

    def _error(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code})

    def _send(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _oid(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
