"""The other predictors of the bench `peers`, each in a process of its own.

    python peers.py make                        trains the models into models/peers/ beside this file
    python peers.py serve PEER MODEL ROWS BATCH scores with one of them

Needs peers-requirements.txt, and gcc for Treelite's compiler. Made models and compiled ones are kept.

`serve` reads ROWS, a file of singles, row by row. It scores them once, writes the scores as doubles to ROWS.PEER, and
prints `ready`; for each line that it reads it scores them again, in batches, and prints the nanoseconds of processor
time that a row took. The time is that of the process: a second thread would be counted, not hidden.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import sys
import time
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "models" / "peers"
FEATURES = 28
CATEGORICAL = [24, 25, 26, 27]


def make():
    import lightgbm
    import xgboost
    from make_models import CATS, NAN, X, y
    from onnxmltools.convert import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    types = [("x", FloatTensorType([None, FEATURES]))]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, trees, data in [("xgb_100x6", 100, X), ("xgb_500x6", 500, X), ("xgb_nan_100x6", 100, NAN)]:
        model = xgboost.XGBClassifier(n_estimators=trees, max_depth=6, n_jobs=1).fit(data, y)
        model.get_booster().save_model(FOLDER / f"{name}.json")
        graph = convert_xgboost(model, initial_types=types, target_opset=15)
        (FOLDER / f"{name}.onnx").write_bytes(graph.SerializeToString())
    for name, trees, leaves, data, categorical in [
        ("lgbm_200x63", 200, 63, X, "auto"),
        ("lgbm_500x31", 500, 31, X, "auto"),
        ("lgbm_cat_100x31", 100, 31, CATS, CATEGORICAL),
    ]:
        model = lightgbm.LGBMClassifier(n_estimators=trees, num_leaves=leaves, n_jobs=1, verbose=-1)
        model.fit(data, y, categorical_feature=categorical)
        model.booster_.save_model(FOLDER / f"{name}.txt")
        graph = convert_lightgbm(model, initial_types=types, target_opset=15, zipmap=False)
        (FOLDER / f"{name}.onnx").write_bytes(graph.SerializeToString())


def xgboost(model):
    """XGBoost's own predictor, without a DMatrix."""
    import xgboost

    booster = xgboost.Booster(model_file=model)
    booster.set_param({"nthread": 1})
    return np.float32, booster.inplace_predict


def lightgbm(model):
    """LightGBM's own predictor."""
    import lightgbm

    booster = lightgbm.Booster(model_file=model)
    return np.float64, lambda rows: booster.predict(rows, num_threads=1)


def lleaves(model):
    """LightGBM's trees compiled by LLVM."""
    import lleaves

    compiled = lleaves.Model(model_file=str(model))
    compiled.compile(cache=model.with_suffix(".lleaves"))
    return np.float64, lambda rows: compiled.predict(rows, n_jobs=1)


def treelite_model(model):
    import treelite

    if model.suffix == ".txt":
        return treelite.frontend.load_lightgbm_model(model), np.float64
    return treelite.frontend.load_xgboost_model(model), np.float32


def gtil(model):
    """Treelite's interpreter."""
    import treelite

    trees, precision = treelite_model(model)
    return precision, lambda rows: treelite.gtil.predict(trees, rows, nthread=1)


def tl2cgen(model):
    """Treelite's trees compiled by gcc."""
    import tl2cgen

    trees, precision = treelite_model(model)
    library = model.with_suffix(".so")
    if not library.exists():
        tl2cgen.export_lib(trees, toolchain="gcc", libpath=library, params={"parallel_comp": 8, "quantize": 1})
    predictor = tl2cgen.Predictor(library, nthread=1)
    return precision, lambda rows: predictor.predict(tl2cgen.DMatrix(rows))


PEERS = {peer.__name__: peer for peer in (xgboost, lightgbm, lleaves, gtil, tl2cgen)}


def serve(peer, model, path, batch):
    precision, predict = PEERS[peer](Path(model))
    rows = np.fromfile(path, dtype=np.float32).reshape(-1, FEATURES).astype(precision)
    batches = [np.ascontiguousarray(rows[at : at + batch]) for at in range(0, len(rows), batch)]
    scores = np.concatenate([np.asarray(predict(rows), dtype=np.float64).reshape(len(rows)) for rows in batches])
    scores.tofile(f"{path}.{peer}")
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.process_time_ns()
        for rows_of_batch in batches:
            predict(rows_of_batch)
        print((time.process_time_ns() - start) / len(rows), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make"]:
            make()
        case ["serve", peer, model, path, batch] if peer in PEERS:
            serve(peer, model, path, int(batch))
        case _:
            sys.exit(__doc__)
