"""Every measure of every shipped statistic, against a group-by written by hand in DuckDB's SQL over made-up traffic.

Nothing here goes through our expressions, aggregates or windows: the SQL reads the file itself. Duplicates and lines
that are no JSON are in the file on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from streamgauge.app import report
from streamgauge.demo import bus, write_calls
from streamgauge.reporting import Report

EXPECTED_REPLIES = "(200, 404, 480, 484, 486, 487, 600, 603, 604)"
ANSWERED = "answer IS NOT NULL"
SEIZURE = "(answer IS NOT NULL OR code >= 200 OR cause_q850 IS NOT NULL)"
NO_REDIRECT = "(code IS NULL OR code < 300 OR code > 399)"
OVERLOADED = "code IN (408, 500, 503, 504)"
EFFECTIVE = """(answer IS NOT NULL OR cause_q850 IN (17, 18, 19, 21)
    OR (ringing IS NOT NULL AND (cause_q850 = 16 OR cause_q850 IS NULL)
        AND (code = 487 OR cause = 'ORIGINATOR_CANCEL'))
    OR (cause_q850 IS NULL AND code IN (486, 600, 480, 603)))"""
OUTBOUND = "direction = 'outbound' OR direction IS NULL"


@dataclass(frozen=True)
class Oracle:
    """One statistic in SQL: which rows, which keys, and each measure by name."""

    table: str
    where: str
    keys: Mapping[str, str]
    measures: Mapping[str, str]


def count(condition: str) -> str:
    return f"count(*) FILTER (WHERE {condition})"


def share(name: str, part: str, whole: str) -> dict[str, str]:
    """A proportion of two counts, and Wilson's interval in its textbook form."""
    k, n = part, whole
    return {
        name: f"{k} / nullif({n}, 0)",
        f"{name}_lower": f"wilson({k}, {n}, -1)",
        f"{name}_upper": f"wilson({k}, {n}, 1)",
        f"{name}_n": n,
    }


def ranks(name: str, value: str) -> dict[str, str]:
    """The order statistics that the quantiles stand for: the value of rank ceil(q n)."""
    return {
        f"{name}_p{q}": f"list_sort(list({value}) FILTER ({value} IS NOT NULL))[ceil(0.{q} * count({value}))::BIGINT]"
        for q in (50, 95, 99)
    }


def measures(*parts: Mapping[str, str]) -> dict[str, str]:
    return {name: sql for part in parts for name, sql in part.items()}


MINUTES = {"minutes": "sum(billed_ms) / 60000"}
ACD = {"acd_s": f"avg(billed_ms) FILTER (WHERE {ANSWERED}) / 1000"}
QUALITY = measures(
    {"attempts": "count(*)", "seizures": count(SEIZURE), "answered": count(ANSWERED)},
    share("asr", count(ANSWERED), count(SEIZURE)),
    ACD,
    MINUTES,
    share("zero_duration", count(f"{ANSWERED} AND billed_s = 0"), count(ANSWERED)),
    share("short_calls", count(f"{ANSWERED} AND billed_ms < 6000"), count(ANSWERED)),
    ranks("pdd_180", "pdd_180_ms"),
    ranks("pdd_18x", "pdd_18x_ms"),
    share("ser", count("code = 200"), count(NO_REDIRECT)),
    share("seer", count("code IN (200, 480, 486, 600, 603)"), count(NO_REDIRECT)),
    share("isa", count(OVERLOADED), "count(*)"),
    share("ner_e425", count(EFFECTIVE), count(SEIZURE)),
    share("ner_isa", count(f"code IS NULL OR NOT {OVERLOADED}"), "count(*)"),
    {"unexpected": count(f"code NOT IN {EXPECTED_REPLIES}")},
    share("unexpected_share", count(f"code NOT IN {EXPECTED_REPLIES}"), "count(*)"),
)

