---@meta weirpool
-- The types of the module, for language servers; nobody requires this file.
--
-- Three rules hold everywhere:
--   * A failure at run time is `nil, err, sqlstate`: a weirpool.Error, and its SQLSTATE when the database gave one.
--     `assert(…)` raises the error object, which reads well when it is printed. Under LuaJIT, whose assert raises the last
--     of its arguments, the error comes a second time, as the fourth value.
--   * Misuse is error(), blamed on the calling line: a wrong type, an unknown option, a session after its return.
--   * Times are seconds, fractions allowed. `false` (or weirpool.null) switches a time-out off, nil leaves the default,
--     and 0 is misuse: only close takes it, for no grace.
--
-- Values: NULL is weirpool.null in both directions (nil will do for a parameter), a boolean is a boolean, text and bytes
-- are strings, a decimal (numeric) is a string that keeps all digits. A string is sent as text; weirpool.bytes(s) sends
-- bytes, weirpool.numeric(s) a decimal. Lua 5.4: integers are integers with all 64 bits, floats are floats. LuaJIT: an
-- integer up to 2^53 is a number, above it a string of digits, which goes back as weirpool.numeric(s); as parameters,
-- numbers without a fraction up to 2^53, int64_t and uint64_t are integers, other numbers floats.

---@class weirpool
---@field version string weirpool's own, "0.1.0"
---@field libpq_version integer of libpq, 150018
---@field sqlite_version string of SQLite, "3.40.1"
---@field content_types { prometheus: string, openmetrics: string } what an answer over HTTP with metrics says of itself
---@field null lightuserdata SQL's NULL: equal to ngx.null and cjson.null
local weirpool = {}

