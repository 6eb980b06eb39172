-- Devices, sessions and artifacts: what an owner sees.

CREATE TABLE telemetry_devices (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    owner_user_id text NOT NULL,
    manufacturer text,
    model text,
    serial_number text,
    name text,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT telemetry_devices_pkey PRIMARY KEY (id),
    CONSTRAINT telemetry_devices_one_per_real_device
        UNIQUE NULLS NOT DISTINCT (owner_user_id, manufacturer, model, serial_number),
    CONSTRAINT telemetry_devices_first_seen_before_last_seen CHECK (first_seen_at <= last_seen_at)
);

COMMENT ON TABLE telemetry_devices IS 'A recording device of an owner, as its recordings name it; one row per real device.';
COMMENT ON COLUMN telemetry_devices.id IS 'Identity.';
COMMENT ON COLUMN telemetry_devices.owner_user_id IS 'Whose device it is: the subject of the token.';
COMMENT ON COLUMN telemetry_devices.manufacturer IS 'Maker as the recording names it; null when it does not.';
COMMENT ON COLUMN telemetry_devices.model IS 'Model or product as the recording names it; null when it does not.';
COMMENT ON COLUMN telemetry_devices.serial_number IS 'Serial number as the recording names it; null when it does not.';
COMMENT ON COLUMN telemetry_devices.name IS 'Name to show.';
COMMENT ON COLUMN telemetry_devices.first_seen_at IS 'Start of the earliest recording made with it.';
COMMENT ON COLUMN telemetry_devices.last_seen_at IS 'End of the latest recording made with it.';
COMMENT ON COLUMN telemetry_devices.created_at IS 'When the row was made.';
COMMENT ON COLUMN telemetry_devices.updated_at IS 'When the row last changed; kept by a trigger.';
COMMENT ON CONSTRAINT telemetry_devices_one_per_real_device ON telemetry_devices
    IS 'What a recording leaves out counts as equal, so that a device without a serial number is still one row. Serves the upsert and the owner''s list of devices.';

CREATE TABLE telemetry_sessions (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id text NOT NULL,
    owner_user_id text NOT NULL,
    device_id uuid,
    name text NOT NULL,
    status text NOT NULL DEFAULT 'PROCESSING',
    start_time_utc timestamptz NOT NULL DEFAULT now(),
    end_time_utc timestamptz NOT NULL DEFAULT now(),
    summary jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT telemetry_sessions_pkey PRIMARY KEY (id),
    CONSTRAINT telemetry_sessions_device_id_fkey FOREIGN KEY (device_id)
        REFERENCES telemetry_devices (id) ON DELETE SET NULL,
    CONSTRAINT telemetry_sessions_status_known CHECK (status IN ('PROCESSING', 'READY', 'FAILED', 'CANCELLED')),
    CONSTRAINT telemetry_sessions_start_before_end CHECK (start_time_utc <= end_time_utc),
    CONSTRAINT telemetry_sessions_summary_is_object CHECK (jsonb_typeof(summary) = 'object')
);

COMMENT ON TABLE telemetry_sessions IS 'One outing as the owner sees it, made by finalising one or more uploads.';
COMMENT ON COLUMN telemetry_sessions.id IS 'Identity.';
COMMENT ON COLUMN telemetry_sessions.tenant_id IS 'Tenant of the owner; part of the storage paths.';
COMMENT ON COLUMN telemetry_sessions.owner_user_id IS 'Whose session it is: the subject of the token.';
COMMENT ON COLUMN telemetry_sessions.device_id IS 'Device that recorded it; null until known, or when the recording does not say.';
COMMENT ON COLUMN telemetry_sessions.name IS 'Name to show; the owner may change it.';
COMMENT ON COLUMN telemetry_sessions.status IS 'PROCESSING, READY, FAILED or CANCELLED; transitions are guarded by a trigger.';
COMMENT ON COLUMN telemetry_sessions.start_time_utc IS 'First time of the canonical data; created_at until a run succeeds.';
COMMENT ON COLUMN telemetry_sessions.end_time_utc IS 'Last time of the canonical data; created_at until a run succeeds.';
COMMENT ON COLUMN telemetry_sessions.summary IS 'Distance, duration, points, bounding box, lap count and best lap, in the API''s own names; empty until a run succeeds.';
COMMENT ON COLUMN telemetry_sessions.created_at IS 'When the row was made.';
COMMENT ON COLUMN telemetry_sessions.updated_at IS 'When the row last changed; kept by a trigger.';

