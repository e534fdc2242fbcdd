-- Gives each service a login of its own, with the password in the environment variable named here.
-- Run by psql as a superuser of the server, after `coinwatch db upgrade`; again to change a password.
\set ON_ERROR_STOP on

\getenv ingest_password INGEST_PASSWORD
\getenv alerts_password ALERTS_PASSWORD
\getenv pipelines_password PIPELINES_PASSWORD
\getenv dashboard_password DASHBOARD_PASSWORD

alter role coinwatch_ingest login password :'ingest_password';
alter role coinwatch_endpoint login password :'alerts_password';
alter role coinwatch_pipelines login password :'pipelines_password';
alter role coinwatch_dashboard login password :'dashboard_password';

-- The ingest daemon ends sessions that keep the queue of notifications from emptying.
grant pg_read_all_stats, pg_signal_backend to coinwatch_ingest;
