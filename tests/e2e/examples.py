"""An example's document, made to run here: with ports of our own, and in seconds for minutes."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.e2e.apart import ROOT
from tests.e2e.daemon import document


def example(
    name: str, ports: dict[int, int], times: dict[str, str], room: int = 20
) -> dict[str, Any]:
    """Return the document of `examples/rollouts/NAME` with other ports and times.

    `ports`: number in the example -> number here; the listeners' own are given by the proxy here.
    `times`: duration in the example -> duration here. Everything else stays as people read it.
    """
    text = (ROOT / "examples" / "rollouts" / name).read_text()
    doc = document({}, room=room)
    first = int(doc["proxy"]["port_range"].partition("-")[0])
    own = sorted({int(found) for found in re.findall(r"\b20[0-9]{3}\b", text)} - {20000, 20999})
    for number, there in enumerate(own):
        ports = {**ports, there: first + number}
    for was, now in ports.items():
        text = re.sub(rf"\b{was}\b", str(now), text)
    for was, now in times.items():
        text = re.sub(rf"\b{was}\b(?=[,}} \n])", now, text)
    doc["tenants"] = yaml.safe_load(text)["tenants"]
    return doc
