-- name: create_upload
-- Announces a file, and finds the newest session that the same owner's same bytes made already.
WITH made AS (
    INSERT INTO telemetry_artifacts (id, tenant_id, owner_user_id, original_file_name, content_type, byte_size, sha256,
                                     storage_path, finalise_on_receipt, session_name, expires_at)
    VALUES (:id, :tenant_id, :owner_user_id, :original_file_name, :content_type, :byte_size, :sha256,
            :storage_path, :finalise_on_receipt, :session_name, now() + make_interval(hours => :expiry_hours))
    RETURNING id, status, expires_at
)
SELECT made.id, made.status, made.expires_at, (
    SELECT earlier.session_id
    FROM telemetry_artifacts AS earlier
    WHERE earlier.owner_user_id = :owner_user_id AND earlier.sha256 = :sha256 AND earlier.byte_size = :byte_size
      AND earlier.session_id IS NOT NULL
    ORDER BY earlier.created_at DESC
    LIMIT 1
) AS duplicate_of
FROM made;

-- name: upload
-- One upload of an owner; one that ended before its time was given up.
SELECT id, session_id, status, original_file_name, content_type, byte_size, sha256, storage_path, uploaded_at,
       received_at, multipart_id, expires_at, expires_at <= now() AS overdue,
       status = 'EXPIRED' AND discarded_at < expires_at AS given_up
FROM telemetry_artifacts
WHERE id = :id AND owner_user_id = :owner_user_id;

-- name: abandon_upload
-- Gives up an upload that no session has; what still arrives for it is deleted again.
UPDATE telemetry_artifacts
SET status = 'EXPIRED', discarded_at = now()
WHERE id = :id AND owner_user_id = :owner_user_id AND status = 'UPLOADED' AND session_id IS NULL
RETURNING storage_path, multipart_id;

-- name: begin_parts
-- Keeps the store's id of an upload in parts; where one was begun before, that one stays.
UPDATE telemetry_artifacts
SET multipart_id = coalesce(multipart_id, :multipart_id)
WHERE id = :id AND owner_user_id = :owner_user_id AND status = 'UPLOADED' AND session_id IS NULL
RETURNING multipart_id;

-- name: announce_in_turn
-- Waits until no other announcement of the owner is under way; ends with the transaction.
SELECT 1 AS entered
FROM pg_advisory_xact_lock(hashtextextended(:owner_user_id, 0));

-- name: too_many_open_uploads
-- A row when the owner has as many uploads open as may be: announced, not finalised, not given up.
SELECT 1 AS reached
FROM telemetry_artifacts
WHERE owner_user_id = :owner_user_id AND status = 'UPLOADED' AND session_id IS NULL
OFFSET :most - 1
LIMIT 1;

-- name: uploads_to_finalise
-- The named uploads, only as far as they are the owner's.
SELECT id, session_id, session_name, tenant_id, original_file_name, status, byte_size, sha256, storage_path,
       multipart_id, expires_at <= now() AS overdue
FROM telemetry_artifacts
WHERE id = ANY (CAST(:ids AS uuid[])) AND owner_user_id = :owner_user_id;

-- name: lock_uploads
-- Holds the named uploads until the transaction ends, in one order for all, and tells what became of them meanwhile.
SELECT id, session_id, status
FROM telemetry_artifacts
WHERE id = ANY (CAST(:ids AS uuid[])) AND owner_user_id = :owner_user_id
ORDER BY id
FOR UPDATE;

-- name: attach_upload
-- Gives an upload to its session, with the stored object that was seen.
UPDATE telemetry_artifacts
SET session_id = :session_id, received_at = coalesce(received_at, now()), object_etag = :object_etag,
    object_version = :object_version
WHERE id = :id AND status = 'UPLOADED' AND session_id IS NULL
RETURNING id;

-- name: upload_of_object
-- The upload whose bytes a stored object is; whose it is follows from the row, as an event of the store knows no owner.
SELECT id, tenant_id, owner_user_id, session_id, status, byte_size, sha256, received_at, discarded_at,
       finalise_on_receipt
FROM telemetry_artifacts
WHERE id = :id AND storage_path = :storage_path;

-- name: record_receipt
-- The bytes of an upload are in the store; the first event counts.
UPDATE telemetry_artifacts
SET received_at = now(), object_etag = :object_etag, object_version = :object_version
WHERE id = :id AND status = 'UPLOADED' AND received_at IS NULL
RETURNING id;
