"""The README's comparison with other agents: each row of ours is what a test shows, and stands in the table."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
TESTS = Path(__file__).parent / "libraries"

# library -> row -> the tests that show what the row says of us, as "file: test test".
SHOWN = {
    "requests": {
        "redirects, logins, urllib3's retries": """requests_resends:
            test_each_attempt_of_urllib3_is_a_sibling_and_the_last_is_what_the_server_answered
            test_redirects_and_logins_count_on_whatever_was_sent_before""",
        "attributes": """requests: test_a_request_is_a_span_that_the_server_sees_as_its_parent
            http: test_a_template_names_the_span_and_samplers_see_it
            requests_resends: test_a_proxy_is_the_peer_and_the_server_is_who_was_asked""",
        "4xx": "requests: test_statuses_of_400_and_more_are_errors_without_a_description",
        "duration": """requests_bodies: test_a_slow_body_is_part_of_the_span_where_requests_reads_it
            test_a_streamed_response_ends_with_its_headers_whatever_becomes_of_it""",
        "URL credentials, secret parameters": """requests: test_secrets_of_a_url_stay_in_the_process
            test_a_refused_connection_is_an_error_whose_message_holds_no_secret""",
        "captured headers": "requests: test_headers_are_captured_by_name_and_masked",
    },
    "httpx": {
        "redirects and logins": "httpx_resends: test_redirects_and_a_digest_login_count_on",
        "duration": """httpx_bodies: test_a_slow_body_is_part_of_the_span_where_httpx_reads_it
            test_a_streamed_response_ends_with_its_headers_whatever_becomes_of_it""",
        "transports": "httpx: test_transports_mounts_auth_flows_and_subclasses_are_seen_once",
        "cancelled calls": "httpx: test_a_cancelled_request_is_no_error",
        "span name": """httpx: test_a_request_is_a_span_that_the_server_sees_as_its_parent
            http: test_a_template_names_the_span_and_samplers_see_it""",
    },
    "psycopg 3": {
        "statements": """psycopg: test_each_way_to_run_a_statement_makes_one_span
            test_executemany_is_a_batch_unless_of_one test_server_cursors_streams_and_copy
            psycopg_cursors: test_prepared_statements_and_other_cursors_are_spans_like_any""",
        "transactions": """psycopg: test_begin_statement_and_commit_are_three_spans_side_by_side
            test_transaction_blocks_show_their_savepoints
            psycopg_pipeline: test_transactions_and_savepoints_are_spans_there_too""",
        "pipelines": """psycopg_pipeline: test_a_span_lasts_until_its_own_answer
            test_an_error_belongs_to_its_statement_wherever_the_program_meets_it""",
        "connecting, pool waits": """psycopg_connecting: test_connecting_is_a_span_beside_what_comes_after_it
            test_a_refused_connection_is_told_with_the_address
            psycopg_pool: test_a_noticeable_wait_is_a_span_beside_the_statement test_a_wait_that_failed_is_an_error""",
        "names and attributes": """psycopg: test_begin_statement_and_commit_are_three_spans_side_by_side
            test_executemany_is_a_batch_unless_of_one
            psycopg_connecting: test_a_connection_with_one_schema_tells_it""",
        "errors": """psycopg: test_an_error_is_told_without_the_values_that_caused_it
            test_a_row_that_violates_a_constraint_is_not_told""",
        "literals": "psycopg: test_each_way_to_run_a_statement_makes_one_span",
    },
    "SQLAlchemy": {
        "one query over a traced driver": """sqlalchemy: test_core_over_a_traced_driver_makes_one_span_for_each_query
            test_the_begin_that_psycopg_sends_is_a_sibling_and_no_part_of_the_statement""",
        "insertmanyvalues, executemany": """sqlalchemy: test_each_batch_of_many_values_is_a_trip
            test_core_over_a_traced_driver_makes_one_span_for_each_query""",
        "connecting, pool waits, pings": """sqlalchemy_pool:
            test_connecting_is_one_span_if_it_takes_noticeable_time
            test_a_failed_connect_says_where_and_why_but_not_with_what_password
            test_waiting_for_the_pool_is_a_span test_a_ping_is_no_query_and_shows_where_it_is_slow""",
        "errors": "sqlalchemy: test_an_error_is_the_drivers_and_holds_no_value",
        "literals": "sqlalchemy: test_core_over_a_traced_driver_makes_one_span_for_each_query",
        "engines made before the agent": """sqlalchemy_dialects:
            test_an_engine_made_before_patching_is_traced_with_its_server""",
    },
    "redis-py": {
        "text": """redis: test_a_command_is_a_span_with_its_keys_and_without_its_values
            redis_clients: test_names_are_masked_on_request test_credentials_and_a_unix_socket""",
        "hit or miss": "redis_clients: test_a_read_of_one_key_tells_whether_there_was_one",
        "pipelines and transactions": "redis: test_a_pipeline_or_transaction_is_one_span",
        "scripts, locks, retries": """redis_scripts: test_a_script_that_has_to_be_loaded_first_is_one_call
            test_a_lock_is_its_commands
            redis_waiting: test_retries_inside_one_call_are_one_span""",
        "cluster, Sentinel": "redis_cluster: test_a_command_tells_the_node_that_answered test_sentinel",
        "waiting": """redis_waiting: test_a_blocking_command_that_nothing_came_for_is_no_error
            test_cancelled_calls_of_every_kind_are_no_errors
            test_a_noticeable_wait_for_a_pool_is_a_span_inside_the_call""",
        "pub/sub": "redis_waiting: test_subscribing_is_a_call_and_listening_is_none",
        "errors": "redis: test_an_error_is_told_without_the_values_in_it",
    },
}


def _rows() -> dict[str, list[list[str]]]:
    """Return the tables of the comparison: library -> rows of cells."""
    text = README.read_text(encoding="utf-8").partition("\n## Compared\n")[2].partition("\n## ")[0]
    tables: dict[str, list[list[str]]] = {}
    for title, lines in re.findall(r"\*\*([^*\n]+)\*\*\n\n((?:\|.*\n)+)", text):
        cells = [re.split(r"(?<!\\)\|", line.strip("|"))[:] for line in lines.strip().splitlines()[2:]]
        tables[title] = [[cell.strip() for cell in row] for row in cells]
    return tables


def test_each_row_of_the_comparison_has_its_tests_and_each_test_its_row() -> None:
    rows = {library: [row[0] for row in table] for library, table in _rows().items()}
    # The versions are those that the test files were run with; CI has the newest.
    assert {library: [row for row in table if row != "versions"] for library, table in rows.items()} == {
        library: list(shown) for library, shown in SHOWN.items()
    }
    assert all(len(row) == 4 and all(row) for table in _rows().values() for row in table)


@pytest.mark.parametrize(("library", "row"), [(library, row) for library, shown in SHOWN.items() for row in shown])
def test_the_tests_of_a_row_are_there(library: str, row: str) -> None:
    file = ""
    for word in SHOWN[library][row].split():
        if word.endswith(":"):
            file = word.removesuffix(":")
        else:
            tree = ast.parse((TESTS / f"test_{file}.py").read_text(encoding="utf-8"))
            assert word in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, file
