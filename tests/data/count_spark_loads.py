#!/usr/bin/env python3
"""Counts how often `spark_udf` loads a model and downloads its files from a real MLflow server, for 16 partitions.

    /tmp/spark/bin/python tests/data/count_spark_loads.py [MASTER]

The environment is that of `make_spark.py`; the master is `local[2]` unless another is given. The numbers are in
`spark/README.md`.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"

import mlflow
from pyspark.sql import SparkSession

PARTITIONS = 16
MODEL = """
import os
import mlflow

class Counted(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        with open(os.environ["VOLLEY_LOADS"], "a") as loads:
            loads.write(f"{os.getpid()}\\n")

    def predict(self, context, model_input, params=None):
        return model_input["a"] * 2.0

mlflow.models.set_model(Counted())
"""
DOWNLOAD = re.compile(r'"GET /api/2.0/mlflow-artifacts/artifacts/\S+ HTTP')


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        loads = folder / "loads"
        os.environ["VOLLEY_LOADS"] = str(loads)
        server, log = serve(folder)
        try:
            publish(folder)
            count(loads, log)
        finally:
            server.terminate()
            server.wait()


def serve(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.log"
    stores = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    stores += ["--artifacts-destination", str(folder / "artifacts")]
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", "server", *address, *stores, "--serve-artifacts"]
    server = subprocess.Popen(command, stdout=log.open("w"), stderr=subprocess.STDOUT, cwd=folder)
    for _ in range(120):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health")
            break
        except OSError:
            time.sleep(1)
    mlflow.set_tracking_uri(f"http://127.0.0.1:{port}")
    return server, log


def publish(folder):
    code = folder / "counted.py"
    code.write_text(MODEL)
    column = [mlflow.types.ColSpec("double", "a")]
    signature = mlflow.models.ModelSignature(mlflow.types.Schema(column), mlflow.types.Schema(column))
    with mlflow.start_run():
        mlflow.pyfunc.log_model(
            name="counted",
            python_model=str(code),
            signature=signature,
            registered_model_name="counted",
            pip_requirements=["mlflow==3.17.2"],
        )


def count(loads, log):
    loads.write_text("")
    report = Report(loads, log)
    master = sys.argv[1] if len(sys.argv) > 1 else "local[2]"
    builder = SparkSession.builder.master(master).config("spark.executorEnv.VOLLEY_LOADS", str(loads))
    spark = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    scorer = mlflow.pyfunc.spark_udf(spark, "models:/counted/1", env_manager="local")
    report.line("spark_udf alone")
    rows = spark.range(0, 1600, 1, PARTITIONS).selectExpr("CAST(id AS DOUBLE) AS a")
    rows.select(scorer("a")).collect()
    report.line("first query")
    rows.select(scorer("a")).collect()
    report.line("second query, same function")
    again = mlflow.pyfunc.spark_udf(spark, "models:/counted/1", env_manager="local")
    rows.select(again("a")).collect()
    report.line("new function, third query")
    spark.stop()


class Report:
    """What has come since the last line."""

    def __init__(self, loads, log):
        self.loads, self.log = loads, log
        self.loaded, self.downloaded = self.seen()

    def seen(self):
        requests = DOWNLOAD.findall(self.log.read_text())
        return self.loads.read_text().split(), requests

    def line(self, name):
        time.sleep(2)  # the access log is written after the answer
        loaded, downloaded = self.seen()
        new, files = loaded[len(self.loaded) :], len(downloaded) - len(self.downloaded)
        print(f"{name}: {len(new)} loads in {len(set(new))} processes, {files} files downloaded", flush=True)
        self.loaded, self.downloaded = loaded, downloaded


if __name__ == "__main__":
    main()
