"""The first lines of a host, run by the model's own interpreter: ``PYTHON boot.py PACKAGE SAID_FD TASK``.

Makes this Foretell importable without anything else of the server's environment, whatever the interpreter's own
environment holds, and hands over to ``runner``.
"""

import importlib.util
import json
import os
import sys


def main() -> int:
    package, said, task = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # the oldest Python has to get this far
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]  # noqa: PTH100
    fault = None
    if sys.version_info < (3, 11):  # noqa: UP036  # the model's interpreter may be any
        fault = "its Python is {}.{}; a hosted model needs 3.11 or newer".format(*sys.version_info[:2])
    else:
        try:
            import msgpack  # noqa: F401
            import numpy  # noqa: F401
        except ImportError as error:
            fault = "its Python environment lacks {}; a hosted model needs numpy and msgpack there".format(error.name)  # noqa: UP032
    if fault:
        os.write(said, json.dumps({"failed": {"code": "library_missing", "detail": fault}}).encode() + b"\n")
        return 1
    spec = importlib.util.spec_from_file_location(
        "foretell",
        package + "/__init__.py",
        submodule_search_locations=[package],
    )
    if spec is None or spec.loader is None:
        return 1
    module = importlib.util.module_from_spec(spec)
    sys.modules["foretell"] = module
    spec.loader.exec_module(module)
    from foretell.execution.hosted.runner import run

    return run(said, task)


if __name__ == "__main__":
    sys.exit(main())
