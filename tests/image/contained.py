"""The daemon as the image starts it: its command, user and folder, as process 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e import procfs
from tests.e2e.daemon import Daemon
from tests.image.builder import Container


class Contained(Daemon):
    """Use as `Daemon`; the document lies where the image looks for it.

    As in Kubernetes' restricted profile it has no capability and can gain none,
    but for those in `capabilities`; an engine gives them to root only.
    """

    def __init__(
        self,
        image: Container,
        doc: dict[str, Any],
        log: Path,
        *,
        user: str | None = None,
        capabilities: tuple[str, ...] = (),
    ) -> None:
        super().__init__(image.inside("/etc/tenantproxy"), doc)
        self.image, self.log_file = image, log
        self.user = user or image.stage.user
        self.bounds = ",".join(("-all", *(f"+{name}" for name in capabilities)))

    def command(self) -> list[str]:
        user, group = self.user.split(":")
        ids = (f"--reuid={user}", f"--regid={group}", "--clear-groups")
        rights = ("setpriv", *ids, "--no-new-privs", f"--bounding-set={self.bounds}")
        return self.image.command(*rights, *self.image.stage.command())

    @property
    def pid(self) -> int:
        """The daemon. The process that we started made its namespaces, and waits for it."""
        return procfs.descendants(self.process.pid)[0]
