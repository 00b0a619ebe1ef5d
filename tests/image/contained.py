"""The daemon as the image starts it: its command, user and folder, as process 1, with no rights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e import procfs
from tests.e2e.daemon import Daemon
from tests.image.builder import Container

RESTRICTED = ("--clear-groups", "--no-new-privs", "--bounding-set=-all")
"""What Kubernetes' restricted profile leaves of a process' rights: nothing."""


class Contained(Daemon):
    """Use as `Daemon`; the document lies where the image looks for it."""

    def __init__(self, image: Container, doc: dict[str, Any], log: Path) -> None:
        super().__init__(image.inside("/etc/tenantproxy"), doc)
        self.image = image
        self.log_file = log

    def command(self) -> list[str]:
        user, group = self.image.stage.user.split(":")
        rights = ("setpriv", f"--reuid={user}", f"--regid={group}", *RESTRICTED)
        return self.image.command(*rights, *self.image.stage.command())

    @property
    def pid(self) -> int:
        """The daemon. The process that we started made its namespaces, and waits for it."""
        return procfs.descendants(self.process.pid)[0]
