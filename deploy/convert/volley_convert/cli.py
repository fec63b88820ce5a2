"""The command `volley-convert`."""

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from volley_convert import __version__
from volley_convert.errors import ConvertError, brief

DESCRIPTION = """Converts a version of an MLflow model to ONNX, checks its answers against the original's, and registers
it. Loading a model of scikit-learn, LightGBM, PyTorch or Keras may run the code inside it: convert only models that you
trust."""

FORMS = "models:/NAME/3, models:/NAME@ALIAS, models:/NAME/latest, models:/m-… or runs:/…/PATH"


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ConvertError("usage", f"{message}; volley-convert --help tells more")


def parser() -> Parser:
    made = Parser("volley-convert", description=DESCRIPTION)
    made.add_argument("reference", help=FORMS)
    made.add_argument("--as", dest="name", metavar="NAME", help="the model to register under; without it, NAME-onnx")
    made.add_argument("--alias", help="an alias to set on the new version")
    made.add_argument("--rows", metavar="FILE.parquet", help="rows to check on, in place of the input example")
    made.add_argument("--tolerance", type=float, default=1e-5, help="how far numbers may differ, and relatively so")
    made.add_argument("--tracking-uri", metavar="URL", help="the MLflow server; without it, MLFLOW_TRACKING_URI")
    made.add_argument("--dry-run", action="store_true", help="convert and check, and register nothing")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    made.add_argument("--verbose", action="store_true", help="let the libraries speak, on standard error")
    made.add_argument("--version", action="version", version=f"volley-convert {__version__}")
    return made


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options = parser().parse_args(arguments)
        with quiet(options.verbose):
            report = convert(options)
    except ConvertError as error:
        if "--json" in arguments:
            print(json.dumps({"error": {"code": error.code, "message": error.message}}))
        print(f"volley-convert: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 130
    print(json.dumps(report) if options.json else told(report))
    return 0


def convert(options) -> dict:
    """The work, from the reference to the registered version; what is to be told of it."""
    if not options.tolerance >= 0:
        raise ConvertError("usage", f"--tolerance is {options.tolerance:g}, and cannot be below zero")
    settings()
    # MLflow takes seconds to import: not for --help, nor for a wrong option.
    from volley_convert import conversion, model, parity, publish

    reference = model.Reference.parse(options.reference)
    name = publish.target_name(reference, options.name)
    client = model.connect(options.tracking_uri)
    rows = parity.rows_file(options.rows) if options.rows else None
    with tempfile.TemporaryDirectory(prefix="volley-convert-") as folder:
        source = model.download(client, reference, Path(folder))
        done = conversion.converted(source, rows, options.tolerance)
        made = None if options.dry_run else publish.publish(client, source, done, name, options.alias)
    return {
        "source": source.reference,
        "flavor": source.flavor,
        "registered": made,
        "name": name,
        "alias": options.alias if made else None,
        "outputs": [output.name for output in done.signature.outputs.inputs],
        "parity": {"rows": done.parity.rows, "max_abs": done.parity.max_abs, "tolerance": options.tolerance},
        "note": done.note,
    }


def told(report: dict) -> str:
    parity = report["parity"]
    target = report["registered"] or f"nothing registered: {report['name']} would be"
    lines = [
        f"{report['source']} ({report['flavor']}) -> {target}",
        f"outputs: {', '.join(report['outputs'])}",
        f"checked on {parity['rows']} rows: numbers within {parity['max_abs']:.3g}, labels equal",
    ]
    return "\n".join(lines + [f"note: {report['note']}"] * bool(report["note"]))


def settings():
    """Of MLflow's client, what the user has not set: a command need not wait minutes for a server that is not there."""
    defaults = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


@contextmanager
def quiet(verbose: bool):
    """Keeps what libraries print away from standard output; and from standard error too, but if verbose."""
    with open(os.devnull, "w") as nowhere, ExitStack() as until:
        place = sys.stderr if verbose else nowhere
        # What C++ prints goes by the descriptors, what Python prints by the streams.
        until.enter_context(descriptors({1: 2 if verbose else nowhere.fileno(), 2: 2 if verbose else nowhere.fileno()}))
        until.enter_context(redirect_stdout(place))
        until.enter_context(redirect_stderr(place))
        if not verbose:
            until.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            until.callback(logging.disable, logging.root.manager.disable)
            logging.disable(logging.CRITICAL)
        try:
            yield
        except ConvertError:
            raise
        except Exception as error:
            if verbose:
                raise
            message = f"unexpected: {type(error).__name__}: {brief(error)}; --verbose tells where"
            raise ConvertError("internal", message) from error


@contextmanager
def descriptors(places: dict[int, int]):
    """Each descriptor leads to another, and then where it led before."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in places}
    try:
        for descriptor, place in places.items():
            os.dup2(kept.get(place, place), descriptor)
        yield
    finally:
        for descriptor, before in kept.items():
            os.dup2(before, descriptor)
            os.close(before)