CREATE INDEX telemetry_sessions_owner_newest_idx ON telemetry_sessions (owner_user_id, created_at DESC, id DESC);
COMMENT ON INDEX telemetry_sessions_owner_newest_idx IS 'Serves the owner''s list of sessions, newest first, page by page after the cursor (created_at, id).';
CREATE INDEX telemetry_sessions_device_idx ON telemetry_sessions (device_id) WHERE device_id IS NOT NULL;
COMMENT ON INDEX telemetry_sessions_device_idx IS 'Serves the list of sessions by device, and the foreign key when a device is deleted.';

CREATE TABLE telemetry_artifacts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    session_id uuid,
    session_name text,
    tenant_id text NOT NULL,
    owner_user_id text NOT NULL,
    original_file_name text NOT NULL,
    content_type text NOT NULL,
    byte_size bigint NOT NULL,
    sha256 text NOT NULL,
    status text NOT NULL DEFAULT 'UPLOADED',
    storage_path text,
    uploaded_at timestamptz NOT NULL DEFAULT now(),
    received_at timestamptz,
    object_etag text,
    object_version text,
    format text,
    compression text,
    finalise_on_receipt boolean NOT NULL DEFAULT false,
    expires_at timestamptz NOT NULL,
    discarded_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT telemetry_artifacts_pkey PRIMARY KEY (id),
    CONSTRAINT telemetry_artifacts_session_id_fkey FOREIGN KEY (session_id)
        REFERENCES telemetry_sessions (id) ON DELETE CASCADE,
    CONSTRAINT telemetry_artifacts_same_bytes_once_per_session UNIQUE (session_id, sha256, byte_size),
    CONSTRAINT telemetry_artifacts_status_known CHECK (
        status IN ('UPLOADED', 'VALIDATED', 'CLASSIFIED', 'PARSED', 'DISCARDED', 'REJECTED', 'EXPIRED')
    ),
    CONSTRAINT telemetry_artifacts_uploaded_has_storage_path CHECK (status <> 'UPLOADED' OR storage_path IS NOT NULL),
    CONSTRAINT telemetry_artifacts_discarded_has_time CHECK (status <> 'DISCARDED' OR discarded_at IS NOT NULL),
    CONSTRAINT telemetry_artifacts_expired_has_no_session CHECK (status <> 'EXPIRED' OR session_id IS NULL),
    CONSTRAINT telemetry_artifacts_byte_size_not_negative CHECK (byte_size >= 0),
    CONSTRAINT telemetry_artifacts_sha256_is_hex CHECK (sha256 ~ '^[0-9a-f]{64}$')
);

