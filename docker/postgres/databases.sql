-- The databases beside shop, which the image itself makes.
CREATE DATABASE sink_a;
CREATE DATABASE sink_b;
CREATE DATABASE registry;

-- Who reads the sinks' rows back for the verifier, and may do nothing else.
CREATE ROLE verifier LOGIN PASSWORD 'verifier';
\connect sink_a
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT SELECT ON TABLES TO verifier;
\connect sink_b
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT SELECT ON TABLES TO verifier;
\connect postgres
