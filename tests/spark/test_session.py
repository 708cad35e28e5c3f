"""What is said before a session starts, and how one ends."""

from __future__ import annotations

import gc
import signal
import socket
import sys
from io import StringIO
from pathlib import Path

import pytest

from lth.errors import LthError, MissingExtraError
from lth.spark import session as sessions
from lth.spark.session import is_local, master_url, require_java, spark_session


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (None, "local[*,4]"),
        ("local", "local[1,4]"),
        ("local[*]", "local[*,4]"),
        ("local[3]", "local[3,4]"),
        ("local[3, 2]", "local[3,2]"),
        ("spark://10.0.0.1:7077", "spark://10.0.0.1:7077"),
        ("spark://a:7077,b:7077", "spark://a:7077,b:7077"),
        ("yarn", "yarn"),
        ("k8s://https://host:443", "k8s://https://host:443"),
    ],
)
def test_local_masters_try_again_and_others_stay(given: str | None, url: str):
    assert master_url(given) == url
    assert is_local(url) == url.startswith("local")


@pytest.mark.parametrize(
    "given", ["lokal", "local[0]", "local[", "spark://", "http://x", "10.0.0.1:7077", "yarn-client"]
)
def test_a_wrong_master_is_an_error(given: str):
    with pytest.raises(LthError, match=r"^--master: not a Spark master .* Write local\[\*\]"):
        master_url(given)


def test_without_java_the_cure_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(LthError, match=r"needs Java, which is not found .*openjdk-17-jre-headless"):
        require_java()


def test_without_pyspark_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lth\[spark\]'"), spark_session():
        pass


def test_a_master_that_does_not_answer_is_told_at_once():
    pytest.importorskip("pyspark")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers
        url = f"spark://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(LthError, match="no Spark master answers there"), spark_session(url):
            pass


def test_ports_are_bound_to_loopback_and_no_setting_is_a_secret():
    for url in ("local[*,4]", "spark://127.0.0.1:7077", "spark://10.0.0.1:7077", "yarn"):
        settings = sessions._settings(url)
        assert ("spark.driver.bindAddress" in settings) == (is_local(url) or "127." in url)
        assert settings["spark.ui.enabled"] == settings["spark.speculation"] == "false"
        assert not any("secret" in name for name in settings)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ('Setting default log level to "ERROR".\n26/11/30 22:29:00 ERROR Backend: killed\n', "Backend: killed"),
        ("Error: Could not find or load main class x\n", "Error: Could not find or load main class x"),
        ("one\n\nlast words\n", "gateway exited"),
        ("", "gateway exited"),
    ],
)
def test_of_the_log_the_reason_is_told(log: str, reason: str):
    assert sessions._reason(StringIO(log), RuntimeError("gateway exited\nmore")) == reason


@pytest.mark.long
def test_a_session_leaves_nothing_behind():
    from pyspark import SparkContext

    before = signal.getsignal(signal.SIGINT)
    ended = []

    def fail() -> None:
        with spark_session("local[1]") as session, spark_session() as again:
            assert again.sparkContext is session.sparkContext
            assert again.range(3).count() == 3
            ended.append(getattr(SparkContext._gateway, "proc"))  # noqa: B009
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ended[0].poll() is not None
    assert SparkContext._active_spark_context is None
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_why_spark_did_not_start_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch):
    for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR"):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(LthError, match=r"^yarn: Spark did not start: .*HADOOP_CONF_DIR") as caught,
        spark_session("yarn"),
    ):
        pass
    assert "\n" not in str(caught.value)
    del caught
    gc.collect()  # the pipe to a Java that did not start, which pyspark leaves open