VOIP = {
    "carrier_quality": Oracle("calls", OUTBOUND, {"carrier": "carrier"}, QUALITY),
    "account_quality": Oracle("calls", "direction = 'inbound' OR direction IS NULL", {"account": "account"}, QUALITY),
    "sip_replies": Oracle(
        "calls",
        OUTBOUND,
        {"carrier": "carrier", "code": "code"},
        measures(
            {"calls": "count(*)", "unexpected": count(f"code NOT IN {EXPECTED_REPLIES}")},
            share("unexpected_share", count(f"code NOT IN {EXPECTED_REPLIES}"), "count(*)"),
        ),
    ),
    "hangup_causes": Oracle(
        "calls",
        "true",
        {"direction": "direction", "cause": "cause", "q850": "cause_q850"},
        measures(
            {"legs": "count(*)", "answered": count(ANSWERED), "rang": count("ringing IS NOT NULL")},
            share("answered_share", count(ANSWERED), "count(*)"),
        ),
    ),
    "destinations": Oracle(
        "calls",
        OUTBOUND,
        {"prefix": "prefix"},
        measures(
            {"attempts": "count(*)", "answered": count(ANSWERED), "seizures": count(SEIZURE)},
            share("asr", count(ANSWERED), count(SEIZURE)),
            ACD,
            MINUTES,
            ranks("pdd_18x", "pdd_18x_ms"),
        ),
    ),
    "codecs": Oracle(
        "calls",
        "true",
        {"direction": "direction", "codec": "codec"},
        measures(
            {"legs": "count(*)", "answered": count(ANSWERED)},
            share("answered_share", count(ANSWERED), "count(*)"),
            MINUTES,
        ),
    ),
    "volume": Oracle(
        "calls",
        "true",
        {"direction": "direction"},
        measures(
            {"legs": "count(*)", "answered": count(ANSWERED)},
            {"legs_per_s": "count(*) / $length", "legs_per_s_window": "count(*) / $length"},
            MINUTES,
            {"accounts": "count(DISTINCT account)", "carriers": "count(DISTINCT carrier)"},
        ),
    ),
}

FEDORA = {
    "volume": Oracle(
        "messages",
        "true",
        {},
        {
            "messages": "count(*)",
            "messages_per_s": "count(*) / $length",
            "messages_per_s_window": "count(*) / $length",
            "topics": "count(DISTINCT topic)",
        },
    ),
    "volume_by_topic": Oracle("messages", "true", {"message_topic": "topic"}, {"messages": "count(*)"}),
    "volume_by_category": Oracle(
        "messages",
        "true",
        {"category": "string_split(topic, '.')[4]"},
        {"messages": "count(*)", "topics": "count(DISTINCT topic)"},
    ),
}

SECONDS = {"1s": 1, "5s": 5, "1m": 60, "6m": 360, "1h": 3600, "1d": 86400}
WILSON = """
CREATE MACRO wilson(k, n, side) AS CASE WHEN n > 0 THEN least(1.0, greatest(0.0,
    (k / n + 1.959963984540054 ** 2 / (2 * n)
        + side * 1.959963984540054 * sqrt(k / n * (1 - k / n) / n + 1.959963984540054 ** 2 / (4 * n * n)))
    / (1 + 1.959963984540054 ** 2 / n))) END
"""
COLUMNS = """{call_id: 'VARCHAR', account: 'VARCHAR', carrier: 'VARCHAR', direction: 'VARCHAR',
    "to": 'VARCHAR', start: 'BIGINT', ringing: 'BIGINT', answer: 'BIGINT', "end": 'BIGINT', billed_ms: 'BIGINT',
    billed_s: 'BIGINT', sip_code: 'BIGINT', cause_q850: 'BIGINT', cause: 'VARCHAR', pdd_180_ms: 'BIGINT',
    pdd_18x_ms: 'BIGINT', codec: 'VARCHAR'}"""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calls") / "calls.jsonl"
    write_calls(path, 20_000, days=2, carriers=5, accounts=30, duplicates=0.01, malformed=0.002)
    return path


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bus") / "bus.jsonl"
    path.write_bytes(b"".join(bus(5_000)))
    return path


@pytest.fixture(scope="module")
def voip(calls: Path) -> Iterator[Report]:
    with report(calls, pack="voip") as found:
        yield found


@pytest.fixture(scope="module")
def fedora(messages: Path) -> Iterator[Report]:
    with report(messages, pack="fedora") as found:
        yield found


