"""What stops a command."""

from __future__ import annotations

ERROR_PREFIX = "rota: "


class CommandError(Exception):
    """The command cannot do what it was asked; the text is one sentence for the operator.

    Attributes:
        exit_code: Of the process.
    """

    def __init__(self, sentence: str, *, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
