"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Name = Annotated[str, typer.Argument(metavar="NAME", help="The study.")]
DefinitionFile = Annotated[
    Path,
    typer.Argument(metavar="STUDY.YAML", help="The study definition; `-` reads standard input."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, times in UTC.")]
New = Annotated[
    bool,
    typer.Option("--new", help="Always a new study: a taken name gets -2, -3 and so on."),
]
