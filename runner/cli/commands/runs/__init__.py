"""``runproj runs``: the runs of a tracking store, one module an action."""

ACTIONS = {
    "list": "list runs, the newest first",
    "show": "show one run: where it came from, its values and files",
    "compare": "show in what values some runs differ, side by side",
    "logs": "print or follow a run's output",
    "export": "write runs to a CSV, JSON or Parquet file",
    "tag": "set, show and remove tags",
    "note": "read or write a run's note, in Markdown",
    "rm": "delete runs; 'restore' brings them back",
    "restore": "bring deleted runs back",
}
"""Each action with its one-line help, in the order of the help page."""
DEFAULT = "list"
