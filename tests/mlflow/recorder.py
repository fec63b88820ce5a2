"""Sends requests as they are written and keeps them with their answers."""

import base64
import http.client
import json
import re
from pathlib import Path

FOLDER = "/srv/mlflow"
# The same in every answer, and nothing to a client that is no browser.
LEFT_OUT = ("date", "server", "x-content-type-options", "x-frame-options", "vary")


class Recorder:
    """Exchanges with one server; `exchanges` is what is written to a file. `folder` is written as /srv/mlflow."""

    def __init__(self, address: str, folder: Path, server: str | None = None):
        self.host = address.removeprefix("http://")
        self.folder = str(folder)
        self.server = server
        self.exchanges: list[dict] = []

    def get(self, name, path, **more):
        return self.send(name, "GET", path, **more)

    def post(self, name, path, body, **more):
        return self.send(name, "POST", path, body, **more)

    def send(self, name, method, path, body=None, headers=None, note=None, content=None):
        """Sends one request, `body` as JSON or `content` as it is, and gives back the JSON of its answer."""
        headers = dict(headers or {})
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
            content = json.dumps(body).encode()
        answer, sent = self.exchange(method, path, headers, content)
        request = {"method": method, "path": path, "headers": headers, "json": body}
        if body is None and content is not None:
            request.update(payload(content, ""))
        exchange = {"name": name, "request": request, "response": self.response(answer, sent)}
        if note:
            exchange["note"] = note
        if self.server:
            exchange["server"] = self.server
        self.exchanges.append(exchange)
        return exchange["response"].get("json")

    def exchange(self, method, path, headers, content):
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
            for key, value in headers.items():
                connection.putheader(key, value)
            if content is not None:
                connection.putheader("Content-Length", str(len(content)))
            connection.endheaders(content)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def response(self, answer, content):
        headers = {key.lower(): value for key, value in answer.getheaders() if key.lower() not in LEFT_OUT}
        shown = content.replace(self.folder.encode(), FOLDER.encode())
        if shown != content and "content-length" in headers:
            headers["content-length"] = str(len(shown))
        return {"status": answer.status, "headers": headers, **payload(shown, headers.get("content-type", ""))}


def payload(content: bytes, kind: str) -> dict:
    """A body as JSON, as text, or as base64 if it is neither."""
    if kind.startswith("application/json") and content:
        return {"json": json.loads(content)}
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", text):
        return {"base64": base64.b64encode(content).decode()}
    return {"text": text}


def basic(user, password) -> dict:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