---@class weirpool.Options
---@field url? string by default the variable DATABASE_URL: "postgresql://user@host/database", "sqlite:///relative.db", "sqlite:////absolute.db", "sqlite://"
---@field min_size? integer 5: connections that the pool keeps open
---@field max_size? integer 20: connections that it keeps at most
---@field max_overflow? integer 0: further ones under load
---@field pod_count? integer|false false: processes with such a pool that share the database; max_size is then by default connections_per_pod
---@field connections_per_pod? integer 10: max_size of each of them; where both are given, the smaller counts
---@field connection_budget? integer|false false: connections of all of them together; this pool has its share at most, overflow included
---@field connection_reserve? integer 0: connections of the budget that are left to others
---@field pod_source? "static"|"dns"|"database" "static": who counts the pods while the pool is open: nobody, the addresses of pod_service, or the pods themselves, in a table
---@field pod_service? string pod_source=dns: the name that has an address for each pod
---@field fleet? string pod_source=database: pods that give one name there share one budget; by default all do
---@field pod_surge? integer|false false: connections of the budget that are kept for pods which join; one for every four pods
---@field pod_refresh? number 10: time from one look at the pods to the next
---@field pod_dead_after? number 30: pod_source=database: a pod not heard of for so long is dead, when it has no connection left either
---@field max_waiting? integer|false false: callers that may wait for one
---@field queue_target? number|false false: where all have waited for longer for a queue_interval, the newest is served first and who has waited twice as long is refused: Overloaded
---@field queue_interval? number 1
---@field adaptive_size? boolean false: no more connections are lent than the database does well with, as statements' times show
---@field lifo? boolean true
---@field pre_ping? boolean true
---@field require? boolean false: opening fails when the database cannot be reached
---@field readonly? boolean false: what runs on the pool only reads
---@field max_lifetime? number|false 3600
---@field idle_timeout? number|false 300
---@field connect_timeout? number|false 10
---@field checkout_timeout? number|false 30
---@field command_timeout? number|false 30
---@field lock_timeout? number|false 5
---@field close_timeout? number|false 10
---@field idle_in_transaction_timeout? number|false false: a transaction in which nothing has run for so long is rolled back
---@field leak_threshold? number|false 300: a connection held for longer is reported, and pool:holders() tells who holds it
---@field leak_action? "report"|"cancel"|"close"|"replace" "report": what else is done with it
---@field leak_stacks? integer 1000: of so many checkouts one is recorded with its whole stack; 0: none
---@field retry_min? number 0.1
---@field retry_max? number 5
---@field background_thread? boolean false: a thread of the core's does what falls due while no call waits
---@field circuit_breaker? boolean true: while the database is down calls fail at once, and the pool finds out when it is back
---@field circuit_probe_interval? number 0.25: while it is down an attempt to connect begins this often
---@field health_check_interval? number|false 60: an idle connection that has shown no sign of life for so long is asked for one
---@field health_check_query? string "SELECT 1": what it is asked
---@field health_check_timeout? number|false 5: for the answer
---@field validate_after? number|false 120: a connection that has shown no sign of life for so long is asked before it is lent
---@field circuit_failure_threshold? integer|false 5: failures in a row that open a breaker
---@field circuit_failure_rate? number|false 0.5: share of failures among the calls in the window that opens it
---@field circuit_slow_call_rate? number|false false: share of slow calls that opens it
---@field circuit_slow_call_duration? number 5: a call that takes this long is slow
---@field circuit_window? "count"|"time" "count"
---@field circuit_window_calls? integer 100
---@field circuit_window_time? number 60
---@field circuit_minimum_calls? integer 20: calls in the window before a rate counts
---@field circuit_recovery_timeout? number 60: calls are refused for this long when no probe succeeds before; doubled each time
---@field circuit_recovery_timeout_max? number 600
---@field circuit_recovery_jitter? number 0.1
---@field circuit_slow_start? integer 4: half-open, 1 call is let in at a time, then 2, 4 … up to this many
---@field circuit_half_open_timeout? number 30
---@field circuit_call_events? boolean false: events for each call, too
---@field circuit_record? string|fun(err: weirpool.Error): any what counts as failure besides: "08,ConnectionLost", or a function that gets the error of a statement as its caller does, and says whether it counts; it does not yield, and what it raises is logged
---@field circuit_ignore? string|fun(err: weirpool.Error): any what does not count; beats circuit_record, function or not
---@field monitoring? boolean true: pool:history(), alerts and slow queries
---@field monitoring_interval? number 1: the alerts' rules are looked at this often
---@field alert_window? number 60: failure rates, slow calls and usage are those of so much time
---@field alert_after? integer 3: looks in a row at which a rule is exceeded before it gives an alert, or is not before that is resolved
---@field alert_cooldown? number|false 900: so long after an alert there is none of its type
---@field alert_hysteresis? number 0.2: an alert is resolved when its value has fallen by this share below its threshold
---@field alert_minimum_calls? integer 10: calls in the window before a rate or a time counts
---@field alert_query_failure_rate? number|false 0.05
---@field alert_checkout_failure_rate? number|false 0.1
---@field alert_query_time? number|false 10: that 99 % of the statements stay below
---@field alert_checkout_time? number|false 5: that 99 % of the waits for a connection stay below
---@field alert_pool_usage? number|false 0.8: connections in use, of those that may be
---@field alert_leaks? integer|false 5: connections that are held for longer than leak_threshold
---@field slow_query_threshold? number|false 5: statements that take longer are in pool:slow_queries(), and logged, level info
---@field slow_queries_kept? integer 100
---@field echo? boolean false: the text of each statement is logged, level info; never its parameters
---@field pipeline? boolean true: statements of the pool's own callers share connections, where the driver can
---@field pipeline_max_wait? number 0.005: no statement is sent behind one that has run for longer
---@field commit_xid? boolean true: an OutcomeUnknown tells the transaction's number
---@field statement_cache_size? integer 100: 0 for PgBouncer in transaction mode
---@field reset? string "auto": "always", "never", or the SQL text that a connection gets after each use
---@field reset_functions? string of your own, with commas between them, that leave something behind
---@field sqlite_begin? "immediate"|"deferred"|"exclusive" "immediate"
---@field sqlite_types? "stored"|"declared" "stored": what SQLite's columns give
---@field metrics_shared? string a file, best in memory (/dev/shm/app.metrics), that the processes of an application share: each of them then renders the metrics of all, and what one that ended has counted stays counted
---@field environment? boolean true: what is given neither here nor in the URL's query comes from the environment
---@field name? string in logs and metrics; by default host:port/database
---@field codecs? table<string|integer, weirpool.Codec> by the types' names ("schema.type", or as the search path finds them) or numbers; PostgreSQL
---@field server_settings? table<string, string> what each connection starts with
---@field init? fun(connection: weirpool.Connection): any runs once on each new connection; when it raises or returns nil, err the connection is discarded
---@field on_notice? fun(notice: weirpool.Notice) gets what the server says beside its answers, at the end of a call; what it raises is logged. Without one notices are log lines of level debug
---@field setup? fun(session: weirpool.Connection|weirpool.Session): any runs at each checkout, a statement of the pool's included, within the checkout's time; the same holds, and the caller gets what it raised or returned

--- What the server says beside its answers, as RAISE NOTICE has it do.
---@class weirpool.Notice
---@field severity string "NOTICE", "WARNING", "INFO", "LOG" or "DEBUG"
---@field sqlstate? string
---@field message string
---@field detail? string
---@field hint? string
---@field where? string the context, such as the lines of functions

--- How the values of a type are read and written. What the functions raise is raised by the call; they must not yield.
---@class weirpool.Codec
---@field decoder? fun(data: string): any gets the text, with format = "binary" the server's binary form, of what is not NULL; nil becomes weirpool.null; without one the string is the value
---@field encoder? fun(value: table): string? gets a parameter that has the metatable; nil is NULL. The parameter's type must be the codec's, or a domain over it
---@field metatable? table of the parameters that the encoder writes
---@field format? "text"|"binary" "text": has all columns of a statement come as text. With statement_cache_size = 0 nothing is decoded

