"""What the table of single variables can't show: ratios, samplers, fallbacks, secrets, and saying things once."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given as random
from hypothesis import settings as effort
from hypothesis import strategies as st

from otel_run import settings, variables
from process.children import OTEL_RUN, environment, run

if TYPE_CHECKING:
    from pathlib import Path

RATIO = "parentbased_traceidratio"


def read(**environ: str) -> tuple[settings.Settings, dict[str, settings.Problem]]:
    found, problems = settings.read({f"OTEL_{name}": value for name, value in environ.items()}, lambda group: [])
    assert len({problem.variable for problem in problems}) == len(problems), "a variable is named twice"
    assert found.unusable == tuple(problem.variable for problem in problems)
    return found, {problem.variable: problem for problem in problems}


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("0", 0), ("1", 1), ("0.25", 0.25), ("1e-3", 0.001), ("1%", 0.01), ("10 %", 0.1), (" 5% ", 0.05), ("100%", 1)],
)
def test_a_ratio_may_be_a_share_or_a_percentage(text: str, ratio: float) -> None:
    found, problems = read(TRACES_SAMPLER=RATIO, TRACES_SAMPLER_ARG=text)
    assert (found.ratio, problems) == (ratio, {})


@pytest.mark.parametrize(
    "text", ["o.1", "0,1", "0_1", "-0.1", "-1%", "1.5", "10", "101%", "%", "nan", "inf", "1e400", "0x1", "9" * 5000]
)
@pytest.mark.parametrize("sampler", [RATIO, "traceidratio"])
def test_a_ratio_that_cannot_be_read_is_one_percent_and_never_everything(sampler: str, text: str) -> None:
    found, problems = read(TRACES_SAMPLER=sampler, TRACES_SAMPLER_ARG=text)
    assert (found.sampler, found.ratio) == (sampler, 0.01)
    problem = problems.pop("OTEL_TRACES_SAMPLER_ARG")
    assert (problem.given, problem.used) == (text, "0.01, that is 1 %")
    assert not problems


@pytest.mark.parametrize(
    ("given", "argument", "sampler", "ratio"),
    [
        ("always_of", "", "always_off", 1.0),
        ("alwayson", "", "always_on", 1.0),
        ("alwayson", "0.1", "always_on", 1.0),
        ("trace_id_ratio", "0.1", "traceidratio", 0.1),
        ("parentbased_traceidratoi", "0.1", RATIO, 0.1),
        # A ratio beside a name that could be anything is a wish for that ratio, not for everything.
        ("parentbased", "0.1", RATIO, 0.1),
        ("probabilistic", "0.1", RATIO, 0.1),
        ("zzz", "0.1", RATIO, 0.1),
        ("zzz", "", "parentbased_always_on", 1.0),
        ("zzz", "junk", RATIO, 0.01),
        ("0.1", "", RATIO, 0.1),
        ("5%", "", RATIO, 0.05),
        ("off", "", "always_off", 1.0),
        ("None", "", "always_off", 1.0),
        ("xray", "", RATIO, 0.01),
        ("jaeger_remote", "", RATIO, 0.01),
        ("parentbased_jaeger_remote", "0.2", RATIO, 0.2),
        ("jaeger_remote", "endpoint=http://h:1,initialSamplingRate=0.5", RATIO, 0.01),
    ],
)
def test_a_sampler_that_does_not_exist_is_the_nearest_one(
    given: str, argument: str, sampler: str, ratio: float
) -> None:
    found, problems = read(TRACES_SAMPLER=given, TRACES_SAMPLER_ARG=argument)
    assert (found.sampler, found.ratio) == (sampler, ratio)
    told = f"{sampler} with {ratio:g}" if ratio < 1 else sampler
    assert (problems["OTEL_TRACES_SAMPLER"].given, problems["OTEL_TRACES_SAMPLER"].used) == (given, told)


def test_an_installed_entry_point_is_asked_for_only_when_no_name_of_ours_fits() -> None:
    asked: list[str] = []

    def installed(group: str) -> list[str]:
        asked.append(group)
        return ["MySampler"]

    assert settings.read({"OTEL_TRACES_SAMPLER": "Always_On"}, installed)[0].sampler == "always_on"
    assert asked == []
    assert settings.read({"OTEL_TRACES_SAMPLER": "mysampler"}, installed)[0].sampler == "MySampler"
    assert asked == ["opentelemetry_traces_sampler"]


@pytest.mark.parametrize(
    ("value", "usable"),
    [("token=s3cret,nonsense", {"token": "s3cret"}), ("s3cret", {}), ("a=s3cret%0d%0aB: c", {}), ("a=s3cret;x", {})],
)
@pytest.mark.parametrize("name", ["EXPORTER_OTLP_HEADERS", "EXPORTER_OTLP_TRACES_HEADERS"])
def test_a_secret_header_is_never_shown(name: str, value: str, usable: dict[str, str]) -> None:
    found, problems = read(**{name: value})
    assert found.otlp_headers == usable
    assert "s3cret" not in problems[f"OTEL_{name}"].line()


@pytest.mark.parametrize(
    "url", ["htps://me:s3cret@h:4318", "http://me:s3cret@h:99999", "me:s3cret@h", "http://m:s3cret@"]
)
def test_the_password_of_a_bad_url_is_never_shown(url: str) -> None:
    line = read(EXPORTER_OTLP_ENDPOINT=url)[1]["OTEL_EXPORTER_OTLP_ENDPOINT"].line()
    assert "s3cret" not in line


@pytest.mark.parametrize(
    ("specific", "bad", "generic", "good", "field", "value"),
    [
        ("EXPORTER_OTLP_TRACES_TIMEOUT", "soon", "EXPORTER_OTLP_TIMEOUT", "700", "otlp_timeout", 700),
        ("EXPORTER_OTLP_TRACES_PROTOCOL", "grcp", "EXPORTER_OTLP_PROTOCOL", "GRPC", "otlp_protocol", "grpc"),
        ("EXPORTER_OTLP_TRACES_HEADERS", "nonsense", "EXPORTER_OTLP_HEADERS", "a=b", "otlp_headers", {"a": "b"}),
        ("SPAN_ATTRIBUTE_COUNT_LIMIT", "-5", "ATTRIBUTE_COUNT_LIMIT", "9", "span_attribute_count_limit", 9),
    ],
)
def test_a_specific_variable_falls_back_to_the_generic_one(
    specific: str, bad: str, generic: str, good: str, field: str, value: object
) -> None:
    found, problems = read(**{specific: bad, generic: good})
    assert getattr(found, field) == value
    assert list(problems) == [f"OTEL_{specific}"]
    found, problems = read(**{specific: good, generic: bad})
    assert getattr(found, field) == value
    assert f"OTEL_{specific}" not in problems


def test_what_can_be_read_of_a_list_is_used() -> None:
    found, problems = read(PROPAGATORS="b3,tracecontxt", RESOURCE_ATTRIBUTES="a=1,b", PYTHON_EXCLUDED_URLS="x,(,y")
    assert (found.propagators, found.resource_attributes) == (("b3",), {"a": "1"})
    assert found.excluded_urls == ("x", "y")
    assert problems["OTEL_PROPAGATORS"].hint == "did you mean tracecontext ?"
    assert len(problems) == 3


def test_a_library_has_its_own_excluded_urls_or_the_general_ones() -> None:
    found, problems = read(
        PYTHON_EXCLUDED_URLS="all", PYTHON_FLASK_EXCLUDED_URLS="a,b", PYTHON_Aio_Pika_EXCLUDED_URLS="c"
    )
    assert found.excluded_urls_by_library == {"flask": ("a", "b"), "aio_pika": ("c",)}
    assert [found.excluded_urls_of(name) for name in ("flask", "aio_pika", "django")] == [("a", "b"), ("c",), ("all",)]
    assert problems == {}


@pytest.mark.parametrize("own", ["", " \t", "("])
def test_a_library_whose_own_excluded_urls_cannot_be_used_has_the_general_ones(own: str) -> None:
    found, problems = read(PYTHON_EXCLUDED_URLS="all", PYTHON_FLASK_EXCLUDED_URLS=own)
    assert found.excluded_urls_by_library == {}
    assert found.excluded_urls_of("flask") == ("all",)
    told = [(problem.variable, problem.given, problem.used) for problem in problems.values()]
    assert told == ([("OTEL_PYTHON_FLASK_EXCLUDED_URLS", "(", "OTEL_PYTHON_EXCLUDED_URLS")] if own == "(" else [])


def test_of_a_library_s_own_excluded_urls_those_that_can_be_read_are_used() -> None:
    found, problems = read(PYTHON_EXCLUDED_URLS="(", PYTHON_FLASK_EXCLUDED_URLS="x,(")
    assert (found.excluded_urls, found.excluded_urls_of("flask")) == ((), ("x",))
    assert {problem.variable: problem.used for problem in problems.values()} == {
        "OTEL_PYTHON_EXCLUDED_URLS": "none",
        "OTEL_PYTHON_FLASK_EXCLUDED_URLS": "x",
    }


def test_variables_that_only_look_like_those_of_a_library_are_none() -> None:
    names = ("OTEL_PYTHON__EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS", "PYTHON_FLASK_EXCLUDED_URLS", "OTEL_PYTHON_")
    found, problems = settings.read(dict.fromkeys(names, "x"), lambda group: [])
    assert (found.excluded_urls_by_library, problems) == ({}, [])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("pattern", ["[[a]", "a{99999999999999}", "(" * 5000 + ")" * 5000, "a**"])
def test_a_pattern_that_re_refuses_in_whatever_way_is_left_out(pattern: str) -> None:
    assert read(PYTHON_EXCLUDED_URLS=f"{pattern},x")[0].excluded_urls == ("x",)


def test_a_batch_larger_than_the_queue_is_cut_and_said_only_if_it_was_asked_for() -> None:
    found, problems = read(BSP_MAX_QUEUE_SIZE="100")
    assert (found.bsp_max_export_batch_size, problems) == (100, {})
    for batch in ("200", "many"):
        found, problems = read(BSP_MAX_QUEUE_SIZE="100", BSP_MAX_EXPORT_BATCH_SIZE=batch)
        assert found.bsp_max_export_batch_size == 100
        problem = problems["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"]
        assert (problem.given, problem.used) == (batch, "100, the queue's size")


def test_a_timeout_in_seconds_is_used_as_written_and_said_to_look_wrong() -> None:
    found, problems = read(EXPORTER_OTLP_TIMEOUT="10")
    assert found.otlp_timeout == 10
    assert "looks wrong" in problems["OTEL_EXPORTER_OTLP_TIMEOUT"].line()
    assert "write 10000" in problems["OTEL_EXPORTER_OTLP_TIMEOUT"].hint


def test_settings_never_change() -> None:
    found, _ = read()
    with pytest.raises(AttributeError):
        found.debug = True
    with pytest.raises(AttributeError):
        del found.debug
    found.resource_attributes["mine"] = "x"
    found.otlp_headers["mine"] = "x"
    again, _ = read()
    assert (found.debug, again.resource_attributes, again.otlp_headers) == (False, {}, {})


TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="0123456789-+.eE_%:,;=/@[]() \t\"'", max_size=40),
    st.binary(max_size=20).map(os.fsdecode),
)


@effort(max_examples=60, deadline=None, database=None)
@random(environ=st.fixed_dictionaries({name: TEXTS for row in variables.ROWS for name in row.variables}))
def test_reading_never_raises_and_a_problem_is_one_ascii_line(environ: dict[str, str]) -> None:
    found, problems = settings.read(environ, lambda group: ["other"])
    assert 0 <= found.ratio <= 1
    assert set(vars(found)) == set(settings.Settings.__annotations__)
    for problem in problems:
        line = problem.line()
        assert len(line.splitlines()) == 1
        assert line.startswith(f'{problem.variable}="')


def test_a_problem_is_said_once_in_a_tree_of_processes(tmp_path: Path) -> None:
    child = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', 'pass'], check=True)"
    env = environment(OTEL_EXPORTER_OTLP_TIMEOUT="soon", OTEL_TRACES_SAMPLER="always_of")
    done = run([*OTEL_RUN, sys.executable, "-c", f"{child}; {child}"], tmp_path, env=env)
    assert (done.returncode, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    assert [line.split("=")[0] for line in lines] == [
        "otel-run: OTEL_EXPORTER_OTLP_TIMEOUT",
        "otel-run: OTEL_TRACES_SAMPLER",
    ]
    again = run(
        [*OTEL_RUN, sys.executable, "-c", "pass"], tmp_path, env={**env, "OTEL_RUN_SAID": "OTEL_TRACES_SAMPLER"}
    )
    assert len(again.stderr.splitlines()) == 1
