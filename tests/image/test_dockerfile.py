"""What the Dockerfile says, and what it lets in."""

import re
import shlex
import signal
from pathlib import Path

from tenantproxy.config.proxy_models import ProxyDoc
from tests.image.builder import context
from tests.image.dockerfile import stages


def test_one_argument_pins_the_base_of_every_stage():
    pinned = "python:3.13-slim-trixie@sha256:" + 64 * "0"
    made = stages(PYTHON_IMAGE=pinned)
    assert {stage.base for stage in made.values()} == {pinned}
    assert made["result"].labels["org.opencontainers.image.base.name"] == pinned


def test_without_arguments_the_base_has_a_tag_that_names_python_and_debian():
    assert all(
        re.fullmatch(r"python:3\.\d+-slim-[a-z]+", stage.base) for stage in stages().values()
    )


def test_the_user_is_a_number_and_not_root():
    """Kubernetes' runAsNonRoot refuses a name, which it cannot look up."""
    user, group = stages()["result"].user.split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_port_of_metrics_is_the_default_of_the_document():
    assert stages()["result"].settings["EXPOSE"] == str(ProxyDoc().metrics.port)


def test_the_signal_that_stops_it_is_the_one_that_ends_the_program_in_order():
    assert signal.Signals[stages()["result"].settings["STOPSIGNAL"]] is signal.SIGTERM


def test_the_result_takes_nothing_but_the_environment_from_the_build():
    copied = [value for what, value in stages()["result"].steps if what == "COPY"]
    assert copied == ["--from=build /opt/tenantproxy /opt/tenantproxy"]


def test_the_builder_is_given_what_the_dockerfile_copies_and_nothing_else():
    """What it does not get can neither leak into a layer nor make one anew."""
    copied = {
        Path(word)
        for stage in stages().values()
        for what, value in stage.steps
        if what == "COPY" and not value.startswith("--from=")
        for word in shlex.split(value)[:-1]
    }
    given = context()
    tops = {Path(file.parts[0]) for file in given}
    assert tops == copied
    assert not [file for file in given if "__pycache__" in file.parts or file.suffix == ".pyc"]


def test_labels_tell_the_version_and_the_commit():
    labels = stages(VERSION="1.2.3", REVISION="abc")["result"].labels
    assert labels["org.opencontainers.image.version"] == "1.2.3"
    assert labels["org.opencontainers.image.revision"] == "abc"
