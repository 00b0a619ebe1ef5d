"""A judge or a gate that is a web server: it is told what goes on, and its code is the answer.

2xx is yes and 4xx is no, but for codes that are about the question: a wrong path or a
missing password says nothing of the canary. These, and anything else, have not
judged. The text of the answer, or the `message` of a JSON object, is the
reason that people read.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from tenantproxy.errors import NoVerdict
from tenantproxy.model.findings import Answer, Result, Subject
from tenantproxy.model.rollout_spec import Gate, GateName, OutsideCheck
from tenantproxy.rollout.http import Http, Reply
from tenantproxy.rollout.words import one_line

ABOUT_THE_QUESTION = frozenset({401, 404, 405, 407, 408, 429})
"""Codes of RFC 9110, 15.5, and RFC 6585 that say that it was not asked well, or too often."""


async def ask(http: Http, check: OutsideCheck, about: Subject) -> tuple[Result, str]:
    """Return whether it passes, and what it says.

    Raises:
        NoVerdict: no answer, or one that is neither yes nor no.
    """
    yes, reason = await _post(http, check.url, asdict(about) | {"check": check.name})
    return ("passed" if yes else "failed"), reason


async def knock(http: Http, name: GateName, gate: Gate, about: Subject) -> tuple[Answer, str]:
    """Return whether the gate is open, and what it says.

    Raises:
        NoVerdict: as `ask`.
    """
    yes, reason = await _post(http, gate.url, asdict(about) | {"gate": name})
    return ("open" if yes else "closed"), reason


async def _post(http: Http, url: str, body: dict[str, Any]) -> tuple[bool, str]:
    reply = await http.ask("POST", url, json=body)
    match reply.status // 100:
        case 2:
            return True, said(reply)
        case 4 if reply.status not in ABOUT_THE_QUESTION:
            return False, said(reply)
    raise NoVerdict(f"answered {reply.status}")


def said(reply: Reply) -> str:
    """Return what the answer says, for people; its code if it says nothing."""
    text = reply.text
    try:
        match json.loads(text):
            case {"message": str(message)}:
                text = message
    except (ValueError, RecursionError):
        pass
    return one_line(text) or f"answered {reply.status}"
