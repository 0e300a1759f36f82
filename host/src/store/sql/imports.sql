-- How far imports have come (imports.rs).

-- name: import_progress
SELECT bytes_done, bytes_sha256, lines_done, created_count, updated_count, unchanged_count, repeated_count,
    rejected_count, incomplete_count, rejects_bytes, finished_at
FROM sync_import
WHERE id = :id;

-- name: delete_import
DELETE FROM sync_import WHERE id = :id;

-- name: begin_import
INSERT INTO sync_import
    (id, file, bytes_done, bytes_sha256, lines_done, created_count, updated_count, unchanged_count, repeated_count,
    rejected_count, rejects_bytes, started_at, updated_at)
VALUES (:id, :file, 0, '', 0, 0, 0, 0, 0, 0, 0, {now}, {now});

-- name: advance_import
-- By compare-and-set: an import that is not where this process left it is another process's.
UPDATE sync_import
SET bytes_done = :bytes_done,
    bytes_sha256 = :bytes_sha256,
    lines_done = :lines_done,
    created_count = :created,
    updated_count = :updated,
    unchanged_count = :unchanged,
    repeated_count = :repeated,
    rejected_count = :rejected,
    incomplete_count = :incomplete,
    rejects_bytes = :rejects_bytes,
    updated_at = {now},
    finished_at = CASE WHEN :finished = 1 THEN {now} END
WHERE id = :id AND bytes_done = :bytes_before;
