-- What the app needs, made when it is missing. Changes no data; safe to run at any time.
-- The variable `password` is set on standard input before this text; it stands nowhere else.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SELECT 'CREATE ROLE "notes" LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'notes') \gexec
ALTER ROLE "notes" PASSWORD :'password';
SELECT 'CREATE DATABASE "notes" OWNER "notes"' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'notes') \gexec