--- Opens a pool: `assert(weirpool.open { url = "sqlite:///demo.db", max_size = 4 })`, or just a URL. An option given here
--- beats the URL's query, that beats the environment, and that the default; weirpool.options() has the variables.
---@param options weirpool.Options|string
---@return weirpool.Pool? pool
---@return weirpool.Error? err
---@return string? sqlstate
function weirpool.open(options) end

--- A circuit breaker of one's own. The options are those of a pool without their circuit_, its name, and:
---   record, ignore  also functions that get the error and say whether it counts; ignore beats record, function or not
---   fallback        a function that gets the CircuitOpen in the place of a refused call; see Breaker:call
---@param options? table<string, any>
---@return weirpool.Breaker
function weirpool.breaker(options) end

--- Its options, as a list like that of weirpool.options.
---@return table[]
function weirpool.breaker_options() end

--- What a statement has in common with those that differ from it in their literals and parameters alone: ? for each of
--- them, one blank for white space and comments, and one item for those of a list that are then alike: in ($1, $2) is
--- in (?), and values (1, 'a'), (2, 'b') is values (?). So it may be shown, and be the key of statistics:
--- pool:slow_queries() tells statements in this form. Names, true, false and NULL stay, and what a server with
--- settings or a syntax of its own takes for a literal: "…" of SQLite, backslashes without
--- standard_conforming_strings. At most its first 1023 bytes, of the first 64 KiB of the text.
---@param sql string
---@return string
function weirpool.fingerprint(sql) end

--- A parameter that is bytes, not text.
---@param text string
---@return weirpool.Bytes
function weirpool.bytes(text) end

--- A parameter that is a decimal, or an integer that LuaJIT has no number for: weirpool.numeric("0.10").
---@param text string
---@return weirpool.Numeric
function weirpool.numeric(text) end

--- A parameter that is an array: {1, 2}, {{1, 2}, {3, 4}}; weirpool.null is NULL, and so is nil up to the field n. Arrays in
--- rows are such tables.
---@param list any[]
---@return weirpool.Array
function weirpool.array(list) end

--- A parameter that is a range; no bound is no end there. Ranges in rows are such tables.
---@param range { lower: any, upper: any, lower_inc: boolean?, upper_inc: boolean?, empty: boolean? } lower_inc is true unless given, the others false
---@return weirpool.Range
function weirpool.range(range) end

--- Where the lines go that pools have to say: fn(level, line); false: nowhere; nil: warnings and errors to stderr, as at
--- first. Lines are taken after each call.
---@param fn? fun(level: "debug"|"info"|"warning"|"error", line: string)|false
---@param level? "debug"|"info"|"warning"|"error" and above; "info" by default
function weirpool.log(fn, level) end

--- The options of open, as a list: name, kind ("count", "time", "flag", "text", "ratio"), default, least, most, nullable, choices,
--- text, variables (a list of the environment variables that give it, the first that is set counts).
---@return table[]
function weirpool.options() end

--- The fields of a snapshot, as a list: name, kind ("gauge", "counter", "latency"), text.
---@return table[]
function weirpool.metrics() end

--- The metrics of all pools that are open in this process, as Pool:metrics() has one pool's; pools of one name are one,
--- their numbers added up.
---@param options? weirpool.MetricsOptions
---@return string? text
---@return weirpool.Error? err
function weirpool.exposition(options) end

--- The upper bounds of a latency's buckets, in seconds; the last is infinite.
---@return number[]
function weirpool.buckets() end

---@param value any
---@return boolean # is it a weirpool.Error?
function weirpool.is_error(value) end

