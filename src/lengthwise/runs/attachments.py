"""Attachments: what guests leave in a run folder beside the rows, such as certificates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from operator import call
from typing import Any, ClassVar

from lengthwise.registry import Registry
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.rows import Head

ATTACHMENTS = Registry(
    "attachment",
    {"certificate": "lengthwise.certificates.attachment:CertificateAttachment"},
    base="lengthwise.runs.attachments:Attachment",
)
"""Attachment name -> a subclass of `Attachment`."""


class Attachment(ABC):
    """One kind of thing that a run folder may hold, and that results kept of the run hold too.

    Values are compared with ``==``. The run of a value is written down beside it, by digest and seed, and never has to
    stand in it.
    """

    file: ClassVar[str]
    """How the file of kept values begins: ``certificates`` becomes ``certificates-0123456789ab.jsonl``."""

    @abstractmethod
    def read(self, folder: RunFolder, head: Head) -> Any | None:
        """Return what is in a run's folder, None where it has none.

        Args:
            folder: the run's folder.
            head: of its evaluation.

        Raises:
            InputError: it is not valid, or about another run.
        """

    def check(self, value: Any, head: Head) -> None:  # noqa: B027
        """Look again at a value that was kept, if there is anything to be looked at.

        Args:
            value: what `load` returned.
            head: of the evaluation of the run that it is kept with.

        Raises:
            InputError: it does not hold, or is about another run.
        """

    @abstractmethod
    def dump(self, value: Any) -> dict[str, Any]:
        """Return a value as plain JSON, without the names ``digest`` and ``seed``."""

    @abstractmethod
    def load(self, entry: dict[str, Any]) -> Any:
        """Return the value that `dump` wrote; other names in the entry are left alone.

        Raises:
            ValueError: the entry is not one of this kind. KeyError and TypeError are taken for the same.
        """


def attachment_kinds() -> dict[str, Attachment]:
    """Return one of each kind by its name."""
    return dict(ATTACHMENTS.members(call))
