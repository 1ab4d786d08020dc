"""What every request handler works with, built once by `create_app`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi.templating import Jinja2Templates

from triaged.clock import Now
from triaged.config import Config
from triaged.store import Store
from triaged.web import words
from triaged.web.access import Access
from triaged.web.actions import Actions
from triaged.web.live import Boards
from triaged.web.status import DaemonStatus, since, troubles
from triaged.worklist.board import Board
from triaged.worklist.why import finding_words


@dataclass(frozen=True, kw_only=True)
class Parts:
    config: Config
    store: Store
    status: Callable[[], DaemonStatus]
    access: Access
    actions: Actions
    boards: Boards
    templates: Jinja2Templates

    def top_line(self, now: Now) -> dict[str, object]:
        """The words of the trust line and the banner; also what the event stream repeats."""
        board = self.boards.read(now)
        return {
            "received": since(board.last_received_at, now, "none yet"),
            "result": since(board.last_result_at, now, "none yet"),
            "queue": words.plural(board.queue_depth, "study", "studies") if board.queue_depth else "none",
            "troubles": troubles(self.status()),
            "counts": {"to_read": len(board.items)} | {str(name): n for name, n in board.tab_counts.items()},
            "changed": self._changed(board),
            "switched": board.is_switched,
        }

    def _changed(self, board: Board) -> dict[str, object]:
        """New results of studies that were read before: how many, and the latest in words."""
        latest = board.latest_changed
        if latest is None or latest.completed_at is None:
            return {"count": 0, "at": "", "words": ""}
        shown = words.STATES[latest.state]
        if latest.findings is not None:
            shown = finding_words(latest.findings, self.config.worklist)
        name = words.person_name(latest.header.patient_name)
        return {
            "count": board.changed,
            "at": latest.completed_at.isoformat(),
            "words": f"New result since it was read: {name}, {shown}",
        }

    def marks(self) -> list[tuple[str, str]]:
        """Permanent marks: (short name, what it means)."""
        said = []
        if self.config.mode == "shadow":
            said.append(("shadow mode", "Scores are shown. The order is not changed and nothing is sent to the PACS."))
        if self.status().synthetic_weights:
            said.append(("research weights", "A model in use was trained on synthetic data. Not for diagnosis."))
        if self.config.installation == "test":
            said.append(("test installation", "Not for patient care."))
        return said
