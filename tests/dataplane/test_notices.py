"""Notices are counted, not repeated."""

from __future__ import annotations

import asyncio

from tenantproxy.dataplane import notices as module
from tenantproxy.dataplane.messages import Notice
from tenantproxy.dataplane.notices import Notices


async def test_the_first_is_sent_at_once_and_the_rest_counted_into_the_next(monkeypatch):
    monkeypatch.setattr(module, "EVERY_S", 0.05)
    sent: list[Notice] = []
    notices = Notices(asyncio.get_running_loop(), sent.append)
    for number in range(10):
        notices.add("internal", "a", f"number {number}")
    notices.add("internal", "b", "of its own")
    assert [(n.subject, n.count) for n in sent] == [("a", 1), ("b", 1)]
    await asyncio.sleep(0.08)
    assert sent[2:] == [Notice("internal", "a", "number 9", 9)]
    await asyncio.sleep(0.1)
    assert len(sent) == 3
    notices.add("internal", "a", "again")
    assert sent[3].count == 1
    notices.close()
