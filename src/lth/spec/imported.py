"""What a "package.module:name" of a spec names: a function or a class of the user's own."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

Refused = Callable[[str, str], Exception]
WORDS = {0: "no argument", 1: "one argument", 4: "four arguments"}
INSTALL = "Install what is missing, or put the module's folder on PYTHONPATH."


def imported_function(path: str, refused: Refused, arguments: tuple[str, ...], import_cure: str = INSTALL) -> Any:
    """Returns the function that `path` names, which can be called with so many arguments.

    Raises what `refused` makes of the problem and its cure.
    """
    found = _named(path, refused, "function", inspect.isfunction, import_cure)
    try:
        inspect.signature(found).bind(*arguments)
    except TypeError as problem:
        name = path.partition(":")[2]
        what = f"it cannot be called with {WORDS[len(arguments)]}"
        raise refused(what, f"Write def {name}({', '.join(arguments)}): ...") from problem
    except ValueError:  # a function without a signature, such as one written in C
        pass
    return found


def imported_class(path: str, refused: Refused, parent: type) -> Any:
    """Returns the class, or another thing to call, that `path` names; of a module's others, those of `parent` are
    proposed.

    Raises what `refused` makes of the problem and its cure.
    """
    return _named(path, refused, "class", lambda thing: inspect.isclass(thing) and issubclass(thing, parent), INSTALL)


def _named(path: str, refused: Refused, kind: str, fits: Callable[[Any], bool], import_cure: str) -> Any:
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as problem:  # a script that ends when it is imported
        what = f"cannot import {module_name!r}: {type(problem).__name__}: {problem}"
        raise refused(what, import_cure) from problem
    found = getattr(module, name, None)
    if not callable(found):
        fitting = {key: thing for key, thing in vars(module).items() if key[0] != "_" and fits(thing)}
        own = [key for key, thing in fitting.items() if thing.__module__ == module_name] or sorted(fitting)
        kinds = {"function": "functions", "class": "networks"}[kind]
        cure = f"Its {kinds} are: {', '.join(own[:8]) or 'none'}{' ...' * (len(own) > 8)}."
        raise refused(f"{module_name} has no {kind} {name!r}", cure)
    return found
