"""The database's shape, as ordered migrations (sqlite-utils). A migration that has shipped is never edited.

No row per slice: the files are the truth for images. Times are ISO 8601 UTC with microseconds, so that text sorts
as time; *_mono columns are CLOCK_MONOTONIC seconds and mean nothing after a reboot.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from triaged.store import rows, search

migrations = Migrations("triaged")


@migrations()
def m001_first_tables(db: Database) -> None:
    for statement in _FIRST_TABLES.split(";"):
        if statement.strip():
            db.execute(statement)


@migrations()
def m002_images_that_came_again_with_other_content(db: Database) -> None:
    db.execute("ALTER TABLE studies ADD COLUMN other_versions INTEGER NOT NULL DEFAULT 0")


@migrations()
def m003_search_and_indexes(db: Database) -> None:
    """Nothing leaves the history: what the board asks twice a second must not read all of it."""
    db.execute("ALTER TABLE studies ADD COLUMN search TEXT NOT NULL DEFAULT ''")
    for study_uid, header in db.execute("SELECT study_uid, header FROM studies").fetchall():
        text = search.text_of(rows.HEADER.validate_json(header))
        db.execute("UPDATE studies SET search = ? WHERE study_uid = ?", (text, study_uid))
    for statement in _INDEXES.split(";"):
        if statement.strip():
            db.execute(statement)


# The conditions of partial indexes stand in the queries word for word: SQLite takes them by that.
_INDEXES = """
DROP INDEX studies_by_state;
CREATE INDEX studies_by_state ON studies (state, received_at);
CREATE INDEX studies_by_reading ON studies (reading, changed_since_read, read_at, state, is_reference, pinned_at);
CREATE INDEX studies_listed ON studies (arrival_seq)
    WHERE reading != 'read' AND NOT (is_reference = 1 AND pinned_at IS NULL) AND state != 'withdrawn';
CREATE INDEX studies_prior ON studies (received_at) WHERE is_reference = 1;
CREATE INDEX studies_to_search ON studies (received_at, search);
CREATE INDEX studies_by_completion ON studies (completed_at);
CREATE INDEX studies_unsettled ON studies (arrival_seq) WHERE generation > settled_generation;
CREATE INDEX studies_unexamined ON studies (arrival_seq) WHERE settled_generation > examined_generation;
CREATE INDEX studies_claimed ON studies (claim_token) WHERE claim_token IS NOT NULL
"""

_FIRST_TABLES = """
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE studies (
    study_uid TEXT PRIMARY KEY,
    arrival_seq INTEGER NOT NULL UNIQUE,
    received_at TEXT NOT NULL,
    header TEXT NOT NULL,
    calling_ae TEXT NOT NULL,
    called_ae TEXT NOT NULL,
    order_priority TEXT NOT NULL,
    priority_source TEXT NOT NULL,
    state TEXT NOT NULL,
    reason_code TEXT,
    reason TEXT,
    revision INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    generation INTEGER NOT NULL DEFAULT 0,
    settled_generation INTEGER NOT NULL DEFAULT 0,
    examined_generation INTEGER NOT NULL DEFAULT 0,
    partial INTEGER NOT NULL DEFAULT 0,
    is_reference INTEGER NOT NULL DEFAULT 0,
    first_mono REAL NOT NULL,
    last_arrival_mono REAL NOT NULL,
    claim_token TEXT,
    claimed_by TEXT,
    claim_beat_mono REAL,
    choice TEXT,
    findings TEXT,
    completed_at TEXT,
    urgency REAL NOT NULL DEFAULT 0,
    tier INTEGER NOT NULL,
    baseline_tier INTEGER NOT NULL,
    due TEXT NOT NULL,
    baseline_due TEXT NOT NULL,
    reading TEXT NOT NULL DEFAULT 'unread',
    reader TEXT NOT NULL DEFAULT '',
    reading_expires_at TEXT,
    read_at TEXT,
    changed_since_read INTEGER NOT NULL DEFAULT 0,
    pinned_at TEXT,
    pinned_by TEXT NOT NULL DEFAULT '',
    pin_reason TEXT NOT NULL DEFAULT '',
    images_removed_at TEXT
) STRICT;

CREATE INDEX studies_in_reading_order ON studies (reading, is_reference, tier, due, arrival_seq);
CREATE INDEX studies_by_state ON studies (state);

CREATE TABLE series (
    series_uid TEXT NOT NULL,
    study_uid TEXT NOT NULL REFERENCES studies (study_uid) ON DELETE CASCADE,
    modality TEXT NOT NULL,
    description TEXT NOT NULL,
    kernel TEXT NOT NULL,
    slice_thickness_mm REAL,
    instance_count INTEGER NOT NULL,
    PRIMARY KEY (study_uid, series_uid)
) STRICT;

CREATE TABLE touches (
    association TEXT NOT NULL,
    study_uid TEXT NOT NULL REFERENCES studies (study_uid) ON DELETE CASCADE,
    last_arrival_mono REAL NOT NULL,
    closed_mono REAL,
    PRIMARY KEY (association, study_uid)
) STRICT;

CREATE INDEX touches_by_study ON touches (study_uid);

CREATE TABLE outcomes (
    study_uid TEXT NOT NULL REFERENCES studies (study_uid) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason_code TEXT,
    reason TEXT,
    choice TEXT,
    findings TEXT,
    committed_at TEXT NOT NULL,
    PRIMARY KEY (study_uid, revision)
) STRICT;

CREATE TABLE deliveries (
    delivery_id INTEGER PRIMARY KEY,
    study_uid TEXT NOT NULL REFERENCES studies (study_uid) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    role TEXT NOT NULL,
    sop_uid TEXT NOT NULL UNIQUE,
    series_uid TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    path TEXT,
    sha256 TEXT,
    last_error TEXT,
    created_at TEXT NOT NULL,
    not_before TEXT NOT NULL,
    sent_at TEXT,
    UNIQUE (study_uid, revision, role)
) STRICT;

CREATE INDEX deliveries_due ON deliveries (state, not_before);

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    study_uid TEXT,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    digest TEXT NOT NULL
) STRICT;

CREATE INDEX events_by_study ON events (study_uid, seq);
"""
