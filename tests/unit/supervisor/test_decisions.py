"""The pure rules: back-off, idling, exits, hints, transitions, the environment."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverproxy.supervisor.backoff import decide_start, recent_starts, rest_after
from serverproxy.supervisor.environment import MARK, app_environment
from serverproxy.supervisor.exits import ExitVerdict, judge_exit
from serverproxy.supervisor.hints import explain_exit, explain_timeout, signal_name
from serverproxy.supervisor.idle import judge_idle
from serverproxy.supervisor.spec import AppPolicy, LaunchSpec, TcpEndpoint
from serverproxy.supervisor.state import AppState, may_follow


@pytest.mark.parametrize(
    ("starts", "failed_at", "explicit", "wait_s", "limited"),
    [
        ((), None, False, 0, False),
        ((99.0,), None, False, 0, False),
        ((99.0,), 99.5, False, 1.5, False),
        ((99.0,), 99.5, True, 0, False),
        ((80.0, 99.0), 99.5, False, 3.5, False),
        ((80.0, 99.0), 90.0, False, 0, False),
        ((70.0, 80.0, 99.0), 99.5, True, 30, True),
        ((70.0, 80.0, 99.0), None, True, 30, True),
        ((40.0, 80.0, 99.0), 99.5, True, 0, False),  # exactly a window ago
        ((60.0, 70.0, 80.0, 99.0), 99.5, True, 30, True),
    ],
)
def test_decide_start(
    starts: tuple[float, ...],
    failed_at: float | None,
    explicit: bool,
    wait_s: float,
    limited: bool,
) -> None:
    decision = decide_start(
        starts, 100.0, max_starts=3, window_s=60, failed_at=failed_at, explicit=explicit
    )
    assert decision.wait_s == pytest.approx(wait_s)
    assert decision.limited == limited
    assert decision.allowed == (wait_s == 0)


@given(st.lists(st.tuples(st.floats(0, 300), st.booleans()), max_size=60))
def test_no_sequence_of_requests_exceeds_the_limit(requests: list[tuple[float, bool]]) -> None:
    starts: list[float] = []
    failed_at: float | None = None
    for now, explicit in sorted(requests):
        if decide_start(
            starts, now, max_starts=3, window_s=60, failed_at=failed_at, explicit=explicit
        ).allowed:
            starts.append(now)
            failed_at = now
    assert all(len(recent_starts(starts[: i + 1], at, 60)) <= 3 for i, at in enumerate(starts))


@given(
    st.lists(st.floats(0, 100), max_size=8), st.floats(100, 200), st.integers(1, 4), st.booleans()
)
def test_after_the_wait_it_is_allowed(
    starts: list[float], now: float, most: int, explicit: bool
) -> None:
    failed_at = max(starts, default=None)

    def decide(at: float) -> float:
        return decide_start(
            starts, at, max_starts=most, window_s=60, failed_at=failed_at, explicit=explicit
        ).wait_s

    assert decide(now + decide(now) + 60.001) == 0
    if explicit:
        assert decide(now + decide(now) + 0.001) == 0


def test_rests_grow_up_to_a_window() -> None:
    assert [rest_after(count, 60) for count in (0, 1, 2, 3, 5, 6, 50)] == [2, 2, 4, 8, 32, 60, 60]


@pytest.mark.parametrize(
    ("quiet", "idle_after", "state", "stop", "again"),
    [
        (0, None, AppState.READY, False, 60),
        (59.9, None, AppState.READY, False, 0.1),
        (60, None, AppState.IDLE, False, None),
        (-5, None, AppState.READY, False, 60),
        (10, 30, AppState.READY, False, 20),
        (30, 30, AppState.READY, True, 30),
        (90, 100, AppState.IDLE, False, 10),
        (100, 100, AppState.IDLE, True, None),
    ],
)
def test_judge_idle(
    quiet: float, idle_after: float | None, state: AppState, stop: bool, again: float | None
) -> None:
    verdict = judge_idle(quiet, AppPolicy(idle_after_s=idle_after))
    assert (verdict.state, verdict.stop) == (state, stop)
    assert verdict.look_again_s == (None if again is None else pytest.approx(again))


@pytest.mark.parametrize(
    ("ready", "code", "alive", "listening", "verdict"),
    [
        (False, 0, True, False, ExitVerdict.BACKGROUND),
        (False, 0, False, False, ExitVerdict.FAILED),
        (False, 1, True, False, ExitVerdict.FAILED),
        (False, -9, False, False, ExitVerdict.FAILED),
        (False, None, False, False, ExitVerdict.FAILED),
        (True, 0, False, False, ExitVerdict.STOPPED),
        (True, 0, True, True, ExitVerdict.BACKGROUND),
        (True, 0, True, False, ExitVerdict.STOPPED),
        (True, None, True, True, ExitVerdict.BACKGROUND),
        (True, None, False, False, ExitVerdict.STOPPED),
        (True, 3, True, True, ExitVerdict.FAILED),
        (True, -15, False, False, ExitVerdict.FAILED),
    ],
)
def test_judge_exit(
    ready: bool, code: int | None, alive: bool, listening: bool, verdict: ExitVerdict
) -> None:
    found = judge_exit(was_ready=ready, returncode=code, others_alive=alive, listening=listening)
    assert found is verdict


@pytest.mark.parametrize(
    ("returncode", "line", "oom", "code"),
    [
        (1, "ERROR system error 13 (Permission denied) [path: /x/session-rpc-key]",
         0, "rstudio_rpc_key"),
        (1, "unable to read session-rpc-key: permission denied", None, "rstudio_rpc_key"),
        (1, "java.net.BindException: Address already in use", 0, "address_in_use"),
        (1, "Error: listen EADDRINUSE: 127.0.0.1:3333", 0, "address_in_use"),
        (1, 'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space', 0,
         "java_out_of_memory"),
        (1, "Could not reserve enough space for 2097152KB object heap", 0, "heap_too_large"),
        (1, "Invalid maximum heap size: -Xmx99999999G", 0, "heap_too_large"),
        (1, "There is insufficient memory for the Java Runtime Environment to continue.", 0,
         "heap_too_large"),
        (1, "java.lang.UnsupportedClassVersionError: com/google/refine/Refine", 0,
         "java_too_old"),
        (127, "./refine: 1: java: not found", 0, "no_java"),
        (1, "Error: JAVA_HOME is not set and java could not be found", 0, "no_java"),
        (127, "sh: 1: rserver: not found", 0, "command_not_found"),
        (127, "", 0, "command_not_found"),
        (1, "ModuleNotFoundError: No module named 'dash'", 0, "command_not_found"),
        (126, "", 0, "permission_denied"),
        (1, "PermissionError: [Errno 13] Permission denied: '/srv/x'", 0, "permission_denied"),
        (1, "OSError: [Errno 28] No space left on device", 0, "disk_full"),
        (-9, "", 1, "out_of_memory"),
        (137, "", 2, "out_of_memory"),
        (-9, "", 0, "killed"),
        (-9, "", None, "killed"),
        (1, "", 5, "crashed"),  # the kernel killed somebody else
        (-11, "", 0, "killed"),
        (1, "something odd", 0, "crashed"),
        (0, "", 0, "crashed"),
    ],
)  # fmt: skip
def test_explain_exit(returncode: int, line: str, oom: int | None, code: str) -> None:
    failure = explain_exit(
        "OpenRefine", returncode=returncode, was_ready=True, log_tail=["before", line],
        oom_kills=oom,
    )  # fmt: skip
    assert failure.code == code
    assert failure.message.startswith("OpenRefine ")
    assert failure.fix.endswith(".")
    assert failure.log_tail == ("before", line)
    assert (failure.exit_code is None) == (returncode < 0)


def test_an_early_exit_without_a_hint() -> None:
    failure = explain_exit("X", returncode=2, was_ready=False, log_tail=[], oom_kills=None)
    assert (failure.code, failure.exit_code, failure.signal) == ("exited_early", 2, None)
    assert failure.message == "X ended with exit code 2 before it answered."


def test_signal_names() -> None:
    assert signal_name(-signal.SIGKILL) == "SIGKILL"
    assert signal_name(-63) == "signal 63"
    assert signal_name(1) is None
    assert signal_name(None) is None


def test_a_timeout_may_have_a_known_cause() -> None:
    failure = explain_timeout("X", waited_s=5, log_tail=["EADDRINUSE"])
    assert (failure.code, failure.cause) == ("start_timeout", "address_in_use")
    assert explain_timeout("X", waited_s=5, log_tail=["busy"]).cause is None


def test_every_end_goes_through_stopping() -> None:
    for state in (AppState.STARTING, AppState.READY, AppState.IDLE):
        assert may_follow(state, AppState.STOPPING)
        assert not may_follow(state, AppState.STOPPED)
        assert not may_follow(state, AppState.FAILED)
    assert not may_follow(AppState.STOPPED, AppState.READY)
    assert not may_follow(AppState.STOPPING, AppState.STARTING)


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("JUPYTER_TOKEN", False),
        ("JUPYTERHUB_API_TOKEN", False),
        ("JPY_API_TOKEN", False),
        ("JPY_PARENT_PID", False),
        ("JPY_SESSION_NAME", False),
        ("CONFIGPROXY_AUTH_TOKEN", False),
        ("JUPYTERHUB_CRYPT_KEY", False),
        ("JUPYTERHUB_COOKIE_OPTIONS", False),
        ("JUPYTER_SERVER_PASSWORD", False),
        ("_XSRF", False),
        ("_xsrf", False),
        (MARK, False),
        ("JUPYTERHUB_USER", True),
        ("JUPYTERHUB_SERVICE_PREFIX", True),
        ("JUPYTER_PATH", True),
        ("GITHUB_TOKEN", True),
        ("PATH", True),
        ("R_HOME", True),
    ],
)
def test_environment(name: str, stays: bool) -> None:
    assert app_environment({name: "x"}) == ({name: "x"} if stays else {})


def test_an_entry_may_keep_a_credential() -> None:
    base = {"JUPYTERHUB_API_TOKEN": "x", "JPY_API_TOKEN": "y"}
    kept = app_environment(base, keep={"JUPYTERHUB_API_TOKEN"})
    assert kept == {"JUPYTERHUB_API_TOKEN": "x"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"poll_interval_s": 0.3},
        {"poll_interval_s": 0},
        {"stop_grace_s": -1},
        {"idle_after_s": 0},
        {"max_starts": 0},
        {"log_bytes": 10},
        {"ready_timeout_s": float("nan")},
    ],
)
def test_a_policy_refuses_nonsense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AppPolicy(**wrong)  # type: ignore[arg-type]  # nonsense is the point


def test_a_launch_shows_no_secret() -> None:
    spec = LaunchSpec(
        argv=["x", "--password=hush"],
        env={"A": "hush"},
        endpoint=TcpEndpoint(port=1),
        probe_headers={"Authorization": "hush"},
    )
    assert "hush" not in repr(spec)
