-- The whole store of version 0.1.0. Times are milliseconds since 1970-01-01 UTC. What each table is for: docs/store.md.
-- Ids are compared byte for byte: `T-1` and `T-1 ` are two patients. `{NO_PAD_BIN}` is the collation of this server that does
-- so: utf8mb4_nopad_bin on MariaDB, utf8mb4_0900_bin on MySQL.

CREATE TABLE IF NOT EXISTS {USERS_TABLE_QUOTED} (
    username VARCHAR(64) NOT NULL PRIMARY KEY,
    display_name VARCHAR(255) NOT NULL,
    role VARCHAR(32) NOT NULL,
    email VARCHAR(255),
    department VARCHAR(255),
    password_hash VARCHAR(255) NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- One row for each patient of the application, with the ids that targets gave. `id_padding` holds eight bytes until the
-- id of OpenEMR is written, so that the row keeps its length.
CREATE TABLE IF NOT EXISTS patient_cache (
    patient_id VARCHAR(64) NOT NULL PRIMARY KEY,
    family_name VARCHAR(255) NOT NULL,
    given_name VARCHAR(255) NOT NULL,
    middle_name VARCHAR(255),
    native_family_name VARCHAR(255),
    native_given_name VARCHAR(255),
    title VARCHAR(64),
    suffix VARCHAR(64),
    birth_date VARCHAR(10) NOT NULL,
    gender VARCHAR(16) NOT NULL,
    marital_status VARCHAR(32),
    phone_home VARCHAR(64),
    phone_mobile VARCHAR(64),
    phone_work VARCHAR(64),
    email VARCHAR(255),
    street VARCHAR(255),
    street_line_2 VARCHAR(255),
    city VARCHAR(255),
    state VARCHAR(255),
    postal_code VARCHAR(32),
    country VARCHAR(3),
    language VARCHAR(35),
    race VARCHAR(64),
    ethnicity VARCHAR(64),
    national_id VARCHAR(64),
    deceased_date VARCHAR(10),
    openemr_patient_id BIGINT,
    fhir_patient_id VARCHAR(255),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    id_padding BINARY(8) DEFAULT '00000000'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- Public contract (docs/outbox.md): any application may insert here, in its own transaction. Rows are immutable.
-- In this row format a number that is NULL has its space already, so that writing `routed_at` does not move the row.
CREATE TABLE IF NOT EXISTS sync_outbox (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    event_id VARCHAR(36) NOT NULL DEFAULT (UUID()),
    aggregate_type VARCHAR(64) NOT NULL,
    aggregate_id VARCHAR(255) NOT NULL,
    operation VARCHAR(16) NOT NULL,
    payload LONGTEXT NOT NULL,
    trace_context VARCHAR(255),
    created_at BIGINT NOT NULL DEFAULT (CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)),
    routed_at BIGINT,
    CONSTRAINT sync_outbox_event_id UNIQUE (event_id),
    KEY sync_outbox_unrouted (routed_at, id)
) ENGINE=InnoDB ROW_FORMAT=REDUNDANT DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- One change for one target. `next_attempt_at` is NULL while the delivery is in flight or finished, and the largest number
-- while it is failed, so that the index of what is due holds only what a claim may take. No index holds the status, so that a
-- delivery goes from processing to done without a new index entry. All statuses take the same space, and one of next
-- attempt, lease and end is set at a time: so the row keeps its length and is written without moving.
CREATE TABLE IF NOT EXISTS sync_delivery (
    target VARCHAR(64) NOT NULL,
    outbox_id BIGINT NOT NULL,
    aggregate_type VARCHAR(64) NOT NULL,
    aggregate_id VARCHAR(255) NOT NULL,
    status CHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT,
    lease_id BIGINT,
    error_kind VARCHAR(32),
    error_message VARCHAR(1024),
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    PRIMARY KEY (target, outbox_id),
    KEY sync_delivery_due (target, next_attempt_at, outbox_id),
    KEY sync_delivery_aggregate (aggregate_id, aggregate_type, target, outbox_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- What is in flight. The key allows a target one delivery of an aggregate at a time, over all hosts.
CREATE TABLE IF NOT EXISTS sync_in_flight (
    target VARCHAR(64) NOT NULL,
    aggregate_type VARCHAR(64) NOT NULL,
    aggregate_id VARCHAR(255) NOT NULL,
    outbox_id BIGINT NOT NULL,
    lease_id BIGINT NOT NULL,
    PRIMARY KEY (target, aggregate_type, aggregate_id),
    KEY sync_in_flight_lease (lease_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- One row for each batch in flight. Its id is the fencing token: a host that does not find the row may no longer settle.
CREATE TABLE IF NOT EXISTS sync_lease (
    lease_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    target VARCHAR(64) NOT NULL,
    owner VARCHAR(64) NOT NULL,
    acquired_at BIGINT NOT NULL,
    lease_until BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- The id map: what each target confirmed last.
CREATE TABLE IF NOT EXISTS sync_link (
    target VARCHAR(64) NOT NULL,
    aggregate_type VARCHAR(64) NOT NULL,
    aggregate_id VARCHAR(255) NOT NULL,
    remote_id VARCHAR(255) NOT NULL,
    remote_version VARCHAR(255),
    fingerprint VARCHAR(255),
    delivered_outbox_id BIGINT NOT NULL,
    synced_at BIGINT NOT NULL,
    PRIMARY KEY (target, aggregate_type, aggregate_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- What is known of each target: the active adapter, the breaker, the last failure. `route_revision` counts the changes of what
-- is routed there, so that a host notices that its routes are old.
CREATE TABLE IF NOT EXISTS sync_target (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    enabled BIGINT NOT NULL,
    paused BIGINT NOT NULL DEFAULT 0,
    state VARCHAR(16) NOT NULL,
    breaker VARCHAR(16) NOT NULL DEFAULT 'closed',
    breaker_until BIGINT,
    adapter_name VARCHAR(64),
    adapter_version VARCHAR(64),
    adapter_sha256 VARCHAR(64),
    previous_sha256 VARCHAR(64),
    summary VARCHAR(255),
    error_kind VARCHAR(32),
    error_message VARCHAR(1024),
    error_at BIGINT,
    updated_at BIGINT NOT NULL,
    aggregate_types LONGTEXT,
    route_revision BIGINT NOT NULL DEFAULT 0,
    probe_requests BIGINT NOT NULL DEFAULT 0,
    batch_max BIGINT
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- The running hosts, and the targets that each of them has.
CREATE TABLE IF NOT EXISTS sync_host (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    version VARCHAR(32) NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    targets LONGTEXT
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- How far `host import` has come in each file, and which bytes those were.
CREATE TABLE IF NOT EXISTS sync_import (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    file VARCHAR(1024) NOT NULL,
    bytes_done BIGINT NOT NULL,
    bytes_sha256 VARCHAR(64) NOT NULL,
    lines_done BIGINT NOT NULL,
    created_count BIGINT NOT NULL,
    updated_count BIGINT NOT NULL,
    unchanged_count BIGINT NOT NULL,
    repeated_count BIGINT NOT NULL,
    rejected_count BIGINT NOT NULL,
    rejects_bytes BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finished_at BIGINT,
    incomplete_count BIGINT NOT NULL DEFAULT 0
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- How many deliveries each target has, so that no command counts millions of them.
CREATE TABLE IF NOT EXISTS sync_count (
    target VARCHAR(64) NOT NULL,
    shard BIGINT NOT NULL,
    made BIGINT NOT NULL,
    done BIGINT NOT NULL,
    superseded BIGINT NOT NULL,
    dismissed BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (target, shard)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- What happened to the adapters of each target: activated, rejected, rolled back.
CREATE TABLE IF NOT EXISTS sync_adapter_event (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    target VARCHAR(64) NOT NULL,
    sha256 VARCHAR(64) NOT NULL,
    name VARCHAR(64),
    version VARCHAR(64),
    event VARCHAR(16) NOT NULL,
    reason VARCHAR(1024),
    host VARCHAR(64),
    at BIGINT NOT NULL,
    KEY sync_adapter_event_target (target, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- Adapters that are or were active, in pieces, so that every host can load the same one.
CREATE TABLE IF NOT EXISTS sync_adapter_part (
    sha256 VARCHAR(64) NOT NULL,
    part BIGINT NOT NULL,
    parts BIGINT NOT NULL,
    bytes LONGBLOB NOT NULL,
    PRIMARY KEY (sha256, part)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- What operators requested of each target's adapter: which one was rolled back, and how many reloads.
CREATE TABLE IF NOT EXISTS sync_adapter_control (
    target VARCHAR(64) NOT NULL PRIMARY KEY,
    rejected_sha256 VARCHAR(64),
    reload_requests BIGINT NOT NULL DEFAULT 0
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- What operators should know of changes that were not refused: types that no target takes, times in another unit.
CREATE TABLE IF NOT EXISTS sync_notice (
    kind VARCHAR(32) NOT NULL,
    subject VARCHAR(64) NOT NULL,
    changes BIGINT NOT NULL,
    last_change_id BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- Failed deliveries that an operator dismissed, with the reason.
CREATE TABLE IF NOT EXISTS sync_dismissal (
    target VARCHAR(64) NOT NULL,
    outbox_id BIGINT NOT NULL,
    reason VARCHAR(1024) NOT NULL,
    dismissed_by VARCHAR(64) NOT NULL,
    dismissed_at BIGINT NOT NULL,
    PRIMARY KEY (target, outbox_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- One row: the newest time that hosts have seen on the store's clock, and a step of it that is not trusted yet.
CREATE TABLE IF NOT EXISTS sync_clock (
    id BIGINT NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL,
    doubted_at BIGINT,
    step_ms BIGINT
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

-- What a store was made with and keeps: the name of its table of users ([store] users_table).
CREATE TABLE IF NOT EXISTS sync_setting (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    value VARCHAR(255) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={NO_PAD_BIN};

INSERT IGNORE INTO sync_setting (name, value) VALUES ('users_table', '{USERS_TABLE}');
