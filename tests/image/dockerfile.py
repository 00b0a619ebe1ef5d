"""The Dockerfile as stages of instructions, with variables put in.

Simpler than an engine: in a stage ENV and WORKDIR stand above the steps and
USER below them, so that each holds for the whole stage. What is not so, or
not known here, is an error.
"""

from __future__ import annotations

import io
import json
import shlex
from dataclasses import dataclass, field
from string import Template

from dockerfile_parse import DockerfileParser

from tests.e2e.apart import ROOT

BASE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What the official Python images set, and all that is used of their settings."""


@dataclass
class Stage:
    """What one stage does, and its settings."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)
    """RUN and COPY in their order; a COPY is put as its words."""
    env: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH})
    labels: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "root"
    settings: dict[str, str] = field(default_factory=dict)
    """Everything else, by instruction, as it is written."""

    def command(self) -> list[str]:
        """Return ENTRYPOINT and CMD, which are in the form without a shell."""
        return json.loads(self.settings["ENTRYPOINT"]) + json.loads(self.settings["CMD"])


def stages(**args: str) -> dict[str, Stage]:
    """Return the stages by name, the last as `result`; `args` are `--build-arg`s."""
    parser = DockerfileParser(fileobj=io.BytesIO((ROOT / "Dockerfile").read_bytes()))
    found: dict[str, Stage] = {}
    before_from: dict[str, str] = {}
    known: dict[str, str] = {}
    stage = Stage("")
    for line in parser.structure:
        instruction, value = line["instruction"], line["value"]
        if instruction == "COMMENT":
            continue
        if instruction == "FROM":
            base, *name = Template(value).substitute(before_from).split(" AS ")
            known, stage = {}, Stage(base)
            found[name[0] if name else "result"] = stage
            continue
        if instruction == "ARG":
            name, _, default = value.partition("=")
            known[name] = args.get(name, default or before_from.get(name, ""))
            if not found:
                before_from[name] = known[name]
            continue
        _take(stage, instruction, value, known)
    return found


def _take(stage: Stage, instruction: str, value: str, args: dict[str, str]) -> None:
    if instruction == "RUN":
        assert stage.user == "root", "RUN after USER"
        stage.steps.append((instruction, value))  # its variables are the shell's
        return
    if instruction in ("ENTRYPOINT", "CMD"):
        stage.settings[instruction] = value  # in these an engine puts no variables
        return
    value = Template(value).substitute(args | stage.env)
    match instruction:
        case "COPY":
            stage.steps.append((instruction, value))
        case "ENV":
            assert not stage.steps, "ENV after a step"
            stage.env |= dict(word.split("=", 1) for word in shlex.split(value))
        case "LABEL":
            stage.labels |= dict(word.split("=", 1) for word in shlex.split(value))
        case "WORKDIR":
            assert not stage.steps, "WORKDIR after a step"
            stage.workdir = value
        case "USER":
            stage.user = value
        case "EXPOSE" | "STOPSIGNAL":
            stage.settings[instruction] = value
        case _:
            raise NotImplementedError(instruction)
