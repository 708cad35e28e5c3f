"""`lth ticket`: what a ticket file says of itself, and whether it is whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lth.cli.work import emit
from lth.errors import TicketError

if TYPE_CHECKING:
    from lth.tickets.ticket import Ticket

app = typer.Typer(help="Look into a ticket file, or check that it is whole.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="A ticket file, such as winner/ticket.safetensors.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command()
def info(file: File, as_json: AsJson = False) -> None:
    """Print what the ticket is: model, data, densities, accuracies, layers, where it comes from."""
    from lth.tickets.ticket import Ticket

    facts = _facts(file, Ticket.load(file))
    emit(facts) if as_json else print("\n".join(_lines(facts)))


@app.command()
def verify(file: File) -> None:
    """Check every checksum, name, shape and padding bit; ends with 0 if the file is whole, 1 if not."""
    from lth.tickets.ticket import Ticket

    try:
        ticket = Ticket.load(file)
    except TicketError as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise typer.Exit(1) from None
    weights = "rewound and trained weights" if ticket.trained else "rewound weights"
    print(f"{file}: whole; {ticket.mask.kept} of {ticket.mask.total} prunable weights kept; {weights}")


def _facts(file: Path, ticket: Ticket) -> dict[str, Any]:
    """Returns the header and what was measured in the file: one JSON object."""
    keeps = ticket.mask.tensors
    layers = [
        {"name": name, "shape": list(keep.shape), "kept": int(keep.sum()), "density": int(keep.sum()) / keep.numel()}
        for name, keep in keeps.items()
    ]
    measured = {"kept": ticket.mask.kept, "prunable": ticket.mask.total, "trained": ticket.trained is not None}
    header = ticket.header.model_dump(mode="json")
    return {"file": str(file), "bytes": file.stat().st_size, **measured, **header, "layers": layers}


def _lines(facts: dict[str, Any]) -> list[str]:
    """Returns the facts as aligned lines for people; what is unknown is left out."""
    facts = {**facts, "rewind": f"{facts['rewind']} (epochs and iterations of dense training)"}
    data, accuracies, layers, parent = (facts.pop(key) for key in ("data", "accuracies", "layers", "parent"))
    facts["model"] = _joined(facts["model"])
    rows = list(facts.items())
    if data:
        rows += [("data", f"{data['source']}, {len(data['class_names'])} named classes, id {data['dataset_id']}")]
        rows += [("preprocessing", f"(pixel - {data['mean']}) / {data['std']}")] if data["mean"] else []
    rows += [(name, _accuracy(value)) for name, value in accuracies.items()]
    rows += [("parent", _joined(parent))] if parent else []
    rows += [(layer["name"], f"{tuple(layer['shape'])} density {layer['density']:.4f}") for layer in layers]
    width = max(len(name) for name, _ in rows)
    return [_printable(f"{name:<{width}}  {value}") for name, value in rows if value not in (None, [], "")]


def _joined(record: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in record.items() if value not in (None, {}, ""))


def _accuracy(value: dict[str, Any]) -> str:
    text = f"{value['mean']:.4f}"
    if value["lower"] is not None and value["upper"] is not None:
        text += f" [{value['lower']:.4f}, {value['upper']:.4f}]"
    return text + (f" over {value['seeds']} seeds" if value["seeds"] else "")


def _printable(text: str) -> str:
    """Returns `text` without control characters: a file may hold sequences that command the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
