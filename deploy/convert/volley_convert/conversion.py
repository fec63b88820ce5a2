"""Converts a version and checks what came out: of several graphs that an exporter can make, the first that is right."""

from dataclasses import dataclass

import onnx
from mlflow.models import ModelSignature

from volley_convert import convert, parity
from volley_convert.errors import ConvertError, brief
from volley_convert.graph import Runtime
from volley_convert.inputs import Tensors, inputs_of


@dataclass(frozen=True)
class Converted:
    """A graph that answers as the original does, on the rows of `parity`."""

    model: onnx.ModelProto
    signature: ModelSignature
    parity: parity.Parity
    note: str | None


def converted(source, given_rows, tolerance: float) -> Converted:
    """Fails with `parity` if no graph is within the tolerance, and with `conversion_failed` if there is none."""
    inputs = inputs_of(source.info.signature)
    example = None if given_rows is not None else source.example()
    checks = parity.rows_of(inputs, example, given_rows)
    original = convert.load(source, inputs)
    pairs = parity.answered(original, checks, tolerance)
    failures = []
    for make in original.graphs(pairs[0][0]):
        try:
            model = made(make, source.flavor)
            runtime = Runtime(model)
            found = parity.compared(pairs, runtime, tolerance)
        except ConvertError as failure:
            failures.append(failure)
            continue
        outputs = runtime.schema(runtime.run(pairs[0][0]), isinstance(inputs, Tensors))
        return Converted(model, ModelSignature(source.info.signature.inputs, outputs), found, original.note)
    # A graph that differs says more of the model than one that could not be made.
    raise next((failure for failure in failures if failure.code == "parity"), failures[0])


def made(make, flavor: str) -> onnx.ModelProto:
    try:
        return make()
    except ConvertError:
        raise
    except Exception as error:
        message = f"the exporter of {flavor} refuses the model: {brief(error)}"
        raise ConvertError("conversion_failed", message) from error
