"""Contexts follow the orders; files that do not load break nothing that works."""

from __future__ import annotations

import shutil
import ssl

import msgspec
import pytest

from tenantproxy.dataplane.tls_contexts import TlsContexts
from tenantproxy.dataplane.tls_socket import HandshakeFailed
from tests.dataplane.tls_support import make_pki


@pytest.fixture
def pki(tmp_path):
    return make_pki(tmp_path)


def changed(order, **fields):
    return msgspec.structs.replace(order, **fields)


def test_an_order_without_tls_makes_no_seal(pki):
    contexts = TlsContexts()
    seal, _ = contexts.renew(None, pki.order())
    assert contexts.renew(None, None) == (None, "")
    assert contexts.renew(seal, None) == (None, "")


def test_the_context_is_made_of_what_the_order_says(pki):
    [seal, wrong] = TlsContexts().renew(None, pki.order())
    assert wrong == ""
    assert seal.context.verify_mode is ssl.CERT_REQUIRED
    assert len(seal.context.get_ca_certs()) == 1
    assert seal.context.options & ssl.OP_NO_RENEGOTIATION


def test_the_same_order_keeps_the_context_and_does_not_look_at_files(pki):
    contexts = TlsContexts()
    seal, _ = contexts.renew(None, pki.order())
    shutil.move(pki.ca, pki.ca + ".away")
    assert contexts.renew(seal, pki.order()) == (seal, "")


def test_another_version_reads_the_files_again(pki):
    contexts = TlsContexts()
    seal, _ = contexts.renew(None, pki.order())
    shutil.copy(pki.stranger_ca, pki.ca)
    renewed, wrong = contexts.renew(seal, pki.order(version=2))
    assert wrong == ""
    assert renewed.context is not seal.context
    assert renewed.context.get_ca_certs() != seal.context.get_ca_certs()


def test_upstreams_of_the_same_files_share_a_context_as_long_as_the_files_stay(pki):
    contexts = TlsContexts()
    one, _ = contexts.renew(None, pki.order())
    other, _ = contexts.renew(None, pki.order(server_name="other.test"))
    assert one.context is other.context
    assert contexts.renew(None, pki.order(verify=False))[0].context is not one.context
    shutil.copy(pki.stranger_ca, pki.ca)
    assert contexts.renew(None, pki.order())[0].context is not one.context


def test_files_that_do_not_load_leave_the_old_context_and_are_told(pki):
    contexts = TlsContexts()
    seal, _ = contexts.renew(None, pki.order())
    shutil.copy(pki.key, pki.ca)
    kept, wrong = contexts.renew(seal, pki.order(version=2))
    assert kept.context is seal.context
    assert wrong.startswith(f"ca_file {pki.ca}: ")
    assert wrong.endswith("those from before stay in use")
    shutil.copy(pki.stranger_ca, pki.ca)
    mended, wrong = contexts.renew(kept, pki.order(version=3))
    assert wrong == ""
    assert mended.context is not seal.context


def test_without_an_old_one_tries_fail_until_the_files_load(pki):
    contexts = TlsContexts()
    order = pki.order(ca_file=pki.ca + ".away")
    seal, wrong = contexts.renew(None, order)
    assert seal.context is None
    assert wrong.endswith("No such file or directory; no connection can be made")
    with pytest.raises(HandshakeFailed, match="files could not be used"):
        seal.wrap(None, "server.test", pytest.fail)
    shutil.copy(pki.ca, pki.ca + ".away")
    mended, wrong = contexts.renew(seal, order)
    assert mended.context is not None
    assert wrong == ""


def test_a_context_that_trusts_everybody_does_not_stand_in_for_one_that_verifies(pki):
    contexts = TlsContexts()
    trusting, _ = contexts.renew(None, pki.order(verify=False))
    strict, wrong = contexts.renew(trusting, pki.order(ca_file=pki.ca + ".away", version=2))
    assert strict.context is None
    assert wrong.endswith("no connection can be made")


def test_the_name_is_the_orders_else_the_endpoints_else_its_address(pki):
    contexts = TlsContexts()
    named, _ = contexts.renew(None, pki.order(server_name="a.test"))
    nameless, _ = contexts.renew(None, pki.order(server_name=""))
    assert named.name_for("b.test", "192.0.2.1") == "a.test"
    assert nameless.name_for("b.test", "192.0.2.1") == "b.test"
    assert nameless.name_for("", "fe80::1%eth0") == "fe80::1"
