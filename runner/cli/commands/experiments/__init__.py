"""``runproj experiments``: the experiments of a tracking store, one module an action."""

ACTIONS = {
    "list": "list experiments",
    "create": "make a new one",
    "rename": "give one another name",
    "tag": "set, show and remove tags",
    "rm": "delete experiments with their runs; 'restore' brings them back",
    "restore": "bring deleted experiments back, with all their runs",
}
"""Each action with its one-line help, in the order of the help page."""
DEFAULT = "list"
