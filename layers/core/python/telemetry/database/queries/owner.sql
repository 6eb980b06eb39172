-- name: act_for_owner
-- From here to the end of the transaction, only this owner's rows are seen and changed. Both settings are the transaction's own, so that nothing is left on a connection that others share.
SELECT set_config('role', 'telemetry_api', true), set_config('telemetry.owner_user_id', :owner_user_id, true);
