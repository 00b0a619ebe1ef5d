"""Answers of all kinds, from servers of all kinds."""

import socket
import threading
from contextlib import contextmanager

import pytest

from tenantproxy.cli.client import Client, call, error_of, path_of
from tenantproxy.cli.settings import Settings
from tenantproxy.errors import (
    DocumentError,
    NotFound,
    ServerUnreachable,
    TenantProxyError,
    Unauthorized,
)


@contextmanager
def server(answer: bytes):
    """A server that says the same to everybody, and keeps what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(65_536))
                    if answer:
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def response(status: str, body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def get(url: str, **settings):
    return call(Settings(server=url, **settings), lambda client: client.get("/api/v1/status"))


def test_names_are_quoted_in_paths():
    assert path_of("tenants", "a/b c", "listeners") == "/api/v1/tenants/a%2Fb%20c/listeners"


def test_the_token_is_sent(tmp_path):
    file = tmp_path / "token"
    file.write_text("secret\n")
    with server(response("200 OK", b"{}")) as (url, asked):
        assert get(url, token_file=file) == {}
        assert get(url) == {}
    assert b"Authorization: Bearer secret\r\n" in asked[0]
    assert b"Authorization" not in asked[1]


def test_a_daemon_that_is_not_there_is_unreachable_with_a_hint():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ServerUnreachable, match="Connection refused") as caught:
        get(f"127.0.0.1:{port}")
    assert "tenantproxy run" in (caught.value.hint or "")


def test_a_host_that_does_not_exist_is_unreachable():
    with pytest.raises(ServerUnreachable, match="cannot connect"):
        get("http://nobody.invalid:1")


def test_what_is_no_url_is_told():
    with pytest.raises(ServerUnreachable, match="is not a URL"):
        get("http://")


def test_a_connection_that_ends_before_the_answer_is_unreachable():
    with server(b"") as (url, _), pytest.raises(ServerUnreachable, match="broke"):
        get(url)


def test_a_daemon_that_dies_in_the_middle_of_an_answer_is_told_in_words():
    half = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    with (
        server(half) as (url, _),
        pytest.raises(ServerUnreachable, match="in the middle") as caught,
    ):
        get(url)
    assert caught.value.hint == "has the daemon died?"


def test_a_silent_daemon_is_given_up_after_a_while():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"

        async def ask(client: Client):
            return await client.send("GET", "/api/v1/status", patience_s=0.1)

        with pytest.raises(ServerUnreachable, match="did not answer in time"):
            call(Settings(server=url), ask)


def test_a_server_that_is_not_ours_is_told_apart():
    with (
        server(response("200 OK", b"hello", "text/plain")) as (url, _),
        pytest.raises(TenantProxyError, match="does not answer as an admin API") as caught,
    ):
        get(url)
    assert "--server" in (caught.value.hint or "")


def test_a_problem_becomes_the_error_that_it_tells_of():
    assert isinstance(error_of({"code": "unauthorized", "detail": "no"}, 401), Unauthorized)
    assert "--token-file" in (error_of({"code": "unauthorized"}, 401).hint or "")
    assert isinstance(error_of({"code": "not_found", "detail": "no"}, 404), NotFound)
    other = error_of({"code": "port_taken", "detail": "in use", "hint": "another"}, 409)
    assert (str(other), other.hint) == ("in use", "another")
    assert str(error_of({}, 500)) == "HTTP 500"


def test_problems_of_a_document_keep_their_places_and_new_fields_do_no_harm():
    one = {"message": "wrong", "path": "a.b", "line": 3, "column": 1, "later": True}
    error = error_of({"code": "document_invalid", "problems": [one]}, 422)
    assert isinstance(error, DocumentError)
    assert error.problems[0].line == 3


def test_events_come_after_the_sign_that_the_stream_stands():
    stream = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        b": beat\n\n"
        b'id: 1\ndata: {"number": 1}\n\n'
        b'event: missed\ndata: {"first": 40}\n\n'
        b'id: 41\ndata: {"number":\ndata: 41}\n\n'
    )
    seen = []

    async def follow(client: Client):
        async for event in client.events():
            seen.append(event)  # noqa: PERF401 - what was seen before the end counts

    with server(stream) as (url, _), pytest.raises(ServerUnreachable, match="ended the stream"):
        call(Settings(server=url), follow)
    assert seen == [None, {"number": 1}, None, {"number": 41}]


def test_a_stream_that_is_refused_is_an_error():
    body = b'{"code": "unauthorized", "detail": "this needs a token"}'

    async def follow(client: Client):
        async for _ in client.events():
            pass

    with (
        server(response("401 Unauthorized", body)) as (url, _),
        pytest.raises(Unauthorized, match="needs a token"),
    ):
        call(Settings(server=url), follow)
