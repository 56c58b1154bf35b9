-- Whether this server and this role can be written to.
-- group: preflight
-- pass: this is a primary that can be written to
-- meaning: A standby, or a server or role that is set to read only, takes no migration.
-- hint: connect to the primary; migrate.toml or DATABASE_URL names another one
select 'server' as object, 'this is a standby' as message
where pg_is_in_recovery()
union all
-- The role's own setting: ours is read only on purpose.
select 'role ' || quote_ident(r.rolname), 'default_transaction_read_only is on for it'
from pg_roles as r
where r.rolname = session_user
  and exists (select from pg_db_role_setting as s
              cross join lateral unnest(s.setconfig) as setting
              where s.setrole = r.oid and setting = 'default_transaction_read_only=on')
order by 1
