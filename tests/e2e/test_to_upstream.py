"""What a real server behind the daemon hears: who the client is, and TLS that it can trust."""

from __future__ import annotations

import contextlib

import pytest
import trustme

from tests.e2e.daemon import document, until
from tests.e2e.programs import nginx_server
from tests.e2e.wire import dialled

GET = b"GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n"


def one(port, **upstream):
    up = {"endpoints": [f"127.0.0.1:{port}"], **upstream}
    web = {"split": {"up": 1}, "open": "always", "wake": {"timeout": "2s"}}
    return document({"acme": {"upstreams": {"up": up}, "listeners": {"web": web}}})


async def body(port, source="127.0.0.1"):
    """Return the body of the answer to a GET from this address.

    The client does not end before: over TLS nginx may close while our close_notify is unread, and
    then the kernel sends an RST behind the answer.
    """
    async with dialled(port, source=source) as wire:
        await wire.send(GET)
        return (await wire.rest()).decode().partition("\r\n\r\n")[2]


# The PROXY protocol ---------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("warm", [0, 4])
async def test_a_server_learns_the_address_of_the_client(run_daemon, folder, version, warm):
    server = """
        listen 127.0.0.1:PORT proxy_protocol;
        return 200 "$proxy_protocol_addr $proxy_protocol_server_port";
    """
    async with nginx_server(folder, server) as behind:
        doc = one(behind, send_proxy=version, warm=warm, health={"tcp": {}, "every": "200ms"})
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            for client in ("127.0.0.9", "127.0.3.4", "127.0.0.9"):
                assert await body(port, client) == f"{client} {port}"

            async def checked():
                view = await daemon.api("GET", "tenants/acme/upstreams/up")
                return view["endpoints"][0]["state"] == "healthy"

            await until(checked)
    assert "broken header" not in (folder / "nginx-error.log").read_text()


# TLS --------------------------------------------------------------------------------


class Papers:
    """An authority, a certificate of the server and one of the client, as files."""

    def __init__(self, folder, name):
        folder.mkdir(exist_ok=True)
        self.authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)
        self.cert, self.key = self.issue(folder, "server", name)
        self.client_cert, self.client_key = self.issue(folder, "client", "tenantproxy.test")

    def issue(self, folder, file, name):
        made = self.authority.issue_cert(name)
        cert, key = folder / f"{file}.pem", folder / f"{file}.key"
        cert.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
        key.write_bytes(made.private_key_pem.bytes())
        return str(cert), str(key)

    def server(self, more=""):
        return f"""
            listen 127.0.0.1:PORT ssl;
            ssl_certificate {self.cert}; ssl_certificate_key {self.key};
            {more}
            return 200 "$ssl_protocol $ssl_server_name $ssl_client_verify";
        """


@pytest.fixture
def papers(folder):
    return Papers(folder / "papers", "shop.test")


async def refused(port):
    with contextlib.suppress(OSError):
        return await body(port) == ""
    return True


async def test_a_server_is_trusted_by_its_authority_and_told_its_name(run_daemon, folder, papers):
    async with nginx_server(folder, papers.server()) as behind:
        tls = {"ca_file": papers.ca, "server_name": "shop.test"}
        async with run_daemon(one(behind, tls=tls)) as daemon:
            said = await body(await daemon.port("acme/web"))
            assert said.split()[1:] == ["shop.test", "NONE"]


async def test_without_a_word_a_server_has_to_prove_who_it_is(run_daemon, folder, papers):
    async with nginx_server(folder, papers.server()) as behind:
        for tls in ({}, {"ca_file": papers.ca}, {"ca_file": papers.ca, "server_name": "no.test"}):
            async with run_daemon(one(behind, tls=tls)) as daemon:
                assert await refused(await daemon.port("acme/web"))
                view = await daemon.api("GET", "tenants/acme/upstreams/up")
                assert set(view["connect_errors"]) == {"tls"}
                events = [e for e in await daemon.items("events") if e["event"] == "upstream_tls"]
                assert "certificate verify failed" in events[0]["reason"]
        async with run_daemon(one(behind, tls={"verify": False})) as daemon:
            assert "TLSv1" in await body(await daemon.port("acme/web"))


async def test_our_certificate_is_shown_to_a_server_that_asks(run_daemon, folder, papers):
    more = f"ssl_client_certificate {papers.ca}; ssl_verify_client on;"
    async with nginx_server(folder, papers.server(more)) as behind:
        tls = {"ca_file": papers.ca, "server_name": "shop.test"}
        shown = {"cert_file": papers.client_cert, "key_file": papers.client_key}
        async with run_daemon(one(behind, tls=tls | shown)) as daemon:
            assert (await body(await daemon.port("acme/web"))).endswith("SUCCESS")


async def test_files_that_change_are_read_again_and_bad_ones_change_nothing(
    run_daemon, folder, papers
):
    """The authority is exchanged under the daemon, as a Secret in Kubernetes is."""
    async with nginx_server(folder, papers.server()) as behind:
        trusted = folder / "trusted.pem"
        trusted.write_bytes(trustme.CA().cert_pem.bytes())
        tls = {"ca_file": str(trusted), "server_name": "shop.test"}
        async with run_daemon(one(behind, tls=tls)) as daemon:
            port = await daemon.port("acme/web")
            assert await refused(port)
            replace(trusted, papers.authority.cert_pem.bytes())

            async def works():
                # Every worker has read the files before they change again.
                return not any([await refused(port) for _ in range(20)])

            await until(works, within_s=15)
            replace(trusted, b"junk")

            async def said():
                return [e for e in await daemon.items("events") if e["event"] == "tls_refused"]

            await until(said, within_s=15)
            assert "TLS" in await body(port)


def replace(file, content):
    beside = file.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(file)


async def test_a_document_with_a_certificate_that_is_none_is_refused(run_daemon, folder, papers):
    async with nginx_server(folder, papers.server()) as behind:
        doc = one(behind, tls={"ca_file": papers.ca, "server_name": "shop.test"})
        async with run_daemon(doc) as daemon:
            bad = {**doc["tenants"]["acme"]["upstreams"]["up"], "tls": {"ca_file": papers.key}}
            with pytest.raises(Exception, match="tls_files"):
                await daemon.api("PUT", "tenants/acme/upstreams/up", bad)
            assert "TLS" in await body(await daemon.port("acme/web"))


async def test_bulk_through_tls_arrives_whole(run_daemon, folder, papers):
    size = 30_000_000
    (folder / "big").write_bytes(bytes(range(256)) * (size // 256))
    whole = (folder / "big").read_bytes()
    server = f"""
        listen 127.0.0.1:PORT ssl; root {folder};
        ssl_certificate {papers.cert}; ssl_certificate_key {papers.key};
    """
    async with nginx_server(folder, server) as behind:
        tls = {"ca_file": papers.ca, "server_name": "shop.test"}
        async with (
            run_daemon(one(behind, tls=tls)) as daemon,
            dialled(await daemon.port("acme/web")) as wire,
        ):
            await wire.send(b"GET /big HTTP/1.0\r\n\r\n")
            assert (await wire.rest()).partition(b"\r\n\r\n")[2] == whole
