#!/usr/bin/env python3
"""Asks MLflow's `spark_udf` for its answer to each case of `spark_cases.py`: the same file on every run.

    python3 -m venv /tmp/spark && /tmp/spark/bin/pip install -r tests/data/requirements-spark.txt
    /tmp/spark/bin/python tests/data/make_spark.py [FOLDER]

It writes `answers.json` into FOLDER, else into tests/data/spark. Spark needs a Java runtime, 17 or later.
"""

import functools
import json
import os
import re
import sys
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
os.environ["PYTHONHASHSEED"] = "0"

import logging
import warnings

warnings.filterwarnings("ignore")

import mlflow
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from spark_cases import CASES
from spark_expected import MODELS, encoded

logging.getLogger("mlflow").setLevel(logging.ERROR)
HERE = Path(__file__).resolve().parent
ERROR_LENGTH_MAX = 200


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "spark"
    names = [case["name"] for case in CASES]
    assert len(set(names)) == len(names), "two cases of one name"
    spark = session()
    answers = [answered(spark, case) for case in CASES]
    spark.stop()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answers.json").write_text(json.dumps(answers, indent=2, ensure_ascii=False) + "\n")
    better = sum(answer["meaning"] == "better" for answer in answers)
    print(f"{len(answers)} cases, {better} of them better than Spark's answer")
    wrong = [answer["name"] for answer in answers if answer["meaning"] == "equal" and "error" in answer["answer"]]
    if wrong:
        sys.exit(f"no answer to equal: {', '.join(wrong)}")


def session():
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.memory": "1g",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.session.timeZone": "UTC",
        "spark.log.level": "OFF",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master("local[1]").appName("answers")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def answered(spark, case):
    """The case with Spark's answer, and with what Volley declares where that is another."""
    answer = ask(spark, case, udf(spark, case["model"], case.get("spark_result_type")))
    last = {"answer": answer, "meaning": case["meaning"]}
    if "expect" in case:
        table = case.get("table") or case["table_spark"]
        rows = [row.asDict() for row in spark.sql(f"SELECT * FROM {table} ORDER BY 1").collect()]
        last["expect"] = case["expect"].settle(case["model"], rows, answer)
    return {name: value for name, value in case.items() if name not in ("meaning", "expect")} | last


def ask(spark, case, function):
    table = case.get("table") or case["table_spark"]
    try:
        if "spark_api" in case:
            rows = spark.sql(f"SELECT * FROM {table}")
            scored = rows.select("id", function().alias("score"))
        else:
            spark.udf.register("f", function)
            scored = spark.sql(f"SELECT id, {case['spark']} AS score FROM {table}")
        values = {row[0]: row[1] for row in scored.collect()}
    except (PySparkException, mlflow.MlflowException, IndexError) as error:
        return {"error": last_line(error)}
    kind = scored.schema["score"].dataType.simpleString()
    return {"type": kind, "values": [encoded(simple(values[id])) for id in sorted(values)]}


def simple(value):
    return value.asDict(recursive=True) if hasattr(value, "asDict") else value


@functools.cache
def udf(spark, model, result_type):
    return mlflow.pyfunc.spark_udf(spark, str(MODELS / model / "model"), result_type=result_type, env_manager="local")


RAISED = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Z]\w*): (.*?)(?=\n\n|\n[A-Z][\w ]*:\n|\Z)", re.MULTILINE | re.DOTALL)


def last_line(error):
    """What was raised last, in one line: without its module, the data that it quotes, and the stacks of both sides."""
    text = str(error)
    name, message = type(error).__name__, text.splitlines()[0]
    if "Traceback" in text:
        name, message = RAISED.findall(text[text.rindex("Traceback") :])[-1]
    cause = message.rpartition(" Error: ")[2]
    return f"{name}: {' '.join(cause.split())}"[:ERROR_LENGTH_MAX].rstrip()


if __name__ == "__main__":
    main()
