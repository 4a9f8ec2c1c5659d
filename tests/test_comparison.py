"""The README's comparison with other agents: each row of ours is what a test shows, and stands in the table."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
TESTS = Path(__file__).parent

# library -> row -> the tests that show what the row says of us, as "file: test test".
SHOWN = {
    "HTTP servers": {
        "spans for a request": """asgi_frameworks: test_each_request_is_one_span_with_its_route
            gunicorn: test_the_span_of_a_framework_s_application_is_the_server_s_with_its_route
            starlette_layers: test_a_request_is_one_span_whatever_middleware_makes_of_its_scope""",
        "a bare WSGI or ASGI application": """waitress: test_a_bare_application_has_a_span_without_a_route
            asgi_servers: test_an_odd_application_answers_as_without_us_and_each_request_is_one_span""",
        "names": """flask: test_each_request_is_named_after_its_rule_below_the_root_of_the_application
            django: test_a_route_is_what_the_resolver_has_matched
            fastapi: test_routers_and_applications_inside_give_their_prefixes_to_the_route""",
        "mounted applications": "starlette: test_a_route_begins_at_the_root_through_all_mounts",
        "duration of a streamed body": """wsgi_servers:
            test_answers_are_the_same_to_the_byte_and_each_has_one_span_that_ends_with_it
            starlette_streams: test_a_stream_lasts_until_its_last_byte_or_its_clients_leave""",
        "a body that fails, a client that goes": """wsgi_servers:
            test_answers_are_the_same_to_the_byte_and_each_has_one_span_that_ends_with_it
            starlette_streams: test_a_stream_lasts_until_its_last_byte_or_its_clients_leave
            django_serving: test_a_client_that_hangs_up_ends_its_span_and_the_view_is_cancelled_as_ever""",
        "exceptions behind a 500": """flask_errors:
            test_the_exception_behind_an_error_page_is_told_and_none_of_an_answer_that_is_no_error
            django: test_an_error_is_the_exception_of_which_django_has_made_a_page
            starlette: test_the_exception_that_became_a_page_is_the_spans""",
        "4xx": "http_semantics: test_server_errors_are_errors_and_client_errors_are_not",
        "background tasks": """starlette_background: test_a_task_after_the_response_is_a_trace_of_its_own
            test_a_task_is_kept_if_and_only_if_its_request_was""",
        "WebSocket, 10 messages": "websockets: test_a_websocket_is_one_span_from_its_handshake_to_its_end",
        "malformed `traceparent`": """http_trace_context: test_a_malformed_traceparent_makes_a_new_trace
            test_none_or_several_make_a_new_trace""",
        "excluded health checks": """http_semantics: test_what_is_excluded_has_no_span_and_nothing_below_it
            two_services: test_nothing_below_an_excluded_request_is_traced_in_the_other_service_either""",
        "secret parameters": """waitress: test_a_bare_application_has_a_span_without_a_route
            http_arrival: test_the_query_is_masked_and_left_out_where_there_is_none""",
        "`X-Forwarded-For`, `Forwarded`": """http_semantics: test_all_that_can_be_told
            http_forwarded: test_of_forwarded_the_first_element_is_read""",
        "Django's settings": "django_handlers: test_settings_are_the_programs_to_make_when_it_likes",
        "trace id in the response": "http_semantics: test_the_client_is_told_its_trace",
    },
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
            (path,) = (*TESTS.glob(f"libraries/test_{file}.py"), *TESTS.glob(f"gateways/test_{file}.py"))
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert word in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, file
