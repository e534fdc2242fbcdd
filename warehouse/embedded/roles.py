"""The roles of the embedded server: the superuser ``postgres``, and ``coinwatch``, as which every program
connects. ``coinwatch`` owns the databases and may create databases and roles, but neither read files nor run
programs.

Before 0.2 ``coinwatch`` was the superuser. Such a server is converted at its next start.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from coinwatch.errors import WarehouseError

ADMINISTRATOR = "postgres"
ROLE = DATABASE = "coinwatch"

_CONNECT_TIMEOUT_S = 10
_WAIT_FOR_OTHERS = "10s"
_RENAMING = "coinwatch_renaming"


@dataclass(frozen=True)
class Access:
    """Where the server listens, and the passwords of its two roles."""

    host: str
    port: int
    password: str
    administrator_password: str

    def connect(self, role: str, password: str, database: str) -> psycopg.Connection:
        """A connection in autocommit mode. Raises psycopg.OperationalError."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=role,
            password=password,
            dbname=database,
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT_S,
            application_name="coinwatch setup",
            options=f"-c lock_timeout={_WAIT_FOR_OTHERS}",
        )


def set_up(access: Access) -> None:
    """Create the role ``coinwatch`` and its database, and make it the owner of all that is in the cluster.

    Can be repeated after an interruption. Raises WarehouseError.
    """
    try:
        with _administrator(access, ADMINISTRATOR) as conn:
            _create(conn, access)
            databases = [name for (name,) in conn.execute(_DATABASES).fetchall()]
        for name in databases:
            with _administrator(access, name) as conn, conn.transaction():
                conn.execute(_GIVE)
    except psycopg.errors.LockNotAvailable as error:
        raise WarehouseError(
            "the roles of the embedded Postgres cannot be set up while an earlier version of Coinwatch runs: "
            "stop that first"
        ) from error
    except psycopg.Error as error:
        raise WarehouseError(f"the roles of the embedded Postgres cannot be set up: {error}") from error


def _administrator(access: Access, database: str) -> psycopg.Connection:
    try:
        return access.connect(ADMINISTRATOR, access.administrator_password, database)
    except psycopg.OperationalError as refused:
        try:
            _rename_superuser(access)
        except psycopg.OperationalError:
            raise refused from None
        return access.connect(ADMINISTRATOR, access.administrator_password, database)


def _rename_superuser(access: Access) -> None:
    """Rename the superuser that ``initdb`` of an earlier version made: it can be neither dropped nor limited.

    A session cannot rename its own role, so this one is given another role meanwhile.
    """
    with access.connect(ROLE, access.password, ADMINISTRATOR) as conn, conn.transaction():
        names = {"old": sql.Identifier(ROLE), "new": sql.Identifier(ADMINISTRATOR)}
        for statement in (
            f"create role {_RENAMING} superuser",
            f"set local session authorization {_RENAMING}",
            "alter role {old} rename to {new}",
            "set local session authorization default",
            f"drop role {_RENAMING}",
        ):
            conn.execute(sql.SQL(statement).format(**names))
        _set_password(conn, ADMINISTRATOR, access.administrator_password)


def _create(conn: psycopg.Connection, access: Access) -> None:
    role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
    with conn.transaction():
        if not _exists(conn, "select from pg_roles where rolname = %s", ROLE):
            conn.execute(sql.SQL("create role {} login createdb createrole").format(role))
            _set_password(conn, ROLE, access.password)
        for (member_of,) in conn.execute(_MEMBERSHIPS).fetchall():
            conn.execute(sql.SQL("grant {} to {} with admin option").format(sql.Identifier(member_of), role))
    if not _exists(conn, "select from pg_database where datname = %s", DATABASE):
        conn.execute(sql.SQL("create database {} owner {}").format(database, role))
    for (name,) in conn.execute(_OWNED_DATABASES).fetchall():
        conn.execute(sql.SQL("alter database {} owner to {}").format(sql.Identifier(name), role))


def _exists(conn: psycopg.Connection, query: str, name: str) -> bool:
    return conn.execute(query, [name]).fetchone() is not None


def _set_password(conn: psycopg.Connection, role: str, password: str) -> None:
    """Encrypted here: the server logs statements that fail."""
    encrypted = conn.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    conn.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(encrypted)))


_MEMBERSHIPS = """
select pg_get_userbyid(roleid) from pg_auth_members
where member = current_user::regrole and pg_get_userbyid(roleid) !~ '^pg_'
"""

_OWNED_DATABASES = """
select datname from pg_database
where datdba = current_user::regrole and not datistemplate and datname <> current_user
"""

_DATABASES = "select datname from pg_database where datallowconn and not datistemplate"

# Objects of a table or of an extension follow it. REASSIGN OWNED refuses the role of initdb.
_GIVE = f"""
do $$
declare
    statement text;
begin
    for statement in
        select format('alter schema %I owner to {ROLE}', nspname) from pg_namespace
        where nspowner = current_user::regrole and oid >= 16384 and nspname !~ '^pg_'
        union all
        select format('alter %s %s owner to {ROLE}',
                      case relkind when 'S' then 'sequence' when 'v' then 'view'
                                   when 'm' then 'materialized view' when 'f' then 'foreign table'
                                   else 'table' end,
                      oid::regclass)
        from pg_class relation
        where relowner = current_user::regrole and oid >= 16384 and relkind in ('r', 'p', 'v', 'm', 'S', 'f')
          and not exists (
            select from pg_depend
            where classid = 'pg_class'::regclass and objid = relation.oid
              and (deptype = 'e' or relkind = 'S' and deptype in ('a', 'i'))
          )
        union all
        select format('alter routine %s owner to {ROLE}', oid::regprocedure) from pg_proc routine
        where proowner = current_user::regrole and oid >= 16384
          and not exists (
            select from pg_depend
            where classid = 'pg_proc'::regclass and objid = routine.oid and deptype in ('e', 'i')
          )
        union all
        select format('alter type %s owner to {ROLE}', oid::regtype) from pg_type type
        where typowner = current_user::regrole and oid >= 16384
          and (typtype in ('d', 'e', 'r')
               or typtype = 'c' and (select relkind from pg_class where oid = typrelid) = 'c')
          and not exists (
            select from pg_depend
            where classid = 'pg_type'::regclass and objid = type.oid and deptype in ('e', 'i')
          )
    loop
        execute statement;
    end loop;
end $$
"""  # noqa: S608  # a constant of this file
