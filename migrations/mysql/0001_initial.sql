-- The whole store. Times are milliseconds since 1970-01-01 UTC. What each table is for: docs/store.md.

CREATE TABLE IF NOT EXISTS users (
    username VARCHAR(64) NOT NULL PRIMARY KEY,
    display_name VARCHAR(255) NOT NULL,
    role VARCHAR(32) NOT NULL,
    email VARCHAR(255),
    department VARCHAR(255),
    password_hash VARCHAR(255) NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- One row per patient of the application, with the ids that targets gave it.
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
    updated_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Public contract (docs/outbox.md): any application may insert here, in its own transaction. Rows are immutable.
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
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- One change for one target. active_key is NULL except while the delivery is in work, so that the unique key allows each
-- target at most one delivery of an aggregate at a time.
CREATE TABLE IF NOT EXISTS sync_delivery (
    target VARCHAR(64) NOT NULL,
    outbox_id BIGINT NOT NULL,
    aggregate_type VARCHAR(64) NOT NULL,
    aggregate_id VARCHAR(255) NOT NULL,
    status VARCHAR(16) NOT NULL,
    active_key VARCHAR(320),
    attempts BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT NOT NULL,
    lease_epoch BIGINT NOT NULL DEFAULT 0,
    error_kind VARCHAR(32),
    error_message VARCHAR(1024),
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    PRIMARY KEY (target, outbox_id),
    CONSTRAINT sync_delivery_one_active UNIQUE (active_key, target),
    KEY sync_delivery_due (target, status, next_attempt_at, outbox_id),
    KEY sync_delivery_aggregate (target, aggregate_type, aggregate_id, outbox_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- A batch of deliveries in work. Its epoch is the fence: whoever lost the row may no longer settle.
CREATE TABLE IF NOT EXISTS sync_lease (
    epoch BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    target VARCHAR(64) NOT NULL,
    owner VARCHAR(64) NOT NULL,
    acquired_at BIGINT NOT NULL,
    lease_until BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

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
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- What is known of each target: the adapter in force, the breaker, the last trouble.
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
    updated_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Which hosts are at work: a store that no host has looked at lately explains rows that stay pending.
CREATE TABLE IF NOT EXISTS sync_host (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    version VARCHAR(32) NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
