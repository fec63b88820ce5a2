"""A plain reader of a destination that jobs publish to, in a process of its own.

    python poll.py READER DESTINATION STATE REPORT

READER is pyarrow, pandas, polars or duckdb. Reads the column `version` of all files over and over, until its standard
input is closed. Each read is a line of JSON in REPORT: how often each version was seen, or that the read failed; the
job of `_SUCCESS` before and after it, null where there was none; and the versions that were seen although no outcome
says that their job is committed. Knows nothing of Volley but `_SUCCESS` and, to judge what it saw, the records of jobs.
"""

import json
import os
import select
import sys
from pathlib import Path


def pyarrow(folder):
    from pyarrow import compute, dataset

    column = dataset.dataset(folder, format="parquet").to_table(columns=["version"])["version"]
    return {pair["values"].as_py(): pair["counts"].as_py() for pair in compute.value_counts(column)}


def pandas(folder):
    from pandas import read_parquet

    return read_parquet(folder, columns=["version"])["version"].value_counts().to_dict()


def polars(folder):
    from polars import read_parquet

    return dict(read_parquet(f"{folder}/**/*.parquet", columns=["version"])["version"].value_counts().iter_rows())


def duckdb(folder):
    from duckdb import connect

    # A connection keeps what it knows of files.
    with connect() as connection:
        query = f"SELECT version, count(*) FROM read_parquet('{folder}/**/*.parquet') GROUP BY version"
        return dict(connection.execute(query).fetchall())


class Jobs:
    """The jobs whose outcome says that they are committed, by the version that they are named for."""

    def __init__(self, state):
        self.folder = Path(state) / "jobs"
        self.decided = set()
        self.committed = set()

    def look(self):
        for job in os.scandir(self.folder):
            if job.name in self.decided or not os.path.exists(f"{job.path}/outcome.json"):
                continue
            outcome = json.loads(Path(job.path, "outcome.json").read_text())
            if outcome["outcome"] == "committed":
                plan = json.loads(Path(job.path, "plan.json").read_text())
                # What the table was made of has none.
                if "origin" in plan:
                    self.committed.add(int(plan["origin"]["name"]))
            self.decided.add(job.name)
        return self.committed


def marked(folder):
    """The job that `_SUCCESS` names, if it is there."""
    try:
        return json.loads(Path(folder, "_SUCCESS").read_text())["job"]
    except FileNotFoundError:
        return None


def main():
    reader, folder, state, report = sys.argv[1:]
    read, jobs = globals()[reader], Jobs(state)
    with open(report, "w") as lines:
        while not select.select([sys.stdin], [], [], 0)[0]:
            before, versions, error = marked(folder), {}, None
            try:
                versions = read(folder)
            except Exception as failed:
                error = f"{type(failed).__name__}: {failed}"
            after = marked(folder)
            # After the read: what was visible must have been decided by then.
            undecided = sorted(set(versions) - jobs.look()) if versions else []
            seen = {"before": before, "after": after, "versions": versions, "error": error, "undecided": undecided}
            lines.write(json.dumps(seen) + "\n")
            lines.flush()


main()
