from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.worklist.house import House, config_of
from triaged.store import Store


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A live house in the severity policy, with an empty store."""
    config = config_of(tmp_path)
    with Store(config.database) as store:
        yield House(store, config)
