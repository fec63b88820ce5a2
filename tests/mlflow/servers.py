"""Starts real MLflow servers in folders of their own, for record.py."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ADMIN = ("admin", "volley-admin-1")
START_MAX = 120.0
HERE = Path(__file__).resolve().parent


@contextlib.contextmanager
def server(folder: Path, *options, **environment):
    """A server with its database in `folder`, and its files too unless an option says otherwise; gives its address.

    The server ends with the block.
    """
    folder.mkdir(parents=True)
    port = free_port()
    settings = {"--workers": "1", "--host": "127.0.0.1", "--port": port, "--backend-store-uri": database(folder)}
    command = [sys.executable, "-m", "mlflow", "server"]
    command += [str(word) for setting in settings.items() for word in setting]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options],
            env={**os.environ, **QUIET, **environment},
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait(address, process, folder / "log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


# Without jobs a server is two processes, not ten.
QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def database(folder: Path) -> str:
    return f"sqlite:///{folder}/mlflow.db"


def files(place) -> list[str]:
    """Options of a server that keeps files at `place` and hands them out itself."""
    return ["--artifacts-destination", str(place)]


def users(folder: Path) -> dict:
    """Environment of a server with `--app-name basic-auth`: nobody but the administrator may anything."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "auth.ini"
    settings.write_text(
        "[mlflow]\n"
        "default_permission = NO_PERMISSIONS\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        f"admin_username = {ADMIN[0]}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of sessions in tests",
    }


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait(address, process, log):
    deadline = time.monotonic() + START_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"{address}/health", timeout=1).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"a server did not start:\n{log.read_text()}")


def publish(address, *names, **environment) -> dict:
    """What publish.py prints for these models."""
    # A run keeps the user and the path of the script: neither is to be of this machine.
    settings = {"MLFLOW_TRACKING_URI": address, "LOGNAME": "volley", **environment}
    script = subprocess.run(
        [sys.executable, "publish.py", "--only", ",".join(names)],
        env={**os.environ, **settings},
        cwd=HERE,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(script.stdout)
