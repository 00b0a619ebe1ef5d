"""A context is made of files that are as they should be, and of no others."""

from __future__ import annotations

import ssl
import subprocess

import pytest
import trustme

from tenantproxy.errors import TlsFiles
from tenantproxy.tls import client_context


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    (folder / "junk").write_text("no certificate")
    authority = trustme.CA()
    pairs = []
    for name in ("one", "other"):
        made = authority.issue_cert(f"{name}.test")
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        made.cert_chain_pems[0].write_to_path(cert)
        made.private_key_pem.write_to_path(key)
        pairs.append((str(cert), str(key)))
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return *pairs, str(folder / "junk")


def context(ca_file=None, cert_file=None, key_file=None, *, verify=True):
    return client_context(ca_file=ca_file, cert_file=cert_file, key_file=key_file, verify=verify)


def test_by_default_the_authorities_of_the_system_and_the_name_are_asked():
    made = context()
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname
    assert made.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_only_the_given_authority_is_trusted(files):
    junk = files[2]
    [trusted] = context(junk.replace("junk", "ca.pem")).get_ca_certs()
    assert "trustme" in str(trusted["subject"])


def test_not_verifying_is_asked_for_by_name():
    made = context(verify=False)
    assert made.verify_mode is ssl.CERT_NONE
    assert not made.check_hostname


def test_a_certificate_with_its_key_is_taken(files):
    (cert, key), _, _ = files
    context(cert_file=cert, key_file=key)


def test_what_cannot_be_used_is_named_with_the_reason(files):
    (cert, key), (_, other), junk = files
    for arguments, said in (
        ({"ca_file": "/nowhere.pem"}, "ca_file /nowhere.pem: No such file or directory"),
        ({"ca_file": junk}, f"ca_file {junk}: no certificate or crl found"),
        ({"cert_file": junk}, f"cert_file {junk}: "),
        ({"cert_file": cert}, f"cert_file {cert}: "),
        ({"cert_file": cert, "key_file": other}, "key values mismatch"),
    ):
        with pytest.raises(TlsFiles, match=None) as caught:
            context(**arguments)
        assert said in str(caught.value)
    context(cert_file=cert, key_file=key)


def test_a_key_with_a_passphrase_asks_nobody(files, tmp_path):
    (cert, key), _, _ = files
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-in", key, "-aes256", "-passout", "pass:secret", "-out", locked],
        check=True,
        capture_output=True,
    )
    with pytest.raises(TlsFiles):
        context(cert_file=cert, key_file=str(locked))
