/**
 * The shapes of the API's answers that the page reads, as types alone. See openapi.json for all of them.
 * `npx -p typescript tsc -p infra/jsconfig.json` checks the types of all modules.
 *
 * @typedef {'processing' | 'ready' | 'failed' | 'cancelled'} SessionStatus
 * @typedef {{method: string, url: string, headers: Record<string, string>, expiresAt: string}} SignedRequest
 * @typedef {{code: string, message: string}} Failure
 * @typedef {{job: string, status: string, attempt: number, maxAttempts: number, nextRetryAt: string | null}} Progress
 * @typedef {{distanceM?: number | null, durationMs?: number, points?: number, lapCount?: number, lapsLeftOut?: number,
 *   bestLapMs?: number | null, bestLapNumber?: number | null, theoreticalBestMs?: number | null,
 *   boundingBox?: number[] | null}} Summary
 * @typedef {{sessionId: string, name: string, status: SessionStatus, startTimeUtc: string, endTimeUtc: string,
 *   deviceId: string | null, summary: Summary, createdAt: string, updatedAt: string, failure?: Failure}} Session
 * @typedef {{uploadId: string, fileName: string, byteSize: number, sha256: string, status: string,
 *   format: string | null, compression: string | null, receivedAt: string | null, discardedAt: string | null}} SessionFile
 * @typedef {{count: number, firstRows?: number[]}} Tally
 * @typedef {Record<string, any>} Quality
 * @typedef {{datasetId: string, uploadId: string, stream: string, schemaVersion: number, rowCount: number,
 *   byteSize: number, sha256: string, startTimeUtc: string, endTimeUtc: string, quality: Quality,
 *   download?: SignedRequest}} Dataset
 * @typedef {{latitude1Deg: number, longitude1Deg: number, latitude2Deg: number, longitude2Deg: number}} Line
 * @typedef {Line & {sectors?: Line[]}} Gate
 * @typedef {Session & {runId: string | null, gate?: Gate, gateFailure?: Failure,
 *   progress?: Progress, files: SessionFile[], datasets: Dataset[], laps: {lapNumber: number, kind: string, durationMs: number}[]}} SessionDetail
 * @typedef {{lapNumber: number, kind: 'out' | 'timed' | 'in', startTimeUtc: string, endTimeUtc: string,
 *   durationMs: number, durationUncertaintyMs: number | null, distanceM: number | null, maxSpeedMps: number | null,
 *   source: 'file' | 'detected', sectorsMs: (number | null)[]}} Lap
 * @typedef {{geometry: {type: 'LineString' | 'MultiLineString', coordinates: any[]},
 *   properties: {uploadId: string, coordinateProperties: {times: any[], speedsMps: any[]}}}} TrackFeature
 * @typedef {{features: TrackFeature[]}} Track
 * @typedef {{deviceId: string, manufacturer: string | null, model: string | null, serialNumber: string | null,
 *   name: string | null}} Device
 * @typedef {{uploadId: string, status: string, sessionId: string | null, receivedAt: string | null,
 *   upload?: SignedRequest}} Upload
 * @typedef {{uploadId: string, status: string, upload: SignedRequest, duplicateOf?: string}} CreatedUpload
 * @typedef {{partSize: number, partCount: number, received: {partNumber: number, byteSize: number, sha256: string}[]}} PartList
 */

export {};
