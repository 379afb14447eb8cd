"""The routes, asked by a real client over a real store; what they say must be what the report says."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.reporting import Report
from tests.serve.serving import HOUR, MINUTE, QUIET, Client, T, events


def test_statistics_say_what_they_are_and_what_there_is_of_them(client: Client) -> None:
    found = {s["name"]: s for s in client.json("/v1/statistics")["statistics"]}
    assert list(found) == ["months", "pairs", "quality", "tags", "volume"]
    quality = found["quality"]
    assert (quality["help"], quality["topic"], quality["zone"]) == ("What became of calls", "*", "UTC")
    assert quality["keys"] == [{"name": "carrier", "type": "VARCHAR", "expression": "body.carrier"}]
    assert [m["name"] for m in quality["measures"]] == ["attempts", "answered", "asr", "talk_ms", "pdd", "codes"]
    assert (quality["measures"][2]["kind"], quality["measures"][3]["unit"]) == ("proportion", "ms")
    assert client.json("/v1/statistics/quality") == quality


def test_a_statistic_counts_its_cells_and_says_their_first_and_last_time(client: Client, report: Report) -> None:
    hours = next(w for w in client.json("/v1/statistics/quality")["windows"] if w["every"] == "1h")
    rows = report.rows("quality", "1h")
    assert hours["cells"] == len(rows)
    assert (hours["first"], hours["last"], hours["stop"]) == (rows[0]["start"], rows[-1]["start"], rows[-1]["stop"])


@pytest.mark.parametrize(("name", "every"), [("quality", "6m"), ("pairs", "1h"), ("tags", "1h"), ("months", "1mo")])
def test_cells_are_those_of_the_report(client: Client, report: Report, name: str, every: str) -> None:
    assert client.cells(name, every=every, limit="max") == report.rows(name, every)


def test_the_first_length_is_shown_unless_told(client: Client) -> None:
    assert {row["every"] for row in client.cells("quality")} == {"6m"}


@pytest.mark.parametrize("form", ["{0}", "{1}", "{2}", "2023-11-14T23:00Z", "2023-11-15T00:00:00+01:00"])
def test_a_range_is_of_windows_that_start_in_it(client: Client, form: str) -> None:
    start = T + HOUR
    text = form.format(start, start // 1000, "2023-11-14T23:00:00.000Z")
    found = client.cells("volume", every="1h", start=text, stop=start + 2 * HOUR)
    assert [row["start_ms"] for row in found] == [start, start + HOUR]


def test_times_are_written_and_read_in_a_zone(client: Client) -> None:
    (row,) = client.cells("volume", every="1h", start="2023-11-15T00:00", limit=1, tz="Europe/Paris")
    assert (row["start"], row["start_ms"]) == ("2023-11-15T00:00:00+01:00", T + HOUR)


def test_relative_times_are_of_the_clock(client: Client) -> None:
    assert client.cells("volume", start="-1h") == []
    assert len(client.cells("volume", every="1h", start="now-10000d")) == 5


def test_newest_first(client: Client, report: Report) -> None:
    found = client.cells("quality", every="1h", order="desc", limit="max")
    expected = sorted(report.rows("quality", "1h"), key=lambda row: -row["start_ms"])  # stable: keys stay ascending
    assert found == expected


@pytest.mark.parametrize("column", ["asr", "events", "carrier", "pdd_p50", "start", "revision", "stop"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_by_a_column_nulls_last(client: Client, column: str, sign: str) -> None:
    found = [row[column] for row in client.cells("quality", every="6m", order=sign + column, limit="max")]
    some = [value for value in found if value is not None]
    assert some == sorted(some, reverse=bool(sign))
    assert found[len(some) :] == [None] * (len(found) - len(some))


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ([("key.carrier", "carrier-001")], {"carrier-001"}),
        ([("key.carrier", "carrier-001"), ("key.carrier", "")], {"carrier-001", ""}),
        ([("key.carrier__prefix", "carrier-00")], {"carrier-001", "carrier-002"}),
        ([("key.carrier__prefix", "north"), ("key.carrier__null", "true")], {"north\u00e9", None}),
        ([("key.carrier__null", "true")], {None}),
        ([("key.carrier", 'quo"te,')], {'quo"te,'}),
        ([("key.carrier", "nobody")], set()),
    ],
)
def test_keys_are_chosen(client: Client, parameters: list[tuple[str, str]], expected: set[Any]) -> None:
    assert {row["carrier"] for row in client.cells("quality", *parameters, every="1h")} == expected


def test_not_null_and_typed_keys(client: Client, report: Report) -> None:
    chosen = [("key.code__null", "false"), ("key.ok", "true"), ("key.share", "0.5"), ("key.share__null", "true")]
    found = client.cells("pairs", *chosen, limit="max")
    assert found == [
        row for row in report.rows("pairs", "1h") if row["code"] is not None and row["ok"] and row["share"] != 1.0
    ]


def test_the_key_all_is_not_the_row_all(client: Client) -> None:
    assert {row["row"] for row in client.cells("quality", ("key.carrier", "all"), every="1h")} == {"key"}
    assert {row["tag"] for row in client.cells("tags", row__eq="all")} == {None}


def test_columns_are_filtered(client: Client, report: Report) -> None:
    found = client.cells("quality", every="6m", asr__lt="0.4", attempts__ge=3, limit="max")
    rows = report.rows("quality", "6m")
    assert found == [row for row in rows if row["asr"] is not None and row["asr"] < 0.4 and row["attempts"] >= 3]
    assert found


def test_fields_choose_and_order_columns(client: Client) -> None:
    (row,) = client.cells("quality", limit=1, fields="asr,start,carrier")
    assert list(row) == ["asr", "start", "carrier"]


@pytest.mark.parametrize("by", [("carrier",), ("code", "ok"), ()])
def test_rolled_up_over_the_other_keys(client: Client, report: Report, by: tuple[str, ...]) -> None:
    assert client.cells("pairs", rollup=",".join(by), limit="max") == report.rows("pairs", "1h", by=by)


def test_a_roll_up_of_chosen_keys(client: Client) -> None:
    every = client.cells("pairs", ("key.carrier", "carrier-001"), limit="max")
    found = client.cells("pairs", ("key.carrier", "carrier-001"), rollup="")
    assert sum(row["n"] for row in found) == sum(row["n"] for row in every)
    assert [row["row"] for row in found] == ["all"] * len(found)


def test_the_newest_cell_of_each_key(client: Client, report: Report) -> None:
    rows = report.rows("quality", "6m")
    newest = {row["carrier"]: row for row in rows}
    found = client.json("/v1/statistics/quality/latest", every="6m")["cells"]
    assert {row["carrier"]: row for row in found} == newest
    since = T + 5 * HOUR + 54 * MINUTE
    recent = client.json("/v1/statistics/quality/latest", every="6m", start=since)["cells"]
    assert {row["carrier"] for row in recent} == {row["carrier"] for row in rows if row["start_ms"] >= since}


def test_keys_with_their_last_window(client: Client, report: Report) -> None:
    found = client.json("/v1/statistics/quality/keys", every="1h")["keys"]
    assert {k["carrier"]: k["last"] for k in found} == {r["carrier"]: r["start"] for r in report.rows("quality", "1h")}
    (one,) = client.json("/v1/statistics/quality/keys", ("key.carrier__prefix", "north"))["keys"]
    assert one["row"] == "key"


def test_an_answer_carries_what_did_not_become_events(client: Client) -> None:
    found = client.json("/v1/statistics/volume/cells")
    assert sum(found["dead_letters"].values()) == 2
    assert (found["duplicates"], found["whole"], found["final"]) == (1, True, True)


def test_dead_letters_with_their_bytes(client: Client) -> None:
    letters = client.json("/v1/dead-letters")["dead_letters"]
    assert [letter.get("text") for letter in letters] == ["{nonsense", None]
    assert letters[1]["base64"] == "/3sieA=="
    assert client.json(f"/v1/dead-letters/{letters[0]['position']}")["text"] == "{nonsense"
    assert client.json("/v1/dead-letters", reason="nothing like it")["dead_letters"] == []
    pages = client.pages("/v1/dead-letters", limit=1)
    assert [page["dead_letters"] for page in pages] == [[letter] for letter in letters]
    assert client.problem("/v1/dead-letters/99999999")["status"] == 404


def test_sources_are_the_lanes_of_a_store_alone(client: Client) -> None:
    (source,) = client.json("/v1/sources")["sources"]
    assert source["name"].endswith("events.jsonl")
    assert source["kind"] == "ndjson"
    assert (source["lag_ms"], source["events_per_s"]) == (None, None), "nobody knows, as the program may not run"


@pytest.mark.parametrize("path", ["/v1/statistics/quality/events?start=0", "/v1/events/1"])
def test_without_a_log_there_is_no_drill_down_and_it_says_why(client: Client, path: str) -> None:
    found = client.problem(path)
    assert (found["status"], found["type"]) == (501, "urn:streamgauge:problem:no-log")
    assert "--log FOLDER" in found["detail"]


def test_it_is_well_and_ready(client: Client) -> None:
    assert client.json("/healthz") == {
        "status": "ok",
        "parts": [{"name": "store", "condition": "ok", "why": ""}],
    }
    assert client.json("/readyz") == {"ready": True, "why": ""}


def test_nothing_new_is_not_sent_again(client: Client) -> None:
    path = "/v1/statistics/quality/cells?every=1h&limit=3"
    first = client.get(path)
    again = client.http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = client.http.get(path, headers={"If-None-Match": first.headers["etag"], "Accept": "text/csv"})
    assert other.status_code == 200


def test_a_relative_range_has_one_tag_as_long_as_its_windows_are_the_same(client: Client) -> None:
    tags = {client.get("/v1/statistics/months/cells?start=-50d&every=1mo").headers["etag"] for _ in range(3)}
    assert len(tags) == 1


def test_the_next_page_is_named_in_the_document_and_in_a_header(client: Client) -> None:
    found = client.get("/v1/statistics/quality/cells?every=1h&limit=2")
    assert found.headers["link"] == f'<{found.json()["next"]}>; rel="next"'


class TestGaps:
    def test_a_store_without_coverage_says_that_it_does_not_know(self, client: Client) -> None:
        found = client.cells("volume", every="1h", gaps="true")
        assert [row["coverage"] for row in found] == ["unknown"] * 6
        missing = found[QUIET]
        assert missing["start_ms"] == T + QUIET * HOUR
        assert (missing["n"], missing["events"], missing["last"]) == (None, None, None)

    def test_every_key_of_the_range_has_every_window(self, client: Client) -> None:
        found = client.cells("quality", every="6m", gaps="1", limit="max")
        keys = {row["carrier"] for row in found}
        assert len(found) == len(keys) * 60

    def test_what_is_there_is_as_without(self, client: Client, report: Report) -> None:
        found = client.cells("quality", every="6m", gaps="true", limit="max")
        there = [{n: v for n, v in row.items() if n != "coverage"} for row in found if row["events"] is not None]
        assert there == report.rows("quality", "6m")

    def test_a_named_key_has_its_row_where_it_has_no_cell(self, client: Client) -> None:
        quiet = {"start": T + QUIET * HOUR, "stop": T + (QUIET + 1) * HOUR}
        (row,) = client.cells("quality", ("key.carrier", "carrier-001"), every="1h", gaps="true", **quiet)
        assert (row["carrier"], row["attempts"]) == ("carrier-001", None)
        assert client.cells("quality", ("key.carrier", "nobody"), every="1h", gaps="true", **quiet) == []


class TestRolling:
    @pytest.mark.parametrize("rolling", ["12m", "1h", "3h"])
    def test_a_row_is_the_sum_of_consecutive_windows(self, client: Client, rolling: str) -> None:
        back = {"12m": 12, "1h": 60, "3h": 180}[rolling] * MINUTE
        found = client.cells("quality", every="6m", rolling=rolling, limit="max")
        for row in found:
            assert row["stop_ms"] - row["start_ms"] == back
            inside = [
                e for e in events() if row["start_ms"] <= e["time"] < row["stop_ms"] and e["carrier"] == row["carrier"]
            ]
            assert row["attempts"] == len(inside)
            assert row["talk_ms"] == sum(e["ms"] for e in inside)
        assert len({(row["stop_ms"], row["carrier"]) for row in found}) == len(found)
        assert {row["every"] for row in found} == {rolling}

    def test_a_window_without_a_cell_has_its_row_while_an_older_one_is_in_it(self, client: Client) -> None:
        found = client.cells("volume", every="6m", rolling="12m", limit="max")
        quiet = [row for row in found if T + QUIET * HOUR < row["stop_ms"] <= T + (QUIET + 1) * HOUR]
        assert [row["stop_ms"] - T - QUIET * HOUR for row in quiet] == [6 * MINUTE]

    def test_backwards_is_the_same_backwards(self, client: Client) -> None:
        forth = client.cells("quality", every="6m", rolling="1h", limit="max")
        back = client.cells("quality", every="6m", rolling="1h", limit="max", order="desc")
        assert back == sorted(forth, key=lambda row: -row["start_ms"])

    def test_with_a_roll_up(self, client: Client) -> None:
        found = client.cells("quality", every="1h", rolling="2h", rollup="", fields="stop_ms,attempts")
        for row in found:
            assert row["attempts"] == sum(row["stop_ms"] - 2 * HOUR <= e["time"] < row["stop_ms"] for e in events())


@pytest.mark.parametrize(
    ("path", "status", "parameter", "nearest"),
    [
        ("/v1/statistics/qualty/cells", 404, None, "quality"),
        ("/v1/statistics/quality/cells?evry=6m", 400, "evry", "every"),
        ("/v1/statistics/quality/cells?every=6min", 400, "every", "6m"),
        ("/v1/statistics/quality/cells?every=7m", 400, "every", None),
        ("/v1/statistics/quality/cells?limit=0", 400, "limit", None),
        ("/v1/statistics/quality/cells?limit=-1", 400, "limit", None),
        ("/v1/statistics/quality/cells?limit=1001", 400, "limit", None),
        ("/v1/statistics/quality/cells?start=soon", 400, "start", None),
        ("/v1/statistics/quality/cells?start=2024&stop=2023", 400, "start", None),
        ("/v1/statistics/quality/cells?start=99999-01-01", 400, "start", None),
        ("/v1/statistics/quality/cells?tz=Europe/Pari", 400, "tz", "Europe/Paris"),
        ("/v1/statistics/quality/cells?key.carier=x", 400, "key.carier", "key.carrier"),
        ("/v1/statistics/quality/cells?carrier=x", 400, "carrier", "key.carrier"),
        ("/v1/statistics/pairs/cells?key.code=x", 400, "key.code", None),
        ("/v1/statistics/pairs/cells?key.code__prefix=2", 400, "key.code__prefix", None),
        ("/v1/statistics/quality/cells?asr__lt=low", 400, "asr__lt", None),
        ("/v1/statistics/quality/cells?asr__les=1", 400, "asr__les", "asr__le"),
        ("/v1/statistics/quality/cells?as__lt=1", 400, "as__lt", "asr__lt"),
        ("/v1/statistics/quality/cells?codes__eq=1", 400, "codes__eq", None),
        ("/v1/statistics/quality/cells?order=attempt", 400, "order", "attempts"),
        ("/v1/statistics/quality/cells?order=codes", 400, "order", None),
        ("/v1/statistics/quality/cells?fields=start,carier", 400, "fields", "carrier"),
        ("/v1/statistics/quality/cells?rollup=carier", 400, "rollup", "carrier"),
        ("/v1/statistics/tags/cells?rollup=&key.tag=a", 400, "rollup", None),
        ("/v1/statistics/quality/cells?rolling=7m", 400, "rolling", None),
        ("/v1/statistics/months/cells?rolling=2d", 400, "rolling", None),
        ("/v1/statistics/quality/cells?gaps=maybe", 400, "gaps", None),
        ("/v1/statistics/quality/cells?gaps=true&rolling=1h", 400, "gaps", None),
        ("/v1/statistics/quality/cells?every=6m&every=1h", 400, "every", None),
        ("/v1/statistics/quality/cells?cursor=abc", 400, "cursor", None),
        ("/v1/statistics/quality/cells.cvs", 404, None, "csv"),
        ("/v1/statistics/quality/cell", 404, None, "/v1/statistics/NAME/cells"),
        ("/v1/statistics/quality/keys?ky.carrier=1", 400, "ky.carrier", "key.carrier"),
        ("/v1/dead-letters?reasn=x", 400, "reasn", "reason"),
        ("/v1/dead-letters?state=old", 400, "state", None),
        ("/v1/dead-letters/first", 400, "position", None),
        ("/v1/sources?x=1", 400, "x", None),
        ("/nothing", 404, None, None),
    ],
)
def test_what_is_wrong_is_named_with_the_nearest_right_one(
    client: Client, path: str, status: int, parameter: str | None, nearest: str | None
) -> None:
    found = client.problem(path)
    assert (found["status"], found.get("parameter")) == (status, parameter)
    if nearest:
        assert found["nearest"] == nearest
    assert found["detail"]


def test_what_cannot_be_done_says_what_can(client: Client) -> None:
    found = client.http.post("/v1/statistics")
    assert (found.status_code, found.headers["allow"]) == (405, "GET")
    assert found.json()["type"] == "urn:streamgauge:problem:method-not-allowed"


def test_a_cursor_belongs_to_its_query(client: Client) -> None:
    url = client.json("/v1/statistics/quality/cells?every=1h&limit=2")["next"]
    assert "another query" in client.problem(url.replace("every=1h", "every=6m"))["detail"]
    assert client.get(url.replace("limit=2", "limit=3")).status_code == 200


def test_a_store_alone_replays_nothing(client: Client) -> None:
    found = client.http.post("/v1/dead-letters/replay")
    assert (found.status_code, found.json()["type"]) == (501, "urn:streamgauge:problem:no-program")


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "position=-1", "after=x", "before=9999999999999999999"])
def test_a_replay_names_the_parameter_that_is_wrong(client: Client, query: str) -> None:
    found = client.http.post(f"/v1/dead-letters/replay?{query}")
    assert (found.status_code, found.json()["parameter"]) == (400, query.partition("=")[0])