--- Makes weirpool use the SQLite that the shared object of that path is linked to (another binding's): two copies in one
--- process lose each other's file locks. Before the first pool is opened.
---@param path string
---@return boolean done
function weirpool.sqlite_adopt(path) end

---@class weirpool.Bytes

---@class weirpool.Numeric

---@class weirpool.Array

---@class weirpool.Range

---@class weirpool.Error
---@field class string "UniqueViolation"
---@field message string
---@field code integer the core's number
---@field name string the core's name of it, "ESERVER"
---@field retryable boolean nothing has been changed: the same call may safely be made again
---@field sqlstate? string "23505"
---@field severity? string
---@field detail? string
---@field hint? string
---@field position? integer in the statement, in characters from 1
---@field schema? string
---@field table? string
---@field column? string
---@field constraint? string
---@field context? string where the server was: the functions and their lines, innermost first; in COPY the line and the column
---@field retry_after? number seconds until the pool tries again by itself
---@field cause? weirpool.Error of a fallback's failure: the refusal that it was to stand in for
---@field xid? integer of OutcomeUnknown: the transaction's number, for PostgreSQL's pg_xact_status()
---@field note? string after Pool:run: how many attempts there were, and why there is no other
local Error = {}

--- Is it of that class or of one below it? `err:is("IntegrityError")`. Unknown names are misuse.
---@param class string
---@return boolean
function Error:is(class) end

--- The class above its own.
---@return string?
function Error:parent() end

--- A statement: its text, with $1, $2 … for the parameters, or that with options: {"select …", timeout = 0.5} or
--- {text = "select …", timeout = 0.5}.
---   timeout   its own, instead of command_timeout; of a pool's statement over the wait for a connection and the run.
---             CommandTimeout when it passes, OutcomeTimeout for a write outside of transactions, or a COMMIT, that may be done
---   readonly  of a pool's execute, fetch, fetchrow, fetchval: it only reads, and the server refuses it otherwise. Up to
---             eight such statements share a transaction of the server's; PostgreSQL
---   column    of fetchval: 1 is the first, -1 the last
---   prefetch  of stream: the rows of a batch, 1000
---@alias weirpool.Statement string|{ [1]: string?, text: string?, timeout: number|false|nil, readonly: boolean?, column: integer?, prefetch: integer? }

--- COPY and scripts take no parameters, and no option but the time-out.
---@alias weirpool.Command string|{ [1]: string?, text: string?, timeout: number|false|nil }

--- A row, by name and by position: row.name, row[1]. Of columns with the same name the last one has it. NULL is
--- weirpool.null, so every column is there.
---@alias weirpool.Row table<string|integer, any>

--- The rows of a fetch. What is beside the rows is in the metatable, so that pairs shows rows only.
---@class weirpool.Rows
---@field [integer] weirpool.Row
---@field columns string[] the names, in order
---@field tag string "SELECT 3"
---@field affected integer

--- What runs statements: a pool (each in autocommit, on whatever connection), a connection, a session.
---@class weirpool.Executor
local Executor = {}

---@param statement weirpool.Statement
---@param ... any
---@return integer? affected rows inserted, updated, deleted or returned; 0 where there is no such number
---@return weirpool.Error? err
---@return string? sqlstate
function Executor:execute(statement, ...) end

---@param statement weirpool.Statement
---@param ... any
---@return weirpool.Rows? rows
---@return weirpool.Error? err
---@return string? sqlstate
function Executor:fetch(statement, ...) end

--- The first row. No row: nil, without an error.
---@param statement weirpool.Statement
---@param ... any
---@return weirpool.Row? row
---@return weirpool.Error? err
---@return string? sqlstate
function Executor:fetchrow(statement, ...) end

--- The first column of the first row, or the one that `column` names: weirpool.null for NULL. No row: nil, without an error.
---@param statement weirpool.Statement
---@param ... any
---@return any value
---@return weirpool.Error? err
---@return string? sqlstate
function Executor:fetchval(statement, ...) end

--- Runs the statement once for each set of values, all in one transaction. A set that ends with nil has a field n.
---@param statement weirpool.Statement
---@param sets any[][]
---@return integer? affected over all sets
---@return weirpool.Error? err
---@return string? sqlstate
function Executor:executemany(statement, sets) end

--- Any number of commands in one text. On PostgreSQL one transaction, unless the text has BEGIN or COMMIT; on SQLite each
--- by itself. Rows are dropped. Gives the tag of the last command, "" when there is none.
---@param text weirpool.Command
---@return string? tag
---@return weirpool.Error? err
---@return string? sqlstate
function Executor:execute_script(text) end

--- The rows of a statement one after the other, in the memory of two batches of `prefetch` rows: `for row in
--- session:stream("select …") do`. Nothing is lent or sent before the first row is asked for, so that stream itself does
--- not fail; the loop raises what fails (a weirpool.Error), stream:next() gives it as nil, err, sqlstate. timeout is over
--- each batch.
---
--- Between batches a session is free for other statements and streams; a plain connection outside of a transaction is not
--- (SessionBusy). A pool's stream borrows a connection until its end. Lua 5.4 ends a stream when its loop is left. LuaJIT
--- does not: there call close behind a break, as in `local stream = …; for row in stream do … end; stream:close()`; else
--- it ends with its session, or when the collector finds it. PostgreSQL: SELECT, VALUES, TABLE, and WITH that ends in
--- SELECT.
---@param statement weirpool.Statement
---@param ... any
---@return weirpool.Stream
function Executor:stream(statement, ...) end

--- COPY … FROM STDIN. The source is the data itself, an open file (what has a method read), or a function that gives
--- strings, from anywhere in a row to anywhere, and nil at the end. When it gives nil, err, that is what copy_in gives;
--- what it raises is raised; in both cases nothing of the COPY is kept. timeout is over all of it. PostgreSQL.
---@param sql weirpool.Command
---@param source string|file*|fun(): string?, any
---@return integer? rows
---@return any err
---@return string? sqlstate
function Executor:copy_in(sql, source) end

---@class weirpool.CopyOptions
---@field columns? string[] those that the rows have, in their order; all
---@field schema? string the table's
---@field timeout? number|false over all of it

--- Rows of values by COPY, in binary form where they have one. Names are quoted: they are what they are in the catalog.
--- Each row is a list as executemany has it; a function gives the next row, and nil at the end, or nil, err. PostgreSQL.
---@param table string
---@param rows any[][]|fun(): any[]?, any
---@param options? weirpool.CopyOptions
---@return integer? rows
---@return any err
---@return string? sqlstate
function Executor:copy_records(table, rows, options) end

--- COPY … TO STDOUT. Without `to`: its chunks, for a loop, as stream has it (until they end, or are closed, the session
--- does nothing else). With it, an open file (what has a method write) or a function: each chunk is given to it, and the
--- number of rows comes back; nil, err from it, or what it raises, ends the COPY. timeout is over all of it. PostgreSQL.
---@param sql weirpool.Command
---@return weirpool.CopyOut
---@overload fun(self, sql: weirpool.Command, to: file*|fun(chunk: string): any): integer?, any, string?
function Executor:copy_out(sql, to) end

---@class weirpool.Stream
---@operator call: weirpool.Row?
local Stream = {}

--- The next row; nil at the end; nil, err, sqlstate when the stream has failed.
---@return weirpool.Row? row
---@return weirpool.Error? err
---@return string? sqlstate
function Stream:next() end

--- Ends it, at once and without waiting. Twice is no error; next is, afterwards.
---@return true
function Stream:close() end

---@class weirpool.CopyOut
---@field rows? integer how many there were, after the last chunk
---@operator call: string?
local CopyOut = {}

--- The next chunk: whole rows, about 64 KiB of them. Otherwise as Stream.next.
---@return string? chunk
---@return weirpool.Error? err
---@return string? sqlstate
function CopyOut:next() end

---@return true
function CopyOut:close() end

---@class weirpool.CheckoutOptions
---@field checkout_timeout? number|false how long to wait for a connection
---@field timeout? number|false how long it may be kept
---@field reset? "auto"|"always"|"never" for this loan, instead of the pool's option

---@class weirpool.BeginOptions
---@field isolation? "read uncommitted"|"read committed"|"repeatable read"|"serializable"
---@field readonly? boolean
---@field deferrable? boolean

---@class weirpool.SessionOptions: weirpool.CheckoutOptions, weirpool.BeginOptions

---@alias weirpool.BreakerState "closed"|"open"|"half_open"|"forced_open"|"disabled"|"metrics_only"

--- One of a pool's, or one of one's own.
---@class weirpool.AnyBreaker
---@field name? string
local AnyBreaker = {}

---@return weirpool.BreakerState
function AnyBreaker:state() end

--- Its numbers: state, last_failure, what is in the window, counters. Times in seconds; nil is none.
---@return table<string, any>
function AnyBreaker:snapshot() end

--- What has happened since the event of that number, of the last 64: number, kind ("state", "exceeded", "reset"; with
--- call_events also "success", "failure", "ignored", "refused"), before, state, reason, age, duration (of a call).
---@param after? integer
---@return table[]
function AnyBreaker:events(after) end

--- Has all calls refused until the state is changed by hand.
function AnyBreaker:force_open() end

--- Closes it; what was counted is forgotten.
function AnyBreaker:force_close() end

--- Has all calls let in, none of which decides anything.
function AnyBreaker:disable() end

--- Has all calls let in; what would have opened it is an event only.
function AnyBreaker:metrics_only() end

--- As new, but for its counters.
function AnyBreaker:reset() end

---@class weirpool.Breaker: weirpool.AnyBreaker
local Breaker = {}

--- Calls fn(…), and gives what it gave. A call fails by raising, which is raised on, or by returning nil, err. A refused
--- one gives nil, err (CircuitOpen, with its retry_after), or what the fallback gives; the fallback is called for nothing
--- else, and a failure of its own has the refusal as its cause.
---@param fn fun(...): ...
---@return ...
function Breaker:call(fn, ...) end

--- A function that does so each time, with a fallback of its own.
---@param fn fun(...): ...
---@param fallback? fun(refusal: weirpool.Error): ...
---@return fun(...): ...
function Breaker:wrap(fn, fallback) end

--- Leave to make one call, which ends with record or cancel; when the permit is collected before, it is cancelled.
---@return userdata? permit
---@return weirpool.Error? err
function Breaker:acquire() end

--- The call has ended, with success or with an error of whatever type.
---@param permit userdata
---@param err? any
function Breaker:record(permit, err) end

--- The call was not made.
---@param permit userdata
function Breaker:cancel(permit) end

--- The circuit breakers of a pool: connect counts its attempts to connect, query its statements. The changes by hand are
--- of both.
---@class weirpool.PoolBreaker
---@field connect weirpool.AnyBreaker
---@field query weirpool.AnyBreaker
local PoolBreaker = {}

--- The state of the one that lets less in.
---@return weirpool.BreakerState
function PoolBreaker:state() end

---@return { connect: table<string, any>, query: table<string, any> }
function PoolBreaker:snapshot() end

function PoolBreaker:force_open() end
function PoolBreaker:force_close() end
function PoolBreaker:disable() end
function PoolBreaker:metrics_only() end
function PoolBreaker:reset() end

--- A function that calls fn(…), and fallback(refusal) in its place when the pool's breakers have refused it. Nothing else
--- goes to the fallback.
---@param fn fun(...): ...
---@param fallback fun(refusal: weirpool.Error): ...
---@return fun(...): ...
function PoolBreaker:wrap(fn, fallback) end

---@class weirpool.Pool: weirpool.Executor
---@field breaker weirpool.PoolBreaker
---@field name string
---@field url string without its password
---@field database_system "postgresql"|"sqlite"
local Pool = {}

--- A connection in a transaction. Without a function: the session, which the caller closes (Lua 5.4: `local s <close> =
--- assert(pool:session())`); it is rolled back unless commit was called. With one: commits when fn(session) returns,
--- rolls back when it raises (which is raised on) or returns nil, err, and gives what fn returned.
---@param options? weirpool.SessionOptions
---@param fn? fun(session: weirpool.Session): ...
---@return weirpool.Session? session
---@return weirpool.Error? err
---@return string? sqlstate
---@overload fun(self, fn: fun(session: weirpool.Session): ...): ...
function Pool:session(options, fn) end

---@class weirpool.RunOptions: weirpool.BeginOptions
---@field retries? integer how often the transaction is repeated at most; 3
---@field timeout? number|false over all attempts and pauses
---@field checkout_timeout? number|false how long an attempt waits for a connection

--- Calls fn(session) in a transaction, commits, and gives what fn returned, as Pool:session does; begins again, with a
--- fresh session, after a serialization failure (40001), a deadlock (40P01), when the connection was lost before COMMIT
--- was sent, and when none could be made, whether fn returns that error (nil, err) or raises it. The pauses between
--- double from 10 ms, with full jitter. All other errors are the caller's at once, and so is OutcomeUnknown: that COMMIT
--- may have taken effect. fn leaves commit to run; what it does beside the session is done anew with each attempt.
---@param options? weirpool.RunOptions
---@param fn fun(session: weirpool.Session): ...
---@return any value
---@return weirpool.Error? err
---@return string? sqlstate
---@overload fun(self, fn: fun(session: weirpool.Session): ...): ...
function Pool:run(options, fn) end

---@class weirpool.TransactionOptions: weirpool.BeginOptions
---@field timeout? number|false over waiting and running

--- Statements in a transaction of their own, sent as a whole, BEGIN to COMMIT, in one round trip. Each is a text, or a
--- list of a text and its parameters (with a field n when they end with nil). Gives a list of what they gave: rows where
--- a statement has columns, else the number of rows affected. When one fails nothing has changed; OutcomeUnknown when
--- COMMIT was sent and there was no answer, OutcomeTimeout, which is one, when none came in time.
---@param statements (string|any[])[]
---@param options? weirpool.TransactionOptions
---@return any[]? answers
---@return weirpool.Error? err
---@return string? sqlstate
function Pool:transaction(statements, options) end

---@class weirpool.ListenOptions
---@field max_queued? integer 4096: notifications that are kept for get; those that come when so many are there are dropped
---@field heartbeat? number|false 30: a server that was silent for so long is asked for a sign of life

--- Listens on channels of PostgreSQL's, by a connection beside max_size; gives the listener when the server has
--- confirmed that it listens. When the connection is lost it is made anew, with the pool's pauses, and on all channels.
--- It reads while get waits, or any other call of the pool.
---@param channels string|string[] names as the database has them, case and all, of 1 to 63 bytes
---@param options? weirpool.ListenOptions
---@return weirpool.Listener? listener
---@return weirpool.Error? err
---@return string? sqlstate
function Pool:listen(channels, options) end

--- A connection in autocommit, likewise.
---@param options? weirpool.CheckoutOptions
---@param fn? fun(connection: weirpool.Connection): ...
---@return weirpool.Connection? connection
---@return weirpool.Error? err
---@return string? sqlstate
---@overload fun(self, fn: fun(connection: weirpool.Connection): ...): ...
function Pool:connection(options, fn) end

--- Refuses new callers, waits for those who hold a connection, then cuts them off. Twice is no error.
---@param grace? number|false seconds; 0: none; false: for ever; nil: the option close_timeout
---@return boolean? done
---@return weirpool.Error? err
function Pool:close(grace) end

--- As close, but whoever waits for a connection already is served, too, within the grace: for the end of a process.
---@param grace? number|false seconds; 0: none; false: for ever; nil: the option close_timeout
---@return boolean? done
---@return weirpool.Error? err
function Pool:drain(grace) end

---@return boolean # has close or drain been called?
function Pool:closed() end

--- nil: as it is.
---@param min_size? integer
---@param max_size? integer
---@return boolean? done
---@return weirpool.Error? err
function Pool:resize(min_size, max_size) end

--- What each option is in this pool, wherever it has come from, as it was opened; false: none.
---@return table<string, number|string|boolean>
function Pool:options() end

--- Every connection made before this is replaced as it comes free.
---@return boolean? done
---@return weirpool.Error? err
function Pool:expire() end

--- The pool's numbers, all of one instant; weirpool.metrics() says what they are. A latency is a table: count, sum, max,
--- p50, p90, p99, p999 in seconds, and buckets.
---@return table<string, any>? snapshot
---@return weirpool.Error? err
function Pool:snapshot() end

--- Which metrics, and how.
---@class weirpool.MetricsOptions
---@field format? "prometheus"|"openmetrics" the text format 0.0.4, by default; or OpenMetrics 1.0, which has units, state sets and exemplars as well
---@field names? "seed"|"standard"|"both" OpenTelemetry's names in Prometheus' form and weir_… for what those do not know; the gauges db_active_connections and so on, whose means and rates are over the last minute, or since the metrics were asked for last where that is longer; or both, by default

--- The pool's metrics as text, for Prometheus; an answer over HTTP says of itself weirpool.content_types[format].
---@param options? weirpool.MetricsOptions
---@return string? text
---@return weirpool.Error? err
function Pool:metrics(options) end

--- Who holds a connection.
---@class weirpool.Holder
---@field file string where it was checked out; "" unknown
---@field caller string the name of the function
---@field line integer
---@field age number seconds since it was lent
---@field statement string the beginning of its last statement's text, never its parameters; "" none yet
---@field stack? string the caller's stack, of one in leak_stacks checkouts
---@field depth integer transactions and savepoints that are open
---@field busy boolean an operation runs
---@field leaked boolean it has been held for longer than leak_threshold, and that was reported
---@field backend integer the server's process id; 0 for SQLite

--- Who has held a connection for at least min_age seconds, the oldest loan first.
---@param min_age? number 0
---@return weirpool.Holder[]? holders
---@return weirpool.Error? err
function Pool:holders(min_age) end

--- How a pool is. Ages and latency are in seconds.
---@class weirpool.Health
---@field status "healthy"|"degraded"|"unhealthy"
---@field reasons table<string, string> codes, and what they mean; empty when it is healthy. Unhealthy: closed, circuit_open, disconnected (an attempt to connect has failed, or lasts for longer than a second), checks_failing; degraded: check_failed, circuit_half_open, connect_failing, connections_lost, exhausted, leaks, standby
---@field status_age number
---@field last_check_age? number
---@field latency? number of the last check that has passed
---@field passed integer checks
---@field failed integer
---@field failures_in_a_row integer
---@field last_failure? string what the last check that failed has said
---@field connect_failure? string … and the last attempt to connect, while they fail

--- How the pool is, as it knows without asking the server.
---@return weirpool.Health? health
---@return weirpool.Error? err
function Pool:health() end

--- Runs the option health_check_query now, as a statement of a caller's own, within options.timeout seconds
--- (health_check_timeout), and gives health(): that it failed is told there.
---@param options? { timeout?: number|false }
---@return weirpool.Health? health
---@return weirpool.Error? err
function Pool:check_health(options) end

--- What has happened since the event of that number, of the last 64, the oldest first.
---@param after? integer 0
---@return { number: integer, age: number, kind: "status"|"passed"|"failed"|"expired", before: string, status: string, reasons: table<string, string>, duration?: number, text?: string }[]? events
---@return weirpool.Error? err
function Pool:health_history(after) end

--- An alert, with the numbers that caused it.
---@class weirpool.Alert
---@field number integer
---@field type "database_unhealthy"|"circuit_breaker_open"|"high_query_failure_rate"|"high_checkout_failure_rate"|"connection_leaks"|"high_pool_usage"|"slow_queries"|"slow_checkouts"
---@field severity "critical"|"warning"
---@field message string
---@field age number seconds since it fired
---@field resolved boolean
---@field resolved_age? number
---@field value number a share of the calls or connections; seconds of slow ones; connections, breakers; 2 for unhealthy
---@field threshold number
---@field count integer so many failed, leaked, are in use …
---@field total integer … of so many
---@field window number seconds that the numbers are of; 0: of that moment

--- Has callback(alert) called when one of the pool's alerts fires, and again when it is resolved, in a call of the
--- pool's. What it raises is logged, and changes nothing. Any number of callbacks.
---@param callback fun(alert: weirpool.Alert)
function Pool:on_alert(callback) end

--- The alerts that are not resolved, the oldest first; with false all of the last 1,000.
---@param active? boolean true
---@return weirpool.Alert[]? alerts
---@return weirpool.Error? err
function Pool:alerts(active) end

--- The last 1,000 alerts, resolved or not.
---@return weirpool.Alert[]? alerts
---@return weirpool.Error? err
function Pool:alert_history() end

--- Statements that took longer than slow_query_threshold, by their total time: statement (its text, with ? for each
--- literal), count, total, max, last (seconds), age.
---@return { statement: string, count: integer, total: number, max: number, last: number, age: number }[]? statements
---@return weirpool.Error? err
function Pool:slow_queries() end

---@class weirpool.HistoryOptions
---@field since? number|false 600: seconds to look back; false: all that is kept
---@field step? number seconds between two points: 1 (ten minutes are kept), 10 (two hours), 60 (a day); nil: the shortest that reaches back so far

--- How one of the snapshot's numbers went, the oldest first: age and value; of a latency age, count, sum, p50, p90, p99,
--- p999 of what came since the point before. There is none for times at which no call of the pool was made.
---@param metric string
---@param options? weirpool.HistoryOptions
---@return table[]? points
---@return weirpool.Error? err
function Pool:history(metric, options) end

--- A lent connection. When the collector finds one that was not given back it comes back at once, and that is logged.
---@class weirpool.Connection: weirpool.Executor
---@field pool weirpool.Pool
---@field returned boolean
local Connection = {}

--- A transaction, or a savepoint where one is open (which takes no options). Without a function: a transaction with
--- commit and rollback, rolled back at the end of its scope (Lua 5.4) or with the connection. With one: as in
--- Pool:session, fn gets this connection.
---@param options? weirpool.BeginOptions
---@param fn? fun(connection: weirpool.Connection): ...
---@return weirpool.Transaction? transaction
---@return weirpool.Error? err
---@return string? sqlstate
---@overload fun(self, fn: fun(connection: weirpool.Connection): ...): ...
function Connection:transaction(options, fn) end

--- Calls fn(pipeline) and gives what it gave. The statements of `pipeline` wait for no answer to those before them, and
--- give answers at once: `local n = pipeline:fetchval("…")`, later `n:get()`. They are sent in one go, when an answer is
--- asked for, or fn returns; then those that nobody got are waited for, and the first failure among them is the pipeline's.
--- When fn raises or returns nil, err, what has not been answered is cut off. A failure in a transaction has those behind
--- it fail, too (25P02); outside of one each stands for itself. Transactions begin and end only when all is answered.
---@param fn fun(pipeline: weirpool.Pipeline): ...
---@return any value
---@return weirpool.Error? err
---@return string? sqlstate
function Connection:pipeline(fn) end

--- Gives it back; what is open is rolled back. Twice is no error.
---@return true
function Connection:close() end

--- Gives it back to be closed.
---@return true
function Connection:discard() end

---@return { depth: integer, in_transaction: boolean, failed: boolean, busy: boolean, backend: integer, age: number }? info
---@return weirpool.Error? err
function Connection:inspect() end

--- What NOTIFY has sent: channel, payload ("" when there was none), pid (of the session that has notified). Or a gap:
--- notifications from before it may be missing, since the connection was made anew `reconnected` times, or since
--- `dropped` came when max_queued were waiting. Who keeps a state by notifications reads it anew then.
---@class weirpool.Notification
---@field channel? string
---@field payload? string
---@field pid? integer
---@field gap? true
---@field reconnected? integer
---@field dropped? integer

--- The collector closes one that is not closed.
---@class weirpool.Listener
---@field pool weirpool.Pool
---@field closed boolean
local Listener = {}

--- Waits for the next notification, or gap: nil, "timeout" when none has come in time.
---@param timeout? number|false seconds; nil and false: without limit
---@return weirpool.Notification? notification
---@return weirpool.Error|"timeout"|nil err
function Listener:get(timeout) end

--- Listens on that channel, too, and returns when the server has confirmed it. When that fails the channel is among
--- the listener's all the same, unless the server itself has refused it.
---@param channel string
---@return boolean? done
---@return weirpool.Error? err
---@return string? sqlstate
function Listener:add(channel) end

--- No longer listens on that channel; what has come on it is still given out.
---@param channel string
---@return boolean? done
---@return weirpool.Error? err
---@return string? sqlstate
function Listener:remove(channel) end

--- Twice is no error.
---@return true
function Listener:close() end

---@class weirpool.Session: weirpool.Connection
local Session = {}

--- Ends the transaction; the next statement begins another.
---@return boolean? done
---@return weirpool.Error? err
---@return string? sqlstate
function Session:commit() end

---@return boolean? done
---@return weirpool.Error? err
---@return string? sqlstate
function Session:rollback() end

---@class weirpool.Pipeline
---@field session weirpool.Connection
local Pipeline = {}

---@param statement weirpool.Statement
---@param ... any
---@return weirpool.Answer
function Pipeline:execute(statement, ...) end

---@param statement weirpool.Statement
---@param ... any
---@return weirpool.Answer
function Pipeline:fetch(statement, ...) end

---@param statement weirpool.Statement
---@param ... any
---@return weirpool.Answer
function Pipeline:fetchrow(statement, ...) end

---@param statement weirpool.Statement
---@param ... any
---@return weirpool.Answer
function Pipeline:fetchval(statement, ...) end

---@param statement weirpool.Statement
---@param sets any[][]
---@return weirpool.Answer
function Pipeline:executemany(statement, sets) end

---@class weirpool.Answer
local Answer = {}

--- Waits for it, and gives what the statement itself would have given. Once; also after the pipeline's end.
---@return any value
---@return weirpool.Error? err
---@return string? sqlstate
function Answer:get() end

---@class weirpool.Transaction
---@field session weirpool.Connection
---@field ended boolean?
local Transaction = {}

---@return boolean? done
---@return weirpool.Error? err
---@return string? sqlstate
function Transaction:commit() end

---@return boolean? done
---@return weirpool.Error? err
---@return string? sqlstate
function Transaction:rollback() end

return weirpool