@pytest.fixture(scope="module")
def database(calls: Path, messages: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    prefixes = report_parameter("prefixes")
    longest = f"""(SELECT p FROM (SELECT unnest({prefixes!r}) AS p)
        WHERE starts_with(ltrim("to", '+'), p) ORDER BY length(p) DESC LIMIT 1)"""
    with duckdb.connect() as connection:
        connection.execute(WILSON)
        connection.execute(f"""
            CREATE TABLE calls AS SELECT DISTINCT *, CASE WHEN answer IS NOT NULL THEN 200 ELSE sip_code END AS code,
                "end" AS ended, {longest} AS prefix
            FROM read_json('{calls}', format = 'newline_delimited', ignore_errors = true, columns = {COLUMNS})
            WHERE call_id IS NOT NULL
        """)
        connection.execute(f"""
            CREATE TABLE messages AS SELECT topic, floor(round(timestamp * 1000000) / 1000)::BIGINT AS ended
            FROM read_json('{messages}', format = 'newline_delimited', columns = {{topic: 'VARCHAR',
                timestamp: 'DOUBLE'}})
        """)
        yield connection


def report_parameter(name: str) -> Any:
    from streamgauge.declare import load

    return load(["voip"]).packs["voip"].values[name]


def expected(database: duckdb.DuckDBPyConnection, oracle: Oracle, every: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Window and keys to the measures, by SQL."""
    if every == "1mo":
        start = "epoch_ms(date_trunc('month', make_timestamp_ms(ended)))"
        length = "(86400 * any_value(day(last_day(make_timestamp_ms(ended)))))"
    else:
        start = f"ended // {SECONDS[every] * 1000} * {SECONDS[every] * 1000}"
        length = str(SECONDS[every])
    columns = [f"{sql} AS {name}" for name, sql in oracle.keys.items()]
    columns += [f"{sql.replace('$length', length)} AS {name}" for name, sql in oracle.measures.items()]
    grouping = ", ".join(str(n + 1) for n in range(1 + len(oracle.keys)))
    found = database.execute(
        f"SELECT {', '.join([f'{start} AS start_ms', *columns])} FROM {oracle.table} WHERE {oracle.where} "
        f"GROUP BY {grouping}"
    )
    names = [column[0] for column in found.description]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return {tuple(row[n] for n in ("start_ms", *oracle.keys)): {m: row[m] for m in oracle.measures} for row in rows}


def check(found: Report, database: duckdb.DuckDBPyConnection, name: str, oracle: Oracle) -> None:
    statistic = found.statistic(name)
    shown = {m.name + o.suffix for m in statistic.measures if m.name[0] != "_" for o in m.measure.outputs()}
    assert shown == set(oracle.measures), "a measure without an oracle, or the other way round"
    for every in statistic.spec.every:
        ours = {tuple(r[n] for n in ("start_ms", *oracle.keys)): r for r in found.rows(name, every)}
        theirs = expected(database, oracle, every)
        assert ours.keys() == theirs.keys()
        for key, row in theirs.items():
            for measure, value in row.items():
                assert ours[key][measure] == near(measure, value), (name, every, key, measure)


def near(measure: str, value: Any) -> Any:
    """A quantile within its stated error, any other float but for its last digits, and all else equal."""
    if value is None or isinstance(value, str):
        return value
    return pytest.approx(value, rel=0.008 if "_p" in measure else 1e-9, abs=1e-12)


@pytest.mark.parametrize("name", VOIP)
def test_voip_statistic_equals_hand_written_sql(voip: Report, database: duckdb.DuckDBPyConnection, name: str) -> None:
    check(voip, database, name, VOIP[name])


@pytest.mark.parametrize("name", FEDORA)
def test_fedora_statistic_equals_hand_written_sql(
    fedora: Report, database: duckdb.DuckDBPyConnection, name: str
) -> None:
    check(fedora, database, name, FEDORA[name])


def test_no_statistic_of_a_pack_is_without_an_oracle(voip: Report, fedora: Report) -> None:
    assert set(voip.declarations.statistics) == set(VOIP)
    assert set(fedora.declarations.statistics) == set(FEDORA)


def test_duplicates_and_malformed_lines_were_there(voip: Report) -> None:
    assert voip.summary["duplicates"] > 0
    assert voip.summary["dead_letters"]
