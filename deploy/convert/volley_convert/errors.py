"""What can go wrong, each with a code that stays."""

import re

# The command itself is wrong, not the work: exit status 2.
USAGE = {"usage", "invalid_reference", "name_needed", "no_server"}

LENGTH_MAX = 400


class ConvertError(Exception):
    """One line: what is wrong and what to do, with a stable code."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        return 2 if self.code in USAGE else 1

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


def brief(error: BaseException) -> str:
    """What a library said, as a part of one line: its messages may be pages long."""
    # PyTorch writes in colours.
    plain = re.sub(r"\x1b\[[\d;]*m", "", str(error))
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    text = (lines[0] if lines else type(error).__name__).rstrip(".")
    return text if len(text) <= LENGTH_MAX else text[:LENGTH_MAX] + "…"


def of_server(error: Exception, doing: str) -> ConvertError:
    """An answer of the MLflow server, or none, as an error of ours. `doing` is what was asked of it."""
    code, text = getattr(error, "error_code", ""), brief(error)
    if code == "RESOURCE_DOES_NOT_EXIST" or "alias" in text and "not found" in text:
        return ConvertError("unknown_model", f"cannot {doing}: {text}; check the name, the version and the server")
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED") or " 401" in text or " 403" in text:
        advice = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, of one who may"
        return ConvertError("forbidden", f"cannot {doing}: {text}; {advice}")
    if "Max retries exceeded" in text or "Connection" in text or "timed out" in text:
        return ConvertError("server_unreachable", f"cannot {doing}: the MLflow server does not answer; {text}")
    return ConvertError("server_failed", f"cannot {doing}: {text}")
