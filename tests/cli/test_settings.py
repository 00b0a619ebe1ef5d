"""Where server, token and output come from."""

import pytest

from tenantproxy.cli.settings import Settings
from tenantproxy.errors import Unauthorized


def test_the_server_is_the_option_then_the_environment_then_the_default(monkeypatch):
    assert Settings().base_url == "http://127.0.0.1:9900"
    monkeypatch.setenv("TENANTPROXY_SERVER", "http://proxy:1/")
    assert Settings().base_url == "http://proxy:1"
    assert Settings(server="other:2").base_url == "http://other:2"
    assert Settings(server="https://other:2/").base_url == "https://other:2"


def test_the_token_is_that_of_the_file_then_of_the_environment(monkeypatch, tmp_path):
    assert Settings().read_token() is None
    monkeypatch.setenv("TENANTPROXY_TOKEN", "from-environment")
    assert Settings().read_token() == "from-environment"
    file = tmp_path / "token"
    file.write_text("from-file\n")
    assert Settings(token_file=file).read_token() == "from-file"


def test_a_token_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(Unauthorized, match="cannot be read: No such file"):
        Settings(token_file=tmp_path / "none").read_token()


def test_options_may_stand_before_or_after_the_command_and_the_last_wins(command):
    assert '"version"' in command("-o", "json", "version").stdout
    assert '"version"' in command("version", "-o", "json").stdout
    assert '"version"' in command("-o", "yaml", "version", "-o", "json").stdout
