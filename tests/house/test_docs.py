"""The README's tables are the code's tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from engine.simulation.scenarios import SCENARIOS
from monitor.cli import main
from monitor.config import FilesSpec, RunConfig, VenueSpec
from monitor.guardrails.pack import load_core
from monitor.metrics.actors import MEASURES
from monitor.metrics.catalogue import CATALOGUE, METRIC_NAMES
from monitor.sources import Capability
from monitor.sources.catalogue import SOURCES, told

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


DRILLS = (ROOT / "docs" / "drills.md").read_text()


def between(name, text=README):
    found = re.search(rf"<!-- {name}: .*?-->\n(.*?)<!-- end of {name} -->", text, re.S)
    assert found, f"there is no part {name}"
    return found.group(1).strip()


def metrics_table():
    head = ["| metric | family | unit | needs | what it is |", "|---|---|---|---|---|"]
    rows = [f"| `{m.name}` | {m.family} | {m.unit} | {m.needs or '-'} | {m.formula.replace('|', '∣')} |" for m in CATALOGUE]
    return "\n".join(head + rows)


def measures_table():
    return "\n".join(["| measure | what it is |", "|---|---|", *(f"| `{name}` | {told} |" for name, told in MEASURES.items())])


def guardrails_table():
    head = ["| rule | layer | reads | warn | breach | halt | source |", "|---|---|---|---|---|---|---|"]
    rows = []
    for rule in load_core(METRIC_NAMES).rules:
        halt = f"{rule.halt:g}" if rule.halt is not None else f"breach for {rule.halt_after_s} s" if rule.halt_after_s else "-"
        cells = (
            f"`{rule.name}`",
            rule.layer,
            f"`{rule.input}`",
            f"{rule.warn:g}",
            f"{rule.breach:g} {rule.unit}",
            halt,
            rule.source,
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(head + rows)


def sources_table():
    families = list(told(SOURCES[0].capabilities))
    head = [f"| source | `--format` | {' | '.join(families)} | cannot tell |", "|---|---|" + "---|" * (len(families) + 1)]
    rows = []
    for entry in SOURCES:
        counts = told(entry.capabilities)
        cells = [f"{has} of {total}" if has < total else f"all {total}" for has, total in counts.values()]
        known = entry.capabilities | ({"last"} if "trades" in entry.capabilities else set())
        lacks = ", ".join(name for name in get_args(Capability) if name not in known) or "-"
        rows.append(f"| {entry.name} | {f'`{entry.format}`' if entry.format else '-'} | {' | '.join(cells)} | {lacks} |")
    return "\n".join(head + rows)


def scenarios_table():
    head = ["| scenario | family | what happens | moves | lasts |", "|---|---|---|---|---|"]
    rows = []
    for name, scenario in SCENARIOS.items():
        family = f"{scenario.family}, benign" if scenario.benign else scenario.family
        lasts = f"{scenario.shortest_s:g} to {scenario.longest_s:g} s"
        moves = ", ".join(f"`{metric}`" for metric in scenario.metrics)
        rows.append(f"| `{name}` | {family} | {scenario.says} | {moves} | {lasts} |")
    return "\n".join(head + rows)


def test_the_drills_page_holds_the_scenarios_of_the_code():
    table = scenarios_table()
    assert between("scenarios", DRILLS) == table, f"put this into docs/drills.md:\n\n{table}\n"


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("metrics", metrics_table()),
        ("measures", measures_table()),
        ("guardrails", guardrails_table()),
        ("sources", sources_table()),
    ],
)
def test_the_readme_holds_the_tables_of_the_code(name, table):
    assert between(name) == table, f"put this into the README's part {name}:\n\n{table}\n"


def test_every_option_of_the_command_line_stands_in_the_readme():
    for name in ("demo", "replay", "drill run", "evaluate"):
        command = main
        for part in name.split():
            command = command.commands[part]
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert f"`{option}" in README, f"{name} {option} is not in the README"


@pytest.mark.parametrize("struct", [RunConfig, VenueSpec, FilesSpec])
def test_every_setting_is_documented(struct):
    import msgspec

    schema = msgspec.json.schema(struct)["$defs"][struct.__name__]
    for name, described in schema["properties"].items():
        assert name == "kind" or described.get("description"), f"{struct.__name__}.{name} has no description"


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"])
def test_links_between_documents_lead_somewhere(name):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text()):
        assert (ROOT / target).exists(), f"{name} links to {target}"


def test_the_ci_finds_the_readmes_test_command():
    lines = [line for line in README.splitlines() if re.match(r"^python3 -m venv .*pytest$", line)]
    assert len(lines) == 1
