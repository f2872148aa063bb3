"""Files for Binder, dev containers and Docker: they name what is there."""
import configparser
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRA = re.compile(r"\[([a-z,]+)\]")


def extras() -> set[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return set(config["options.extras_require"])


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) with continued lines joined."""
    text = dockerfile.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def test_the_image_installs_an_extra_that_exists_and_runs_as_nobody_special():
    steps = instructions(ROOT / "Dockerfile")
    known = {"FROM", "COPY", "RUN", "USER", "WORKDIR", "EXPOSE", "CMD"}
    assert {name for name, _ in steps} <= known and steps[0][0] == "FROM"
    installed = EXTRA.search(dict(steps)["RUN"]).group(1)
    assert set(installed.split(",")) <= extras()
    assert dict(steps)["USER"] != "root"
    assert json.loads(dict(steps)["CMD"])[:2] == ["jupyter", "lab"]


def test_the_dev_container_builds_that_image():
    folder = ROOT / ".devcontainer"
    config = json.loads((folder / "devcontainer.json").read_text())
    assert (folder / config["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert set(EXTRA.search(config["postCreateCommand"]).group(1).split(",")) <= extras()


def test_binder_installs_the_project():
    requirement = (ROOT / ".binder" / "requirements.txt").read_text().strip()
    assert requirement.startswith(".")
    assert set(EXTRA.search(requirement).group(1).split(",")) <= extras()
    assert re.fullmatch(r"python-3\.1[0-3]\n", (ROOT / ".binder" / "runtime.txt").read_text())
