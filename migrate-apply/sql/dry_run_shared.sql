-- The parts of what all databases of a server share on which no lock stays until the end of a transaction.
select pg_catalog.concat(
    (select pg_catalog.array_agg(pg_catalog.concat_ws(' ', d.oid, d.datname, d.datdba, d.datconnlimit, d.datacl) order by d.oid)
     from pg_catalog.pg_database as d),
    (select pg_catalog.array_agg(pg_catalog.concat_ws(' ', t.oid, t.spcname, t.spcowner, t.spcacl, t.spcoptions) order by t.oid)
     from pg_catalog.pg_tablespace as t)
) as state
