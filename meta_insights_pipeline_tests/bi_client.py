"""A BI tool in a process of its own: a SQLAlchemy engine, as dashboards have it. `python -m ... FILE hold|each`.

`hold` keeps a pool of connections open until it is told to let go of them, and draws its tiles anew all the time; `each` opens a
connection for each question, and asks when it is told to. For each line on stdin, `ask` or `release`, it prints one JSON object.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import sqlalchemy
from sqlalchemy.pool import NullPool, QueuePool

CONNECTIONS = 3
QUESTIONS = {
    "tables": "SELECT count(*) FROM ad_insights",
    "spend": "SELECT sum(spend) FROM ad_insights",
    "mart": "SELECT sum(spend) FROM campaign_report",
    "ledger": "SELECT sum(account_value) FROM reconciliation WHERE level = 'ad' AND metric = 'spend'",
    "actions": "SELECT sum(value) FROM insight_actions_as_of(TIMESTAMP '9999-01-01')",
    "read_at": "SELECT max(collected_at) FROM pipeline.coverage",
}


class Dashboard:
    """Tiles of a page, and what they have shown since somebody asked."""

    def __init__(self, engine: sqlalchemy.Engine) -> None:
        """Prepare; nothing is drawn yet."""
        self._engine = engine
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._seen: set[str] = set()
        self._drawn, self._slowest = 0, 0.0

    @contextmanager
    def drawn_anew(self) -> Iterator[None]:
        """Draw all the time, until the end of the block."""
        thread = threading.Thread(target=self._draw)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def ask(self) -> dict[str, Any]:
        """Draw once more, and tell everything that was shown since the last question, and how long a drawing took at most."""
        self._look()
        with self._lock:
            answer = {"seen": [json.loads(one) for one in self._seen], "drawn": self._drawn, "slowest": self._slowest}
            self._seen.clear()
            self._drawn, self._slowest = 0, 0.0
        return answer

    def release(self) -> dict[str, Any]:
        """Close every connection; the next drawing opens new ones."""
        with self._lock:
            self._engine.dispose()
        return {"released": True}

    def _draw(self) -> None:
        while not self._ended.wait(0.05):
            self._look()

    def _look(self) -> None:
        with self._lock:
            began = time.monotonic()
            connections = [self._engine.connect() for _ in range(CONNECTIONS)]
            try:
                # One question on one connection, the next on another, as tiles of a page.
                found = {
                    name: str(connections[place % CONNECTIONS].execute(sqlalchemy.text(statement)).scalar())
                    for place, (name, statement) in enumerate(QUESTIONS.items())
                }
            finally:
                for connection in connections:
                    connection.close()
            self._seen.add(json.dumps(found))
            self._drawn += 1
            self._slowest = max(self._slowest, time.monotonic() - began)


def main(file: str, manner: str) -> None:
    """Answer until stdin ends."""
    pool = QueuePool if manner == "hold" else NullPool
    engine = sqlalchemy.create_engine(f"duckdb:///{file}?access_mode=read_only", poolclass=pool)
    shown = sqlalchemy.inspect(engine)
    tell({"tables": shown.get_table_names(), "views": shown.get_view_names()})
    dashboard = Dashboard(engine)
    with dashboard.drawn_anew() if manner == "hold" else nullcontext():
        for line in sys.stdin:
            tell(dashboard.ask() if line.strip() == "ask" else dashboard.release())
    engine.dispose()


def tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
