"""A real MLflow server in a temporary folder, for tests and for whoever needs versions to convert."""

import atexit
import functools
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

START_MAX = 120.0
QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


class MlflowServer:
    """`with MlflowServer() as uri:`; the folder and the process end with it."""

    def __enter__(self) -> str:
        self.folder = tempfile.TemporaryDirectory(prefix="mlflow-")
        root, port = Path(self.folder.name), free_port()
        self.log = root / "log"
        database, artifacts = f"sqlite:///{root}/mlflow.db", str(root / "artifacts")
        store = ["--backend-store-uri", database, "--artifacts-destination", artifacts]
        place = ["--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *place, *store],
                env={**os.environ, **QUIET},
                cwd=root,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.uri = f"http://127.0.0.1:{port}"
        self._wait()
        return self.uri

    def __exit__(self, *_):
        # The server starts workers: all of its group end, and nothing else.
        try:
            os.killpg(self.process.pid, 15)
            self.process.wait(30)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.wait()
        self.folder.cleanup()

    def _wait(self):
        end = time.monotonic() + START_MAX
        while not self._healthy():
            if self.process.poll() is not None or time.monotonic() > end:
                said = self.log.read_text(errors="replace")
                self.__exit__()
                raise RuntimeError(f"the MLflow server does not answer; it said:\n{said}")
            time.sleep(0.2)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@functools.cache
def shared_server() -> str:
    """The address of one server for all tests of a process; it ends with the process."""
    server = MlflowServer()
    atexit.register(server.__exit__)
    return server.__enter__()
