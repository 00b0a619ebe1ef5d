"""Files are tried before they are used, and looked at while they are."""

import os
import ssl

import pytest
import trustme

from tenantproxy.control import tls_files
from tenantproxy.control.events import Events
from tenantproxy.control.tls_files import Certificates
from tenantproxy.model.spec import TlsRule
from tests.control.support import until, upstream


@pytest.fixture
def ca(tmp_path):
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path


@pytest.fixture
async def kept(tmp_path):
    events, changed = Events(), []
    one = Certificates(events, changed.append, tmp_path)
    yield one, events, changed
    one.close()


def of(ca, name="v1", **more):
    return upstream(name, 443, tls=TlsRule(ca_file=str(ca), **more))


def names(events):
    return [event.event for event in events.after(0, 99)]


def another(path):
    trustme.CA().cert_pem.write_to_path(path)


async def test_an_upstream_without_tls_has_no_context_and_no_problem(kept):
    one, *_ = kept
    spec = upstream("v1", 80)
    one.use(spec)
    assert one.problems(spec) == []
    assert (one.context(spec), one.order(spec)) == (None, None)
    assert one._timer is None


async def test_files_are_seen_from_the_folder_of_the_document(kept, ca, monkeypatch):
    one, *_ = kept
    monkeypatch.chdir("/")
    spec = of(ca.name)
    assert one.problems(spec) == []
    one.use(spec)
    assert one.order(spec).ca_file == str(ca)


async def test_files_that_cannot_be_used_are_a_problem_with_its_place(kept, tmp_path):
    one, *_ = kept
    (tmp_path / "junk").write_text("no certificate")
    for path in ("junk", "nothing"):
        [problem] = one.problems(of(tmp_path / path))
        assert problem.path == "tenants.acme.upstreams.v1.tls"
        assert path in problem.message
        assert problem.code == "tls_files"


async def test_what_is_used_has_a_context_and_an_order(kept, ca):
    one, *_ = kept
    spec = of(ca, server_name="web.test")
    assert one.problems(spec) == []
    one.use(spec)
    assert isinstance(one.context(spec), ssl.SSLContext)
    order = one.order(spec)
    assert (order.server_name, order.ca_file, order.verify) == ("web.test", str(ca), True)


async def test_upstreams_with_the_same_files_share_a_context(kept, ca):
    one, *_ = kept
    first, second = of(ca), of(ca, "v2", server_name="other")
    one.use(first)
    one.use(second)
    assert one.context(first) is one.context(second)


async def test_changed_files_are_loaded_and_everybody_is_told(kept, ca):
    one, events, changed = kept
    first, second = of(ca), of(ca, "v2")
    for spec in (first, second):
        one.use(spec)
    old, version = one.context(first), one.order(first).version
    one.look()
    assert changed == []
    another(ca)
    one.look()
    assert changed == [first.key, second.key]
    assert one.context(first) is not old
    assert one.order(first).version != version
    assert names(events) == ["tls_reloaded"] * 2


async def test_a_link_that_is_swapped_is_a_change(kept, tmp_path):
    one, _, changed = kept
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        another(tmp_path / name / "ca.pem")
    link = tmp_path / "data"
    link.symlink_to("a")
    one.use(of(link / "ca.pem"))
    swap = tmp_path / "swap"
    swap.symlink_to("b")
    os.replace(swap, link)
    one.look()
    assert len(changed) == 1


async def test_changed_files_that_cannot_be_used_are_told_once_and_the_old_ones_go_on(kept, ca):
    one, events, changed = kept
    spec = of(ca)
    one.use(spec)
    context, order = one.context(spec), one.order(spec)
    for text in ("junk", "other junk"):
        ca.write_text(text)
        one.look()
        one.look()
    assert names(events) == ["tls_refused"]
    assert "ca.pem" in events.after(0, 9)[0].reason
    assert (one.context(spec), one.order(spec), changed) == (context, order, [])
    assert one.problems(of(ca, "new")), "a newcomer cannot have them"
    another(ca)
    one.look()
    assert names(events) == ["tls_refused", "tls_reloaded"]
    assert one.problems(of(ca, "new")) == []


async def test_versions_are_never_the_same_for_other_files(kept, ca):
    one, *_ = kept
    spec = of(ca)
    one.use(spec)
    version = one.order(spec).version
    one.forget(spec.key)
    one.look()
    another(ca)
    one.use(spec)
    assert one.order(spec).version != version


async def test_of_many_changed_files_some_are_loaded_at_once_and_the_rest_soon(
    kept, ca, tmp_path, monkeypatch
):
    monkeypatch.setattr(tls_files, "LOOK_EVERY_S", 0.02)
    one, _, changed = kept
    many = 2 * tls_files.AT_ONCE + 1
    for number in range(many):
        copy = tmp_path / f"{number}.pem"
        copy.write_bytes(ca.read_bytes())
        one.use(of(copy, f"v{number}"))
    other = trustme.CA().cert_pem.bytes()
    for number in range(many):
        (tmp_path / f"{number}.pem").write_bytes(other)
    one.look()
    assert len(changed) == tls_files.AT_ONCE
    await until(lambda: len(changed) == many)
    assert len(set(changed)) == many
    one.look()
    assert len(changed) == many


async def test_files_are_looked_at_while_somebody_uses_them(kept, ca, monkeypatch):
    monkeypatch.setattr(tls_files, "LOOK_EVERY_S", 0.02)
    one, _, changed = kept
    one.use(of(ca))
    another(ca)
    await until(lambda: changed)
    one.use(upstream("v1", 80))
    await until(lambda: one._timer is None)
    assert one._loaded == {}
