-- What the app needs, made when it is missing. Changes no data; safe to run at any time.
-- The variable `password` is set on standard input before this text; it stands nowhere else.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SELECT 'CREATE ROLE "tesslate_user" LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tesslate_user') \gexec
ALTER ROLE "tesslate_user" PASSWORD :'password';
SELECT 'CREATE DATABASE "tesslate" OWNER "tesslate_user"' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'tesslate') \gexec
SELECT 'CREATE DATABASE "tesslate_marketplace" OWNER "tesslate_user"' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'tesslate_marketplace') \gexec