COMMENT ON TABLE telemetry_artifacts IS 'One uploaded file; the API''s upload until it is finalised.';
COMMENT ON COLUMN telemetry_artifacts.id IS 'Identity; the upload id of the API.';
COMMENT ON COLUMN telemetry_artifacts.session_id IS 'Session that finalising made; null until then.';
COMMENT ON COLUMN telemetry_artifacts.session_name IS 'Name that the session gets when the upload finalises itself on receipt; null for the file''s own name.';
COMMENT ON COLUMN telemetry_artifacts.tenant_id IS 'Tenant of the owner; part of the storage path.';
COMMENT ON COLUMN telemetry_artifacts.owner_user_id IS 'Whose upload it is: the subject of the token.';
COMMENT ON COLUMN telemetry_artifacts.original_file_name IS 'The file''s name on the owner''s side; never part of a path.';
COMMENT ON COLUMN telemetry_artifacts.content_type IS 'Media type as announced; signed into the upload address.';
COMMENT ON COLUMN telemetry_artifacts.byte_size IS 'Size in bytes as announced; signed into the upload address.';
COMMENT ON COLUMN telemetry_artifacts.sha256 IS 'SHA-256 of the bytes as announced, 64 lower-case hex digits; signed into the upload address.';
COMMENT ON COLUMN telemetry_artifacts.status IS 'UPLOADED, VALIDATED, CLASSIFIED, PARSED, DISCARDED, REJECTED or EXPIRED; transitions are guarded by a trigger.';
COMMENT ON COLUMN telemetry_artifacts.storage_path IS 'Where the raw bytes lie: an object key, or a local path.';
COMMENT ON COLUMN telemetry_artifacts.uploaded_at IS 'When the upload was announced.';
COMMENT ON COLUMN telemetry_artifacts.received_at IS 'When the bytes were first seen in storage; null while they are expected.';
COMMENT ON COLUMN telemetry_artifacts.object_etag IS 'ETag of the stored object; a reader asks for exactly these bytes.';
COMMENT ON COLUMN telemetry_artifacts.object_version IS 'Version id of the stored object where the bucket keeps versions.';
COMMENT ON COLUMN telemetry_artifacts.format IS 'Format as classified; null until then.';
COMMENT ON COLUMN telemetry_artifacts.compression IS 'Compression as classified; null until then, or when there is none.';
COMMENT ON COLUMN telemetry_artifacts.finalise_on_receipt IS 'True: the session is made as soon as the bytes arrive, without a further call.';
COMMENT ON COLUMN telemetry_artifacts.expires_at IS 'When an upload that was never finalised expires.';
COMMENT ON COLUMN telemetry_artifacts.discarded_at IS 'When the raw bytes were deleted; null while they are kept.';
COMMENT ON COLUMN telemetry_artifacts.created_at IS 'When the row was made.';
COMMENT ON COLUMN telemetry_artifacts.updated_at IS 'When the row last changed; kept by a trigger.';
COMMENT ON CONSTRAINT telemetry_artifacts_same_bytes_once_per_session ON telemetry_artifacts
    IS 'Finalising twice, or with the same bytes twice, cannot double a session''s data. Serves the search by session.';

CREATE INDEX telemetry_artifacts_owner_newest_idx ON telemetry_artifacts (owner_user_id, created_at DESC, id DESC);
COMMENT ON INDEX telemetry_artifacts_owner_newest_idx IS 'Serves the search for an owner''s uploads, newest first.';
CREATE INDEX telemetry_artifacts_duplicate_idx ON telemetry_artifacts (owner_user_id, sha256, byte_size)
    WHERE session_id IS NOT NULL;
COMMENT ON INDEX telemetry_artifacts_duplicate_idx IS 'Serves the search for a session that the owner''s same bytes already made.';
CREATE INDEX telemetry_artifacts_expiring_idx ON telemetry_artifacts (expires_at)
    WHERE status = 'UPLOADED' AND session_id IS NULL;
COMMENT ON INDEX telemetry_artifacts_expiring_idx IS 'Serves the search for uploads that were never finalised in time.';
CREATE INDEX telemetry_artifacts_raw_kept_idx ON telemetry_artifacts (received_at)
    WHERE discarded_at IS NULL AND received_at IS NOT NULL;
COMMENT ON INDEX telemetry_artifacts_raw_kept_idx IS 'Serves the search for raw bytes whose retention has passed.';
CREATE INDEX telemetry_artifacts_discarded_idx ON telemetry_artifacts (discarded_at) WHERE discarded_at IS NOT NULL;
COMMENT ON INDEX telemetry_artifacts_discarded_idx IS 'Serves the second look at raw bytes discarded lately, which a still valid upload address could revive.';
