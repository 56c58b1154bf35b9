-- The database $1; an interrupted DROP DATABASE leaves a connection limit of -2.
select datconnlimit = -2 as half_dropped from pg_database where datname = $1
