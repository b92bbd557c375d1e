"""Owns the guard over a run of pytest: a test fails in which a key reaches a log, here or in a program."""

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from .keyguard.watch import ON_STANDARD_OUTPUT, REPORT_VARIABLE, Guard

FOLDER = Path(__file__).parent
GUARD = Guard()


class KeyGuard:
    """The hooks; one object for one run."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="keyguard-"))
        self._report = self._folder / "findings"
        self._read_bytes = 0
        os.environ[REPORT_VARIABLE] = str(self._report)
        inherited = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(FOLDER), *([inherited] if inherited else [])])

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Fail setup, call or teardown if a key was found meanwhile, whatever its outcome was."""
        report = yield
        for title, text in report.sections:
            if title.endswith(call.when):
                allowed = ON_STANDARD_OUTPUT if "stdout" in title else ()
                GUARD.look_at(text, f"{title} of {item.nodeid}", allowed=allowed)
        findings = GUARD.take_findings() + self._findings_of_programs()
        if findings:
            report.outcome = "failed"
            before = f"{report.longreprtext}\n\n" if report.longrepr else ""
            report.longrepr = before + "\n".join(["A key reached a log:", *findings])
        return report

    def pytest_unconfigure(self) -> None:
        """Take away the folder that started programs reported to."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _findings_of_programs(self) -> list[str]:
        if not self._report.exists() or self._report.stat().st_size == self._read_bytes:
            return []
        with self._report.open("rb") as file:
            file.seek(self._read_bytes)
            new = file.read()
        self._read_bytes += len(new)
        return new.decode("utf-8", "replace").splitlines()


def install(config: pytest.Config) -> None:
    """Guard this run of pytest; call it before anything of Sealcast is imported."""
    GUARD.watch_keys()
    GUARD.watch_logs()
    config.pluginmanager.register(KeyGuard(), "keyguard")
